"""DynamoDB streams as event sources."""
