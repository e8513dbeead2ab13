"""TODO terralive_cli.functions."""
