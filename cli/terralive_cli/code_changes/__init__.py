"""Changes the code of functions by Lambda's API, where Terraform makes no change."""
