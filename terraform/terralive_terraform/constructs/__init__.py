"""TODO terralive_terraform.constructs."""
