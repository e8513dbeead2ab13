"""CDK for Terraform constructs, substitution, and the Terraform runner."""
