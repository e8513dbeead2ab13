"""Override files: how Terraform reads them, and how they are gone again a moment later."""
