"""TODO terralive_sandbox.apigateway."""
