"""The debug stack: its settings, its resources (CDK for Terraform), and its synthesis."""
