"""Measure what one run of the broker costs, and what that means for the memory of its function.

The broker runs in a process of its own, as in Lambda, with boto3 against a server that answers at
once. What counts is its CPU time: Lambda gives a function CPU in proportion to its memory, one
whole vCPU at 1,769 MB (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
So the time of a run at another memory follows from it. The way to API Gateway comes on top and does
not depend on the memory; it is assumed, and only the price depends on it. CPUs differ: the figures
show the proportions.
Run: python bench/bench_broker.py [--messages 200]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from common import show, show_title

from terralive_stub.protocol.chunks import split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.messages import Hello, Kind
from terralive_stub.protocol.payloads import pack_invocation
from terralive_stub.protocol.token import HEADER, Api, make_token, signing_key
from terralive_stub.protocol.wire import encode

MEMORIES = (128, 256, 512, 1024, 1769)
WHOLE_CPU_MB = 1769
# The price of arm64 in most regions: https://aws.amazon.com/lambda/pricing/
PRICE_GB_SECOND = 0.0000133334
# Assumed for one call within a region.
ROUND_TRIP_MS = 10
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:bench"
CALLER = "arn:aws:iam::123456789012:user/bench"
SECRET = b"s" * 32
SMALL = b'"' + b"x" * 500 + b'"'
LARGE = b'"' + b"x" * 2_000_000 + b'"'
WARM_UPS = 20


class Aws(BaseHTTPRequestHandler):
    """DynamoDB's items and API Gateway's management API. It answers at once."""

    protocol_version = "HTTP/1.1"
    items: dict[str, Any] = {}  # noqa: RUF012  # one table for all requests

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        operation = self.headers.get("x-amz-target", "").partition(".")[2]
        answer: dict[str, Any] = {}
        if operation:
            request = json.loads(body)
            key = request.get("Key") or request["Item"]
            name = f"{key['pk']['S']} {key['sk']['S']}"
            if operation == "PutItem":
                self.items[name] = request["Item"]
            elif operation == "GetItem" and name in self.items:
                answer = {"Item": self.items[name]}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # http.server's
        """Print nothing."""


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_broker(options.messages)
        return
    show_title(f"{options.messages} messages through the broker")
    measured = measure(options.messages)
    small, large = measured["small_s"] * 1000, measured["large_s"] * 1000
    post = measured["post_s"] * 1000
    imported = measured["boto3_s"]
    show("init", f"{measured['init_s']:.2f} s CPU", f"{measured['init_s'] / imported:.1f} x boto3")
    show("a message of 0.7 KB", f"{small:.2f} ms CPU", f"{small / post:.1f} x PostToConnection")
    show("a message of 128 KB", f"{large:.2f} ms CPU", f"{large / post:.1f} x PostToConnection")
    show("memory in use", f"{measured['rss_mb']:.0f} MB")
    for memory in MEMORIES:
        taken = small * WHOLE_CPU_MB / memory
        price = 1e6 * (taken + ROUND_TRIP_MS) / 1000 * memory / 1024 * PRICE_GB_SECOND
        show(
            f"with {memory} MB",
            f"{taken:.0f} ms",
            f"{price:.2f} USD per million messages with {ROUND_TRIP_MS} ms to API Gateway",
        )


def measure(messages: int) -> dict[str, float]:
    """Run the broker in a process of its own, and return its figures."""
    Aws.items["secret secret"] = {"value": {"B": b64encode(SECRET).decode()}}
    with ThreadingHTTPServer(("127.0.0.1", 0), Aws) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": address,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "TABLE_NAME": "bench",
            "RELAY_MANAGEMENT_ENDPOINT": f"{address}/relay",
            "STUB_MANAGEMENT_ENDPOINT": f"{address}/stub",
            "RELAY_IDENTITY": "token",
        }
        command = [sys.executable, __file__, "--child", "--messages", str(messages)]
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        server.shutdown()
    figures: dict[str, float] = json.loads(ended.stdout)
    return figures


def run_broker(messages: int) -> None:
    """Play Lambda: import the broker, connect both sides, and send messages."""
    began = time.process_time()
    import boto3  # noqa: PLC0415  # its time is measured

    boto3_s = time.process_time() - began
    from terralive_stub.broker.lambda_function import handler  # noqa: PLC0415  # likewise

    init_s = time.process_time() - began
    for api, subject in ((Api.RELAY, CALLER), (Api.STUB, FUNCTION)):
        answer = handler(connecting(api, subject), None)
        assert answer == {"statusCode": 200}, answer
    handler(message("relay-1", Api.RELAY, encode(Hello("r", (FUNCTION,), "ana", "pc"))), None)
    client = boto3.client(
        "apigatewaymanagementapi", endpoint_url=os.environ["RELAY_MANAGEMENT_ENDPOINT"]
    )
    small, large = chunk(SMALL), chunk(LARGE)
    figures = {
        "boto3_s": boto3_s,
        "init_s": init_s,
        "post_s": cpu_of(
            lambda: client.post_to_connection(ConnectionId="c", Data=b"x" * 700), messages
        ),
        "small_s": cpu_of(lambda: handler(message("stub-1", Api.STUB, small), None), messages),
        "large_s": cpu_of(lambda: handler(message("stub-1", Api.STUB, large), None), messages),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


def cpu_of(action: Any, times: int) -> float:  # noqa: ANN401  # any action
    """Return the CPU time of one call, in seconds."""
    for _ in range(WARM_UPS):
        action()
    began = time.process_time()
    for _ in range(times):
        action()
    return (time.process_time() - began) / times


def connecting(api: Api, subject: str) -> dict[str, object]:
    """Return the event of a connection's `$connect`."""
    nonce = os.urandom(16)
    token = make_token(
        api, subject, signing_key(SECRET, api, subject), now=time.time(), nonce=nonce
    )
    context = {"connectionId": f"{api}-1", "eventType": "CONNECT", "stage": str(api)}
    return {"requestContext": context, "headers": {HEADER: token}}


def message(connection: str, api: Api, text: str) -> dict[str, object]:
    """Return the event of one message."""
    context = {"connectionId": connection, "eventType": "MESSAGE", "stage": str(api)}
    return {"requestContext": context, "body": text}


def chunk(event: bytes) -> str:
    """Return the first chunk of an invocation with this event."""
    invocation = Invocation("r", FUNCTION, FUNCTION, Deadline(60.0), event)
    chunks = split(Kind.INVOKE, "r", FUNCTION, pack_invocation(invocation, now=0.0))
    return encode(next(iter(chunks)))


if __name__ == "__main__":
    main()
