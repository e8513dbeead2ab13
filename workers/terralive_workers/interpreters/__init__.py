"""Programs of this machine that run functions."""
