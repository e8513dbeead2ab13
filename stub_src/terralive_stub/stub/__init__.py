"""TODO terralive_stub.stub."""
