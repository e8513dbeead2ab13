"""TODO terralive_cli.output.formats."""
