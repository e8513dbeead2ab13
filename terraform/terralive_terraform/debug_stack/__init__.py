"""TODO terralive_terraform.debug_stack."""
