"""The changes in a Terraform configuration that put the stub in a function's place."""
