"""Prints each message that arrives at the topic."""


def handler(event, context):
    for record in event["Records"]:
        print(f"received: {record['Sns']['Message']}")
