"""The WebSocket connection to the debug stack."""
