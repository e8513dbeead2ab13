"""Places that the local code of a function may come from."""
