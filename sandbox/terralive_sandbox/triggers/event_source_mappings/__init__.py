"""Event source mappings: Lambda reads queues and streams for functions.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""
