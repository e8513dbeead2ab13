"""TODO terralive_sandbox.triggers.queues."""
