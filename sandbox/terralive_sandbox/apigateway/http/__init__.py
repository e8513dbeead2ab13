"""TODO terralive_sandbox.apigateway.http."""
