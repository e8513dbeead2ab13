"""WebSocket APIs and their `@connections` API."""
