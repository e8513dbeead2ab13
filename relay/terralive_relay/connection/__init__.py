"""The connection to the debug stack: the protocol's session and its transport."""
