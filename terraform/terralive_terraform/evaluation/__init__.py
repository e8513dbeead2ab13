"""Terraform's own answers about an app: a plan of the app without stubs."""
