"""TODO terralive_sandbox.triggers.rules."""
