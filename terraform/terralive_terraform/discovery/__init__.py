"""TODO terralive_terraform.discovery."""
