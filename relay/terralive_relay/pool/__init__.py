"""TODO terralive_relay.pool."""
