"""Print the messages that the topic sends."""


def handler(event, context):
    for record in event["Records"]:
        print(f"received: {record['Sns']['Message']}")
