"""TODO terralive_workers."""
