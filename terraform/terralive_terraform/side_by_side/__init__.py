"""Terraform runs of one command that run at once, each in a folder and a state of its own."""
