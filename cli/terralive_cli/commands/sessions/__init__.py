"""Bodies of the commands for sessions that run on this machine."""
