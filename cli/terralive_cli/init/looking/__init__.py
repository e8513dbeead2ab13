"""Looks at a repository, its Terraform roots and their functions."""
