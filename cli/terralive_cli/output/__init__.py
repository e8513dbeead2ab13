"""TODO terralive_cli.output."""
