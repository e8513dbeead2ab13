"""The configuration: flags, environment, `terralive.toml` and defaults, as one frozen value."""
