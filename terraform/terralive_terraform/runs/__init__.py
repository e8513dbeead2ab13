"""Runs of the `terraform` binary, and their environment."""
