"""The commands' bodies: one module a command, each with `run(config, ui, **options) -> int`."""
