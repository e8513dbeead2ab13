"""Whatever triggers a live function, the local handler runs: every kind of trigger that the sandbox has, in one app."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from support.commands import Command, run
from support.plain import add, plain_project
from support.projects import Live, Project
from support.waiting import eventually

TRIGGERS = """
resource "aws_iam_role_policy" "greet" {
  role = aws_iam_role.greet.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["sqs:*"], Resource = aws_sqs_queue.work.arn },
      { Effect = "Allow", Action = ["dynamodb:*"], Resource = "*" },
    ]
  })
}

resource "aws_sqs_queue" "work" {
  name                       = "work"
  visibility_timeout_seconds = 10
}

resource "aws_lambda_event_source_mapping" "work" {
  event_source_arn        = aws_sqs_queue.work.arn
  function_name           = aws_lambda_function.greet.arn
  function_response_types = ["ReportBatchItemFailures"]
  depends_on              = [aws_iam_role_policy.greet]
}

resource "aws_dynamodb_table" "orders" {
  name             = "orders"
  billing_mode     = "PAY_PER_REQUEST"
  hash_key         = "id"
  stream_enabled   = true
  stream_view_type = "NEW_IMAGE"
  attribute {
    name = "id"
    type = "S"
  }
}

resource "aws_lambda_event_source_mapping" "orders" {
  event_source_arn  = aws_dynamodb_table.orders.stream_arn
  function_name     = aws_lambda_function.greet.arn
  starting_position = "LATEST"
  depends_on        = [aws_iam_role_policy.greet]
}

resource "aws_cloudwatch_event_rule" "placed" {
  name          = "placed"
  event_pattern = jsonencode({ source = ["shop"] })
}

resource "aws_cloudwatch_event_target" "placed" {
  rule = aws_cloudwatch_event_rule.placed.name
  arn  = aws_lambda_function.greet.arn
}

resource "aws_s3_bucket" "files" {
  bucket = "triggers-files"
}

resource "aws_s3_bucket_notification" "files" {
  bucket = aws_s3_bucket.files.id
  lambda_function {
    lambda_function_arn = aws_lambda_function.greet.arn
    events              = ["s3:ObjectCreated:*"]
  }
  depends_on = [aws_lambda_permission.greet]
}

resource "aws_lambda_permission" "greet" {
  for_each      = toset(["events.amazonaws.com", "s3.amazonaws.com", "apigateway.amazonaws.com"])
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.greet.function_name
  principal     = each.key
}

resource "aws_lambda_permission" "url" {
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.greet.function_name
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "url_function" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.greet.function_name
  principal     = "*"
}

resource "aws_lambda_function_url" "greet" {
  function_name      = aws_lambda_function.greet.function_name
  authorization_type = "NONE"
}

resource "aws_api_gateway_rest_api" "shop" {
  name = "shop"
}

resource "aws_api_gateway_resource" "all" {
  rest_api_id = aws_api_gateway_rest_api.shop.id
  parent_id   = aws_api_gateway_rest_api.shop.root_resource_id
  path_part   = "{proxy+}"
}

resource "aws_api_gateway_method" "any" {
  rest_api_id   = aws_api_gateway_rest_api.shop.id
  resource_id   = aws_api_gateway_resource.all.id
  http_method   = "ANY"
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "any" {
  rest_api_id             = aws_api_gateway_rest_api.shop.id
  resource_id             = aws_api_gateway_resource.all.id
  http_method             = aws_api_gateway_method.any.http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = aws_lambda_function.greet.invoke_arn
}

resource "aws_api_gateway_deployment" "shop" {
  rest_api_id = aws_api_gateway_rest_api.shop.id
  depends_on  = [aws_api_gateway_integration.any]
}

resource "aws_api_gateway_stage" "live" {
  rest_api_id   = aws_api_gateway_rest_api.shop.id
  deployment_id = aws_api_gateway_deployment.shop.id
  stage_name    = "live"
}

output "FunctionUrl" {
  value = aws_lambda_function_url.greet.function_url
}

output "RestUrl" {
  value = aws_api_gateway_stage.live.invoke_url
}
"""

HANDLER = '''
import json

def handler(event, context):
    """What came, and for a queue's message: not before the second time."""
    records = event.get("Records", [])
    if records and records[0].get("eventSource") == "aws:sqs":
        again = [r["messageId"] for r in records if r["attributes"]["ApproximateReceiveCount"] == "1"]
        print("messages", [r["body"] for r in records], "again", len(again))
        return {"batchItemFailures": [{"itemIdentifier": i} for i in again]}
    print("event", json.dumps(event))
    return {"statusCode": 200, "body": "from the local handler: " + event.get("rawPath", event.get("path", ""))}
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = plain_project(tmp_path_factory.mktemp("triggers"))
    add(project, TRIGGERS)
    project.write_handler("greet", HANDLER)
    return project


@pytest.fixture(scope="module")
def live(project: Project) -> Iterator[Live]:
    with Command(["start", "--sandbox", "--yes"], project.root) as command:
        ready = command.wait_for_type("ready", timeout_s=240)
        project.sandbox = ready["sandbox"]
        yield Live(project, command, ready)


def ran(live: Live, trigger: str) -> list[str]:
    """Wait for an invocation by this trigger and its success; the lines that the local handler has printed."""
    started = live.eventually("invocation", trigger=trigger)
    live.eventually("result", request_id=started["request_id"], ok=True)
    return live.log_lines(started["request_id"])


def test_rest_apis_and_function_urls_answer_from_the_local_handler(live: Live) -> None:
    urls = live.ready["urls"]
    assert httpx.get(f"{urls['RestUrl']}/a/b", timeout=30).text == "from the local handler: /a/b"
    assert httpx.get(f"{urls['FunctionUrl']}x", timeout=30).text == "from the local handler: /x"


def test_buses_buckets_and_streams_run_the_local_handler(live: Live) -> None:
    project = live.project
    sent = project.client("events").put_events(Entries=[{"Source": "shop", "DetailType": "placed", "Detail": "{}"}])
    assert sent["FailedEntryCount"] == 0
    project.client("s3").put_object(Bucket="triggers-files", Key="a b", Body=b"x")
    project.client("dynamodb").put_item(TableName="orders", Item={"id": {"S": "1"}})
    assert any('"detail-type": "placed"' in line for line in ran(live, "eventbridge"))
    assert any('"eventName": "ObjectCreated:Put"' in line for line in ran(live, "s3"))
    assert any('"eventName": "INSERT"' in line for line in ran(live, "dynamodb"))


def test_a_message_that_the_local_handler_hands_back_comes_again_and_is_gone_then(live: Live) -> None:
    queue = live.project.client("sqs")
    url = queue.get_queue_url(QueueName="work")["QueueUrl"]
    queue.send_message(QueueUrl=url, MessageBody="an order")
    live.command.wait_for(
        lambda event: event["type"] == "log" and event["line"] == "messages ['an order'] again 0", "the second try"
    )
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def is_empty() -> bool:
        return set(queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"}

    eventually(is_empty)


def test_the_command_line_tells_which_address_answers_and_how_an_sdk_gets_here(live: Live) -> None:
    address = live.ready["outputs"]["RestUrl"]
    told = run(["sandbox", "--url", f"{address}/a"], live.project.root)
    assert told.noise, told.story()
    (line,) = told.noise
    assert httpx.get(line.rpartition(" ")[2], timeout=30).text == "from the local handler: /a"
    exports = run(["sandbox", "--env"], live.project.root).noise
    assert any("unset AWS_SESSION_TOKEN AWS_PROFILE" in line for line in exports)
    assert any(f"export AWS_ENDPOINT_URL={live.project.sandbox['endpoint']}" in line for line in exports)
