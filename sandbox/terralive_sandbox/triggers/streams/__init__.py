"""TODO terralive_sandbox.triggers.streams."""
