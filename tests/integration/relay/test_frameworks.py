"""Frameworks as users deploy them run live: behind an HTTP API, a REST API and a function URL.

Express by serverless-http, FastAPI by Mangum, Flask by serverless-wsgi, and Powertools. Their
adapters read what the event and the context of each kind of API have.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from terralive_sandbox.info import SandboxInfo, local_url
from terralive_testing.deployers.rest_api import at, fetch, rest_api
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.deployers.stage import deploy
from terralive_testing.drivers.relay_process import RelayProcess, relay_process
from terralive_testing.machine.waiting import eventually

NODE = shutil.which("node")
# From tests/contract/workers/node/package-lock.json, as `make` installs it.
PACKAGES = Path(sys.prefix) / "aws-lambda-ric" / "node_modules"
BYTES = bytes(range(256))

EXPRESS = """
import express, { type Request, type Response } from "express"
import serverless from "serverless-http"

const app = express()
app.use(express.raw({ type: "application/octet-stream" }))
app.get("/binary", (_: Request, response: Response) => {
  response.status(201).type("application/octet-stream").send(Buffer.from([...Array(256).keys()]))
})
app.post("/orders/:id", (request: Request, response: Response) => {
  response.cookie("a", "1").cookie("b", "2")
  response.json([request.params.id, request.query.q, request.body.length, request.headers["x-who"]])
})
app.get("/broken", () => { throw new Error("broken") })
export const handler = serverless(app, { binary: ["application/octet-stream"] })
"""
FASTAPI = """
from fastapi import FastAPI, Request, Response
from mangum import Mangum

app = FastAPI()

@app.get("/binary")
def binary():
    return Response(bytes(range(256)), 201, media_type="application/octet-stream")

@app.post("/orders/{order}")
async def orders(order: str, q: str, request: Request, response: Response):
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return [order, q, len(await request.body()), request.headers["x-who"]]

@app.get("/broken")
def broken():
    return Response("broken", 500)

handler = Mangum(app, lifespan="off")
"""
FLASK = """
import serverless_wsgi
from flask import Flask, Response, jsonify, request

app = Flask(__name__)

@app.get("/binary")
def binary():
    return Response(bytes(range(256)), 201, mimetype="application/octet-stream")

@app.post("/orders/<order>")
def orders(order):
    response = jsonify(
        [order, request.args["q"], len(request.get_data()), request.headers["x-who"]]
    )
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response

@app.get("/broken")
def broken():
    raise ValueError("broken")

def handler(event, context):
    return serverless_wsgi.handle_request(app, event, context)
"""
POWERTOOLS = """
import json, os, uuid
from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor, EventType, process_partial_response,
)
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function,
)

logger = Logger(service="orders")
tracer = Tracer(service="orders")
processor = BatchProcessor(event_type=EventType.SQS)
store = DynamoDBPersistenceLayer(table_name="TABLE")
config = IdempotencyConfig(event_key_jmespath="id")

@idempotent_function(data_keyword_argument="order", config=config, persistence_store=store)
def pay(order):
    return {"payment": str(uuid.uuid4())}

@tracer.capture_method
def check(record):
    if record.json_body["fail"]:
        raise ValueError("cannot be paid")

@tracer.capture_lambda_handler
@logger.inject_lambda_context(log_event=False)
def handler(event, context):
    config.register_lambda_context(context)
    logger.info("paying", extra={"step": event.get("step")})
    if "Records" in event:
        return process_partial_response(event, check, processor, context)
    return pay(order=event)
"""

FRAMEWORKS = {
    "express": ("app.ts", EXPRESS, ()),
    "fastapi": ("app.py", FASTAPI, ("fastapi", "mangum")),
    "flask": ("app.py", FLASK, ("flask", "serverless_wsgi")),
}


def why_not(framework: str) -> str:
    """Return why a framework cannot be tried here; "" where it can."""
    if framework == "express":
        if NODE is None or not (PACKAGES / "serverless-http").is_dir():
            return "express and serverless-http are not installed (no npm when .venv was set up)"
        return ""
    modules: tuple[str, ...] = ("aws_lambda_powertools", "aws_xray_sdk")
    if framework in FRAMEWORKS:
        modules = FRAMEWORKS[framework][2]
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed (extra `dev`)"
    return ""


@dataclass(frozen=True, slots=True)
class Apps:
    """Live apps, and the addresses of each: an HTTP API, a REST API and a function URL."""

    aws: Aws
    relay: RelayProcess
    addresses: Mapping[str, Mapping[str, str]]
    functions: Mapping[str, str]

    def ask(self, framework: str, api: str, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        return fetch(method, self.addresses[framework][api] + path, **more)


@pytest.fixture(scope="module")
def apps(sandbox: SandboxInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    aws = Aws(sandbox)
    names = [*FRAMEWORKS, "powertools"]
    stage = deploy(aws, tmp_path_factory.mktemp("zips"), dict.fromkeys(names, 30))
    addresses = {name: apis_of(aws, stage.arns[name]) for name in FRAMEWORKS}
    table = table_for(aws, stage.functions["powertools"])
    code = tmp_path_factory.mktemp("code")
    own: dict[str, dict[str, str]] = {}
    for name, (file, source, _) in FRAMEWORKS.items():
        write(code / name / file, source)
        own[name] = {"path": str(code / name)}
    write(code / "powertools" / "app.py", POWERTOOLS.replace("TABLE", table))
    own["powertools"] = {"path": str(code / "powertools")}
    (code / "express" / "node_modules").symlink_to(PACKAGES)
    own["express"] |= {"runtime": "nodejs22.x", "node": str(NODE)}
    with relay_process(sandbox, stage, code, aws.caller_arn, own=own) as relay:
        yield Apps(aws, relay, addresses, stage.functions)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def apis_of(aws: Aws, arn: str) -> dict[str, str]:
    http = aws.http_api(arn, "ANY /{proxy+}")
    rest = rest_api(aws, arn, "ANY /{proxy+}", binaryMediaTypes=["*/*"])
    url = aws.lambda_.create_function_url_config(FunctionName=arn, AuthType="NONE")["FunctionUrl"]
    for action, more in (
        ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
        ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ):
        aws.lambda_.add_permission(
            FunctionName=arn, StatementId=unique("url"), Action=action, Principal="*", **more
        )
    return {
        "HTTP API": at(aws, http, "$default", ""),
        "REST API": at(aws, rest.id, "dev", ""),
        "function URL": local_url(aws.info, url).rstrip("/"),
    }


def table_for(aws: Aws, function: str) -> str:
    """Create the table of idempotency records, which the function's role may use."""
    name = unique("payments")
    arn = aws.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )["TableDescription"]["TableArn"]
    role = aws.lambda_.get_function_configuration(FunctionName=function)["Role"]
    statement = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": arn}
    aws.iam.put_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyName="payments",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    return name


@pytest.mark.parametrize("api", ["HTTP API", "REST API", "function URL"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_web_framework_answers_behind_every_kind_of_api(
    apps: Apps, framework: str, api: str
) -> None:
    reason = why_not(framework)
    if reason:
        pytest.skip(reason)
    binary = apps.ask(framework, api, "GET", "/binary")
    assert (binary.status_code, binary.content) == (201, BYTES)
    assert binary.headers["content-type"] == "application/octet-stream"
    answer = apps.ask(
        framework,
        api,
        "POST",
        "/orders/a-7?q=%C3%A4%20b",
        content=BYTES,
        headers={"content-type": "application/octet-stream", "x-who": "ana"},
    )
    assert answer.json() == ["a-7", "ä b", 256, "ana"]
    cookies = [each.partition(";")[0] for each in answer.headers.get_list("set-cookie")]
    assert cookies == ["a=1", "b=2"]
    assert apps.ask(framework, api, "GET", "/broken").status_code == 500
    assert apps.ask(framework, api, "GET", "/nowhere").status_code == 404


def pay(apps: Apps, event: Mapping[str, object]) -> dict[str, Any]:
    answer = apps.aws.lambda_.invoke(
        FunctionName=apps.functions["powertools"], Payload=json.dumps(event).encode()
    )
    found: dict[str, Any] = json.loads(answer["Payload"].read())
    return found


def test_powertools_works_as_on_lambda(apps: Apps) -> None:
    reason = why_not("powertools")
    if reason:
        pytest.skip(reason)
    # Idempotency: the second invocation with the same key has the first one's result.
    first = pay(apps, {"id": "7", "step": "first"})
    assert set(first) == {"payment"}
    assert pay(apps, {"id": "7", "step": "again"}) == first
    assert pay(apps, {"id": "8", "step": "other"}) != first
    # A batch: only the records that have failed come again.
    records = [
        {
            "messageId": str(number),
            "receiptHandle": "x",
            "body": json.dumps({"fail": number == 2}),
            "attributes": {},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:1:orders",
            "awsRegion": "us-east-1",
        }
        for number in range(1, 4)
    ]
    assert pay(apps, {"Records": records}) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    # The logger: one JSON document for each record, with the invocation's id.
    eventually(lambda: len(logged(apps)) >= 4)
    lines = logged(apps)
    assert {line.get("step") for line in lines} == {"first", "again", "other", None}
    assert all(line["service"] == "orders" for line in lines)
    assert all(line["function_request_id"] == line["request_id"] for line in lines)
    assert lines[0]["function_name"] == apps.functions["powertools"]


def logged(apps: Apps) -> list[dict[str, Any]]:
    """Return the records of the logger, with the id of the invocation that they belong to."""
    found: list[dict[str, Any]] = []
    for event in apps.relay.of_type("LogLine"):
        if '"message":"paying"' in event["line"]:
            found.append({**json.loads(event["line"]), "request_id": event["request_id"]})
    return found
