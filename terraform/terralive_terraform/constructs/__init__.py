"""CDK for Terraform constructs for a team's own programs."""
