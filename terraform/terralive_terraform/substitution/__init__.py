"""TODO terralive_terraform.substitution."""
