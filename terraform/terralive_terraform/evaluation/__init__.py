"""What Terraform itself says about an app: a plan of the app without stubs."""
