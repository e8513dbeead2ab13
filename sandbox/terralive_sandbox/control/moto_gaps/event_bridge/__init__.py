"""EventBridge: buses with their rules, and EventBridge Scheduler."""
