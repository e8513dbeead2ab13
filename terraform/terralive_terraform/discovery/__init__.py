"""The Lambda functions and triggers that a Terraform configuration declares."""
