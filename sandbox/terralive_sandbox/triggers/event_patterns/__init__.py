"""The language of event patterns, which EventBridge rules and Lambda event filters share."""
