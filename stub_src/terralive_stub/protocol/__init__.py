"""TODO terralive_stub.protocol."""
