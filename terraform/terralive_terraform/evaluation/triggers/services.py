"""Services that invoke functions, by their names for people, and resources that say so. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html. The names of resource types and
attributes are those of the AWS provider:
https://registry.terraform.io/providers/hashicorp/aws/latest/docs
"""

from __future__ import annotations

from typing import Final

MAPPING: Final = "aws_lambda_event_source_mapping"
QUEUE: Final = "aws_sqs_queue"
URL: Final = "aws_lambda_function_url"
HTTP: Final = "aws_apigatewayv2_integration"
REST: Final = "aws_api_gateway_integration"
# Each type of API Gateway integration or authorizer, and its attribute that names the function.
INTEGRATIONS: Final = {HTTP: "integration_uri", REST: "uri"}
AUTHORIZERS: Final = {
    "aws_apigatewayv2_authorizer": "authorizer_uri",
    "aws_api_gateway_authorizer": "authorizer_uri",
}
_API_GATEWAY: Final = "API Gateway"
_LOAD_BALANCER: Final = "Application Load Balancer"
_ALARM: Final = "CloudWatch alarm"
_APPSYNC: Final = "AppSync"
_BEDROCK: Final = "Bedrock"
_COGNITO: Final = "Cognito"
_CONFIG: Final = "AWS Config"
_IOT: Final = "IoT"
_LEX: Final = "Lex"
_SECRETS: Final = "Secrets Manager"
_TRANSFER: Final = "Transfer Family"

# Each resource type with an attribute that is a function: its type, the attribute, the service.
BY_ATTRIBUTE: Final = (
    *((kind, attribute, _API_GATEWAY) for kind, attribute in INTEGRATIONS.items()),
    *((kind, attribute, "API Gateway (authorizer)") for kind, attribute in AUTHORIZERS.items()),
    ("aws_alb_target_group_attachment", "target_id", _LOAD_BALANCER),
    ("aws_cloudwatch_event_target", "arn", "EventBridge"),
    ("aws_cloudwatch_log_subscription_filter", "destination_arn", "CloudWatch Logs"),
    ("aws_config_organization_custom_rule", "lambda_function_arn", _CONFIG),
    ("aws_connect_lambda_function_association", "function_arn", "Amazon Connect"),
    ("aws_iot_authorizer", "authorizer_function_arn", "IoT (authorizer)"),
    (URL, "function_name", "function URL"),
    ("aws_lambda_invocation", "function_name", "Terraform"),
    ("aws_lb_target_group_attachment", "target_id", _LOAD_BALANCER),
    ("aws_pipes_pipe", "enrichment", "EventBridge Pipes"),
    ("aws_pipes_pipe", "target", "EventBridge Pipes"),
    ("aws_secretsmanager_secret_rotation", "rotation_lambda_arn", _SECRETS),
    ("aws_sns_topic_subscription", "endpoint", "SNS"),
    ("aws_ssm_maintenance_window_task", "task_arn", "Systems Manager"),
    ("aws_transfer_server", "function", _TRANSFER),
)
# Each resource type with functions in texts, lists or blocks: its type, the path to these, the
# service. A path of "" is the whole resource.
BY_PART: Final = (
    ("aws_appsync_datasource", "lambda_config", _APPSYNC),
    ("aws_appsync_function", "sync_config", _APPSYNC),
    ("aws_appsync_resolver", "sync_config", _APPSYNC),
    (
        "aws_appsync_graphql_api",
        "additional_authentication_provider.lambda_authorizer_config",
        "AppSync (authorizer)",
    ),
    ("aws_appsync_graphql_api", "lambda_authorizer_config", "AppSync (authorizer)"),
    ("aws_bedrockagent_agent_action_group", "action_group_executor", _BEDROCK),
    ("aws_bedrockagent_data_source", "vector_ingestion_configuration", _BEDROCK),
    ("aws_chimesdkvoice_sip_media_application", "endpoints", "Chime SDK"),
    (
        "aws_cloudfront_distribution",
        "default_cache_behavior.lambda_function_association",
        "CloudFront",
    ),
    (
        "aws_cloudfront_distribution",
        "ordered_cache_behavior.lambda_function_association",
        "CloudFront",
    ),
    *(
        (kind, f"{state}_actions", _ALARM)
        for kind in ("aws_cloudwatch_metric_alarm", "aws_cloudwatch_composite_alarm")
        for state in ("alarm", "ok", "insufficient_data")
    ),
    ("aws_cognito_user_pool", "lambda_config", _COGNITO),
    ("aws_config_config_rule", "source", _CONFIG),
    ("aws_ec2_client_vpn_endpoint", "client_connect_options", "Client VPN"),
    ("aws_iot_topic_rule", "error_action.lambda", _IOT),
    ("aws_iot_topic_rule", "lambda", _IOT),
    ("aws_kendra_data_source", "custom_document_enrichment_configuration", "Kendra"),
    ("aws_kinesis_firehose_delivery_stream", "", "Firehose"),
    ("aws_lambda_function_event_invoke_config", "destination_config", "Lambda (destination)"),
    ("aws_lex_intent", "dialog_code_hook", _LEX),
    ("aws_lex_intent", "fulfillment_activity", _LEX),
    ("aws_pinpoint_app", "campaign_hook", "Pinpoint"),
    ("aws_s3_bucket_notification", "lambda_function", "S3"),
    ("aws_s3control_object_lambda_access_point", "configuration", "S3 Object Lambda"),
    ("aws_scheduler_schedule", "target", "EventBridge Scheduler"),
    ("aws_ses_receipt_rule", "lambda_action", "SES"),
    ("aws_sfn_state_machine", "definition", "Step Functions"),
    ("aws_transfer_workflow", "on_exception_steps", _TRANSFER),
    ("aws_transfer_workflow", "steps", _TRANSFER),
    ("aws_vpclattice_target_group_attachment", "target", "VPC Lattice"),
)
# Services by the first part of the principal in a permission.
PRINCIPALS: Final = {
    "alexa-appkit": "Alexa",
    "alexa-connectedhome": "Alexa",
    "apigateway": _API_GATEWAY,
    "appsync": _APPSYNC,
    "bedrock": _BEDROCK,
    "cloudformation": "CloudFormation",
    "cloudfront": "CloudFront",
    "codecommit": "CodeCommit",
    "cognito-idp": _COGNITO,
    "config": _CONFIG,
    "connect": "Amazon Connect",
    "elasticloadbalancing": _LOAD_BALANCER,
    "events": "EventBridge",
    "iot": _IOT,
    "iotevents": "IoT Events",
    # lambda.alarms.cloudwatch.amazonaws.com:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
    "lambda": _ALARM,
    "lex": _LEX,
    "lexv2": _LEX,
    "logs": "CloudWatch Logs",
    "s3": "S3",
    "scheduler": "EventBridge Scheduler",
    "secretsmanager": _SECRETS,
    "ses": "SES",
    "sns": "SNS",
    "transfer": _TRANSFER,
    "vpc-lattice": "VPC Lattice",
}
# Event sources by the service in their ARN, and by their resource type:
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
SOURCES: Final = {
    "sqs": "SQS",
    "kinesis": "Kinesis",
    "dynamodb": "DynamoDB",
    "kafka": "MSK",
    "mq": "Amazon MQ",
    "rds": "DocumentDB",
}
SOURCE_TYPES: Final = {
    QUEUE: "SQS",
    "aws_kinesis_stream": "Kinesis",
    "aws_kinesis_stream_consumer": "Kinesis",
    "aws_dynamodb_table": "DynamoDB",
    "aws_msk_cluster": "MSK",
    "aws_msk_serverless_cluster": "MSK",
    "aws_mq_broker": "Amazon MQ",
    "aws_docdb_cluster": "DocumentDB",
}
