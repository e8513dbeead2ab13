"""TODO terralive_relay.code."""
