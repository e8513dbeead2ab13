"""The wire protocol, which stub, broker and relay share. Pure: no sockets, no clock, no threads."""
