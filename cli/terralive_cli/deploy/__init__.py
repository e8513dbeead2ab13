"""TODO terralive_cli.deploy."""
