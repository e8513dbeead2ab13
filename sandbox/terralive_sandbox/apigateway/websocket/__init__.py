"""TODO terralive_sandbox.apigateway.websocket."""
