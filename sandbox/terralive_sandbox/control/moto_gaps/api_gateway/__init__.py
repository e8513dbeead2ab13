"""API Gateway: REST APIs (version 1 of its API), HTTP and WebSocket APIs (version 2)."""
