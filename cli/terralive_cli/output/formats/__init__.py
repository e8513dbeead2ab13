"""The output formats: `rich`, `plain` and `json`."""
