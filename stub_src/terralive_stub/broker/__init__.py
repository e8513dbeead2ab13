"""TODO terralive_stub.broker."""
