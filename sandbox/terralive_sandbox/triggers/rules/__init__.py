"""EventBridge rules: event patterns and schedules."""
