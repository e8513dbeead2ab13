"""SQS queues as event sources."""
