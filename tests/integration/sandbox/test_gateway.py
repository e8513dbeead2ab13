"""HTTP APIs: the shortest way of a request to a function, and what goes wrong on it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from terralive_sandbox.info import SandboxInfo, local_url
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, running_sandbox

ECHO = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""
BROKEN = """
def handler(event, context):
    if event["rawPath"] == "/odd":
        return {"statusCode": "what"}
    raise ValueError("no")
"""


@pytest.fixture(scope="module")
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def http(aws: Aws, api: str, stage: str = "$default") -> str:
    return aws.info.http_url.format(api=api, stage=stage)


def test_a_request_reaches_the_function_of_its_most_specific_route(aws: Aws) -> None:
    api = aws.http_api(
        aws.function(ECHO), "GET /", "ANY /x/{id}", "GET /x/fixed", "GET /x/{rest+}", "$default"
    )

    def route(method: str, path: str) -> object:
        return fetch(method, http(aws, api) + path).json()["routeKey"]

    assert route("GET", "/") == "GET /"
    assert route("GET", "/x/fixed") == "GET /x/fixed"
    assert route("POST", "/x/fixed") == "ANY /x/{id}"
    assert route("GET", "/x/a/b") == "GET /x/{rest+}"
    assert route("PUT", "/elsewhere") == "$default"


def test_the_event_is_payload_format_2(aws: Aws) -> None:
    api = aws.http_api(aws.function(ECHO), "POST /items/{id}", stage="dev")
    answer = fetch(
        "POST",
        http(aws, api, "dev") + "/items/a%20b?x=1&x=2&y=%26",
        headers=[
            ("X-Multi", "1"),
            ("x-multi", "2"),
            ("cookie", "a=1; b=2"),
            ("content-type", "application/json"),
        ],
        content=b'{"k": 1}',
    )
    event = answer.json()
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/dev/items/a b"
    assert event["rawQueryString"] == "x=1&x=2&y=%26"
    assert event["queryStringParameters"] == {"x": "1,2", "y": "&"}
    assert event["headers"]["x-multi"] == "1,2"
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["pathParameters"] == {"id": "a b"}
    assert (event["body"], event["isBase64Encoded"]) == ('{"k": 1}', False)
    assert event["requestContext"]["stage"] == "dev"
    assert event["requestContext"]["http"]["method"] == "POST"
    spoofed = {"x-forwarded-for": "198.51.100.7"}
    binary = fetch(
        "POST", http(aws, api, "dev") + "/items/1", content=b"\x00\xff", headers=spoofed
    ).json()
    assert binary["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert binary["headers"]["x-forwarded-for"] == "198.51.100.7, 127.0.0.1"
    assert (binary["body"], binary["isBase64Encoded"]) == (
        base64.b64encode(b"\x00\xff").decode(),
        True,
    )


def test_the_public_address_maps_to_one_that_answers(aws: Aws) -> None:
    function = aws.function(ECHO)
    plain, staged = (
        aws.http_api(function, "$default"),
        aws.http_api(function, "$default", stage="dev"),
    )
    public = "https://{}.execute-api.us-east-1.amazonaws.com{}"
    assert (
        fetch("GET", local_url(aws.info, public.format(plain, "/a?b=c"))).json()["rawPath"] == "/a"
    )
    assert fetch("GET", local_url(aws.info, public.format(plain, ""))).json()["rawPath"] == "/"
    assert (
        fetch("GET", local_url(aws.info, public.format(staged, "/dev/a"))).json()["rawPath"]
        == "/dev/a"
    )
    assert local_url(aws.info, "https://example.com/") == "https://example.com/"


def test_errors_are_api_gateways(aws: Aws) -> None:
    broken = aws.function(BROKEN)
    api = aws.http_api(broken, "GET /fails", "GET /odd")
    for path, status, message in (
        ("/fails", 500, "Internal Server Error"),
        ("/odd", 500, "Internal Server Error"),
        ("/nowhere", 404, "Not Found"),
    ):
        answer = fetch("GET", http(aws, api) + path)
        assert (answer.status_code, answer.json()) == (status, {"message": message})
    unpermitted = aws.http_api(aws.function(ECHO), "GET /", permit=False)
    assert fetch("GET", http(aws, unpermitted) + "/").status_code == 500


def test_an_integration_that_takes_too_long_is_unavailable(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, time_scale=0.02) as info:
        aws = Aws(info)
        slow = aws.function("import time\ndef handler(event, context):\n    time.sleep(5)\n")
        answer = fetch("GET", http(aws, aws.http_api(slow, "GET /")) + "/")
        assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})
