"""Definitions of the commands: names, options and help. Their bodies are in `commands/`."""
