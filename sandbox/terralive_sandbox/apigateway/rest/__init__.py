"""TODO terralive_sandbox.apigateway.rest."""
