"""The self-test: a debug stack and an app of its own, deployed, measured, and destroyed."""
