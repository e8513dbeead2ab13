"""The relay: connects this machine to a debug stack and runs local handlers."""
