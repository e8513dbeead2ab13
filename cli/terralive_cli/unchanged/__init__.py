"""A start without Terraform, where nothing has changed that the last plan depended on."""
