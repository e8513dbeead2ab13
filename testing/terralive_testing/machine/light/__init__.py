"""Terraform with less work in each run."""
