"""TODO terralive_terraform.runs."""
