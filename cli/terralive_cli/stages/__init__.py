"""Stages and debug stacks of an account: what `status`, `list` and `gc` know and do."""
