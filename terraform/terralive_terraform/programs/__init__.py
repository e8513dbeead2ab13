"""CDK for Terraform programs: their runs, their stacks, and their output."""
