"""Words for the triggers of invocations, as AWS writes the names of its services. Pure."""

from __future__ import annotations

from typing import Final

# A request says by itself what it is.
_WITHOUT_NAME: Final = "http"
_NAMES: Final = {
    "alarm": "CloudWatch alarm",
    "alexa": "Alexa",
    "appsync": "AppSync",
    "authorizer": "authorizer for",
    "bedrock": "Bedrock agent",
    "cloudformation": "CloudFormation",
    "cloudfront": "CloudFront",
    "codecommit": "CodeCommit",
    "codepipeline": "CodePipeline",
    "cognito": "Cognito",
    "cognitosync": "Cognito Sync",
    "config": "AWS Config",
    "connect": "Amazon Connect",
    "destination": "destination of",
    "documentdb": "DocumentDB",
    "dynamodb": "DynamoDB",
    "eventbridge": "EventBridge",
    "firehose": "Firehose",
    "iot": "IoT",
    "iotevents": "IoT Events",
    "kafka": "Kafka",
    "kinesis": "Kinesis",
    "kinesisanalytics": "Kinesis Data Analytics",
    "lattice": "VPC Lattice",
    "lex": "Lex",
    "logs": "CloudWatch Logs",
    "mq": "Amazon MQ",
    "pinpoint": "Pinpoint",
    "redshift": "Redshift",
    "s3": "S3",
    "s3batch": "S3 Batch Operations",
    "s3objectlambda": "S3 Object Lambda",
    "schedule": "EventBridge schedule",
    "secretsmanager": "Secrets Manager",
    "ses": "SES",
    "sns": "SNS",
    "sqs": "SQS",
    "states": "Step Functions",
    "transfer": "Transfer Family",
    "websocket": "WebSocket",
    "workmail": "WorkMail",
}


def trigger_words(trigger: str, summary: str) -> str:
    """Return what invoked a function, in a few words.

    Args:
        trigger: the trigger, as in the event `invocation` (`sqs`).
        summary: a few words about the event (`orders, 10 messages`), or "".
    """
    if trigger == _WITHOUT_NAME and summary:
        return summary
    return f"{_NAMES.get(trigger, trigger)} {summary}".rstrip()
