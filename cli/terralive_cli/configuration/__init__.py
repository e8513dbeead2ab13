"""TODO terralive_cli.configuration."""
