"""TODO terralive_relay.connection."""
