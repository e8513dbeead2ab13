"""TODO terralive_sandbox.control."""
