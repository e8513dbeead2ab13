"""The local handler runs for every kind of trigger that the sandbox has, in one app.

The tests run in order: live, then with nobody connected, then live again. The sandbox's minutes are
18 s, so that Lambda's own retries of asynchronous invocations (after one and two more minutes) come
soon, and a slow machine still has time for all that happens before the last one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.sandbox import running_sandbox
from terralive_testing.drivers.command import Command, Event, run
from terralive_testing.drivers.plain_app import add, plain_project, start
from terralive_testing.drivers.project import Live, Project
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(300)

TRIGGERS = """
resource "aws_iam_role_policy" "greet" {
  role = aws_iam_role.greet.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["sqs:*"]
        Resource = [aws_sqs_queue.work.arn, aws_sqs_queue.done.arn]
      },
      { Effect = "Allow", Action = ["dynamodb:*", "logs:*"], Resource = "*" },
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

resource "aws_sqs_queue" "done" {
  name = "done"
}

resource "aws_lambda_function_event_invoke_config" "greet" {
  function_name = aws_lambda_function.greet.function_name
  destination_config {
    on_success { destination = aws_sqs_queue.done.arn }
    on_failure { destination = aws_sqs_queue.done.arn }
  }
  depends_on = [aws_iam_role_policy.greet]
}

resource "aws_sns_topic" "news" {
  name = "news"
}

resource "aws_sns_topic_subscription" "news" {
  topic_arn = aws_sns_topic.news.arn
  protocol  = "lambda"
  endpoint  = aws_lambda_function.greet.arn
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
  for_each      = toset([
    "events.amazonaws.com", "s3.amazonaws.com", "sns.amazonaws.com", "apigateway.amazonaws.com",
  ])
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

resource "aws_apigatewayv2_api" "shop" {
  name          = "shop"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "shop" {
  api_id                 = aws_apigatewayv2_api.shop.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.greet.invoke_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "shop" {
  api_id    = aws_apigatewayv2_api.shop.id
  route_key = "$default"
  target    = "integrations/${aws_apigatewayv2_integration.shop.id}"
}

resource "aws_apigatewayv2_stage" "shop" {
  api_id      = aws_apigatewayv2_api.shop.id
  name        = "$default"
  auto_deploy = true
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

resource "aws_lambda_invocation" "first" {
  function_name = aws_lambda_function.greet.function_name
  input         = jsonencode({ rawPath = "/by-terraform" })
  # The sandbox reads the role's policies when it starts an execution environment.
  depends_on = [aws_iam_role_policy.greet]
}

output "FromTerraform" {
  value = jsondecode(aws_lambda_invocation.first.result).body
}

output "HttpUrl" {
  value = aws_apigatewayv2_stage.shop.invoke_url
}

output "TopicArn" {
  value = aws_sns_topic.news.arn
}

output "FunctionUrl" {
  value = aws_lambda_function_url.greet.function_url
}

output "RestUrl" {
  value = aws_api_gateway_stage.live.invoke_url
}
"""

# Terraform reads it in every plan: its arguments depend on nothing that changes.
DATA_SOURCE = """
data "aws_lambda_invocation" "every_plan" {
  function_name = "plain-greet"
  input         = jsonencode({ rawPath = "/in-every-plan" })
}
"""

HANDLER = '''
import json

def handler(event, context):
    """What came, and for a queue's message: not before the second time."""
    records = event.get("Records", [])
    if records and records[0].get("eventSource") == "aws:sqs":
        count = "ApproximateReceiveCount"
        again = [r["messageId"] for r in records if r["attributes"][count] == "1"]
        print("messages", [r["body"] for r in records], "again", len(again))
        return {"batchItemFailures": [{"itemIdentifier": i} for i in again]}
    print("event", json.dumps(event))
    if event.get("text") == "not-yet":
        raise NotImplementedError
    path = event.get("rawPath", event.get("path", ""))
    return {"statusCode": 200, "body": "from the local handler: " + path}
'''


CORRECTED = HANDLER.replace('"not-yet"', '"nothing fails any more"')


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = plain_project(tmp_path_factory.mktemp("triggers"))
    add(project, TRIGGERS)
    project.write_handler("greet", HANDLER)
    return project


@pytest.fixture(scope="module", autouse=True)
def sandbox(project: Project) -> Iterator[SandboxInfo]:
    with running_sandbox(project.root / ".terralive", time_scale=0.3) as info:
        yield info


@pytest.fixture(scope="module")
def live(project: Project) -> Iterator[Live]:
    with start(project) as command:
        ready = command.wait_for_type("ready", timeout_s=240)
        project.sandbox = ready["sandbox"]
        yield Live(project, command, ready)


def ran(live: Live, trigger: str) -> list[str]:
    """Wait for an invocation by this trigger and its success.

    The lines that the local handler has printed.
    """
    started = live.eventually("invocation", trigger=trigger)
    live.eventually("result", request_id=started["request_id"], ok=True)
    return live.log_lines(started["request_id"])


def queue_is_empty(project: Project) -> bool:
    queue = project.client("sqs")
    url = queue.get_queue_url(QueueName="work")["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return set(
        queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()
    ) == {"0"}


def test_a_function_that_the_first_apply_invokes_answers_from_the_local_handler(live: Live) -> None:
    assert live.ready["outputs"]["FromTerraform"] == "from the local handler: /by-terraform"


def test_http_apis_rest_apis_and_function_urls_answer_from_the_local_handler(live: Live) -> None:
    urls = live.ready["urls"]
    assert httpx.get(f"{urls['HttpUrl']}h", timeout=30).text == "from the local handler: /h"
    assert httpx.get(f"{urls['RestUrl']}/a/b", timeout=30).text == "from the local handler: /a/b"
    assert httpx.get(f"{urls['FunctionUrl']}x", timeout=30).text == "from the local handler: /x"


def test_requests_that_the_sandbox_refuses_show_in_the_terminal_with_the_reason(live: Live) -> None:
    role = live.project.client("iam").get_role(RoleName="plain-greet")["Role"]["Arn"]
    with pytest.raises(ClientError, match="AccessDenied"):
        live.project.client("sts").assume_role(RoleArn=role, RoleSessionName="me")
    # No resource of the REST API takes this path.
    assert httpx.get(f"{live.ready['urls']['RestUrl']}/", timeout=30).status_code == 403

    def refusals() -> list[str]:
        warnings = live.command.of_type("warning")
        shown = [w["message"] for w in warnings if w["reference"] == "refused-by-sandbox"]
        return shown[:2] if len(shown) >= 2 else []

    by_iam, by_api = eventually(refusals, "two refusals on the screen")
    assert "sts AssumeRole" in by_iam
    assert f"on resource: {role}" in by_iam
    assert "GET /: 403" in by_api
    assert "Missing Authentication Token" in by_api


def test_buses_buckets_and_streams_run_the_local_handler(live: Live) -> None:
    project = live.project
    sent = project.client("events").put_events(
        Entries=[{"Source": "shop", "DetailType": "placed", "Detail": "{}"}]
    )
    assert sent["FailedEntryCount"] == 0
    project.client("s3").put_object(Bucket="triggers-files", Key="a b", Body=b"x")
    project.client("dynamodb").put_item(TableName="orders", Item={"id": {"S": "1"}})
    assert any('"detail-type": "placed"' in line for line in ran(live, "eventbridge"))
    assert any('"eventName": "ObjectCreated:Put"' in line for line in ran(live, "s3"))
    assert any('"eventName": "INSERT"' in line for line in ran(live, "dynamodb"))


@pytest.fixture(scope="module")
def corrected(live: Live) -> object:
    """The request id of an event whose handler has failed, and was corrected before the retry."""
    event = json.dumps({"text": "not-yet"}).encode()
    live.project.client("lambda").invoke(
        FunctionName="plain-greet", InvocationType="Event", Payload=event
    )
    failed = live.eventually("result", error_type="NotImplementedError")
    live.project.write_handler("greet", CORRECTED)
    live.eventually("reload", function="plain-greet")
    return failed["request_id"]


@pytest.mark.usefixtures("corrected")
def test_a_message_that_the_local_handler_hands_back_comes_again_and_is_gone_then(
    live: Live,
) -> None:
    queue = live.project.client("sqs")
    url = queue.get_queue_url(QueueName="work")["QueueUrl"]
    queue.send_message(QueueUrl=url, MessageBody="an order")
    live.command.wait_for(
        lambda event: event["type"] == "log" and event["line"] == "messages ['an order'] again 0",
        "the second try",
    )
    eventually(lambda: queue_is_empty(live.project))


def test_lambdas_own_retry_runs_the_handler_again_with_the_code_of_now(
    live: Live, corrected: object
) -> None:
    """On a slow machine, the second attempt may come before the corrected code."""

    def succeeded() -> list[Event]:
        results = live.command.of_type("result")
        return [event for event in results if event["request_id"] == corrected and event["ok"]]

    (result,) = eventually(succeeded, "an attempt that succeeds")
    assert result["attempt"] in {2, 3}
    started = live.eventually("invocation", request_id=corrected, attempt=result["attempt"])
    assert started["after_first_s"] > 0


def test_the_command_line_tells_which_address_answers_and_how_an_sdk_gets_here(live: Live) -> None:
    address = live.ready["outputs"]["RestUrl"]
    told = run(["sandbox", "--url", f"{address}/a"], live.project.root)
    (ready,) = told.of_type("ready")
    url = ready["urls"][f"{address}/a"]
    assert httpx.get(url, timeout=30).text == "from the local handler: /a"
    assert ready["sandbox"] == live.project.sandbox
    as_text = run(["sandbox", "--url", f"{address}/a", "--output", "plain"], live.project.root)
    assert as_text.not_json == [url]
    exports = run(["sandbox", "--env", "--output", "plain"], live.project.root).not_json
    assert any("unset AWS_SESSION_TOKEN AWS_PROFILE" in line for line in exports)
    assert f"export AWS_ENDPOINT_URL={live.project.sandbox['endpoint']}" in exports


# Nobody connected

ASYNCHRONOUS = ("event", "sns", "eventbridge", "s3")
MESSAGES = ("one", "two", "three")
ITEMS = tuple(f"item-{number}" for number in range(5))


def attempts(project: Project) -> int:
    """Count the ends of the function in its log."""
    logs = project.client("logs").get_paginator("filter_log_events")
    pages = logs.paginate(logGroupName="/aws/lambda/plain-greet", filterPattern='"END RequestId"')
    return sum(len(page["events"]) for page in pages)


def destined(project: Project, found: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Add Lambda's records of asynchronous invocations that have ended, by trigger, to `found`."""
    queue = project.client("sqs")
    url = queue.get_queue_url(QueueName="done")["QueueUrl"]
    while messages := queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            record = json.loads(message["Body"])
            event = json.dumps(record["requestPayload"])
            found |= {trigger: record for trigger in ASYNCHRONOUS if f"{trigger}-waits" in event}
    return found


@pytest.fixture(scope="module")
def alone(live: Live) -> Live:
    """After Ctrl-C."""
    live.command.interrupt()
    assert live.command.finish(30) == 130, live.command.story()
    return live


def test_with_nobody_connected_a_caller_gets_an_error_that_says_who_was_and_what_to_do(
    alone: Live,
) -> None:
    answer = alone.project.client("lambda").invoke(FunctionName="plain-greet", Payload=b"{}")
    error = json.loads(answer["Payload"].read())
    assert (answer["FunctionError"], error["errorType"]) == ("Unhandled", "Terralive.NoRelay")
    for said in (
        "ana's",
        "app 'plain', stage 'dev-ana'",
        "terralive start --stage dev-ana",
        "terralive restore",
    ):
        assert said in error["errorMessage"]


@pytest.mark.parametrize("url", ["HttpUrl", "RestUrl", "FunctionUrl"])
def test_with_nobody_connected_an_http_caller_gets_a_503_with_the_same_text(
    alone: Live, url: str
) -> None:
    answer = httpx.get(f"{alone.ready['urls'][url].rstrip('/')}/x", timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (
        503,
        "text/plain; charset=utf-8",
    )
    assert answer.text.startswith(
        "Terralive.NoRelay: No relay is connected to app 'plain', stage 'dev-ana'"
    )
    assert "ana's" in answer.text
    assert "terralive start --stage dev-ana" in answer.text


@pytest.fixture(scope="module")
def returning(alone: Live, sandbox: SandboxInfo) -> Iterator[Command]:
    """`terralive start` again, on its way: its messages get lost, so that it is not there yet."""
    rule = Faults(sandbox).set("drop", stage="relay", direction="in")
    with start(alone.project) as command:
        eventually(
            lambda: any(
                fault["id"] == rule and fault["acts"] for fault in Faults(sandbox).listed()
            ),
            seconds=120,
        )
        yield command


@pytest.fixture(scope="module")
def waiting(alone: Live, returning: Command) -> dict[str, dict[str, object]]:
    """Everything that AWS retries by itself has been sent, and was tried once.

    The records of what ended by that.
    """
    project = alone.project
    before = attempts(project)
    event = json.dumps({"text": "event-waits"}).encode()
    project.client("lambda").invoke(
        FunctionName="plain-greet", InvocationType="Event", Payload=event
    )
    project.client("sns").publish(TopicArn=alone.ready["outputs"]["TopicArn"], Message="sns-waits")
    entry = {"Source": "shop", "DetailType": "placed", "Detail": '{"text": "eventbridge-waits"}'}
    assert project.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    project.client("s3").put_object(Bucket="triggers-files", Key="s3-waits", Body=b"x")
    eventually(lambda: attempts(project) >= before + len(ASYNCHRONOUS))
    before = attempts(project)
    queue = project.client("sqs")
    url = queue.get_queue_url(QueueName="work")["QueueUrl"]
    entries = [{"Id": text, "MessageBody": text} for text in MESSAGES]
    assert not queue.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")
    names = ["ApproximateNumberOfMessages"]
    eventually(
        lambda: (
            queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            == {names[0]: "0"}
        )
    )
    eventually(lambda: attempts(project) > before)
    before = attempts(project)
    for name in ITEMS:
        project.client("dynamodb").put_item(TableName="orders", Item={"id": {"S": name}})
    eventually(lambda: attempts(project) > before)
    assert not returning.of_type("ready")
    return destined(project, {})


def test_with_nobody_connected_nothing_that_aws_retries_counts_as_done(
    project: Project, waiting: dict[str, dict[str, object]]
) -> None:
    assert waiting == {}
    assert not queue_is_empty(project)


@pytest.fixture(scope="module")
def back(
    alone: Live, sandbox: SandboxInfo, returning: Command, waiting: dict[str, dict[str, object]]
) -> Live:
    """The relay is there again."""
    assert waiting == {}
    Faults(sandbox).clear()
    Faults(sandbox).drop_connections(stage="relay")
    return Live(alone.project, returning, returning.wait_for_type("ready"))


def test_asynchronous_invocations_succeed_by_lambdas_own_retry_when_the_relay_is_back(
    back: Live,
) -> None:
    found: dict[str, dict[str, object]] = {}
    eventually(lambda: set(destined(back.project, found)) == set(ASYNCHRONOUS))
    for trigger, record in found.items():
        about = record["requestContext"]
        assert isinstance(about, dict)
        assert about["condition"] == "Success", trigger
        assert about["approximateInvokeCount"] in {2, 3}, trigger
        assert record["responsePayload"] == {"statusCode": 200, "body": "from the local handler: "}
        assert back.eventually("result", request_id=about["requestId"])["ok"] is True


def test_a_queues_messages_are_handled_when_the_relay_is_back_and_none_is_lost(back: Live) -> None:
    def printed() -> list[str]:
        lines = [event["line"] for event in back.command.of_type("log")]
        return [line for line in lines if line.startswith("messages ")]

    eventually(lambda: queue_is_empty(back.project), "the queue is empty")
    eventually(lambda: all(f"'{text}'" in "".join(printed()) for text in MESSAGES), "all messages")
    lines = printed()
    assert all(line.endswith("again 0") for line in lines), (
        "their first receive failed with nobody connected"
    )
    assert sorted(text for text in MESSAGES for line in lines if f"'{text}'" in line) == sorted(
        MESSAGES
    )


def test_a_streams_records_are_handled_in_their_order_when_the_relay_is_back_and_none_is_skipped(
    back: Live,
) -> None:
    def handled() -> list[str]:
        lines = [event["line"].removeprefix("event ") for event in back.command.of_type("log")]
        records = [
            record
            for line in lines
            if '"aws:dynamodb"' in line
            for record in json.loads(line)["Records"]
        ]
        return [record["dynamodb"]["Keys"]["id"]["S"] for record in records]

    eventually(lambda: len(handled()) >= len(ITEMS))
    assert handled() == list(ITEMS)


@pytest.fixture(scope="module")
def after_a_kill(back: Live) -> Iterator[Command]:
    """`kill -9`, and `terralive start` again; Terraform invokes the function in every plan now."""
    back.command.process.kill()
    back.command.finish()
    add(back.project, DATA_SOURCE)
    with start(back.project) as command:
        command.wait_for_type("ready")
        yield command


def test_a_function_that_a_plan_invokes_is_served_before_the_plan_is_made(
    after_a_kill: Command,
) -> None:
    events = after_a_kill.events
    before_ready = events[: events.index(after_a_kill.of_type("ready")[0])]
    lines = [event["line"] for event in before_ready if event["type"] == "log"]
    assert any("/in-every-plan" in line for line in lines), after_a_kill.story()
    assert all(result["ok"] for result in after_a_kill.of_type("result"))


def test_the_same_person_goes_on_at_once_after_a_kill(back: Live, after_a_kill: Command) -> None:
    answer = httpx.get(f"{back.ready['urls']['FunctionUrl']}y", timeout=30)
    assert answer.text == "from the local handler: /y"
    Live(back.project, after_a_kill, back.ready).eventually("invocation", summary="GET /y")
    invocations = after_a_kill.of_type("invocation")
    assert [event["summary"] for event in invocations].count("GET /y") == 1
