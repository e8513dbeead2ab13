"""Terraform configuration that is saved while functions are live: noticed, and applied at a key."""
