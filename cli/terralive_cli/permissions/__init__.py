"""IAM policies of people and jobs that run terralive. docs/PERMISSIONS.md explains them."""
