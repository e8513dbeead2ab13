"""EventBridge Pipes: a pipe reads a queue or stream, like an event source mapping does."""
