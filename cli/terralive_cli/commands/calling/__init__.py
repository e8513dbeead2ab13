"""Bodies of the commands that call functions."""
