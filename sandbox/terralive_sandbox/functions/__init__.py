"""TODO terralive_sandbox.functions."""
