"""Answer GET / and publish the answer to the topic."""

import os

import boto3

sns = boto3.client("sns")


def handler(event, context):
    message = "Hello World"
    sns.publish(TopicArn=os.environ["TOPIC_ARN"], Message=message)
    print(f"published: {message}")
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "text/plain"},
        "body": message,
    }
