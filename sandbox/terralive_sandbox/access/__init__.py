"""TODO terralive_sandbox.access."""
