"""Stages and debug stacks of an account, for `status`, `list` and `gc`."""
