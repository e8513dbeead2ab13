"""Measure the sandbox: its start, a warm request, 300 clients at once, a burst of messages.

Every figure stands beside another one that is measured in the same run: a bare server with the same
handler, the import of moto, direct invocations with the same batches. Nothing is asserted about
times. Messages that are lost or wrong are counted.
Run: python bench/bench_sandbox.py [--seconds 60] [--connections 200] [--invocations 100]
    [--only warm,load]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from common import show, show_title, summarize
from sandbox_load import FUNCTION_TIMEOUT_SECONDS, deploy, measure_load, memory_mb

from terralive_sandbox.process import SandboxProcess
from terralive_testing.deployers.sandbox import Aws

HANDLER = """
def handler(event, context):
    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": event["rawPath"]}
"""
# The same handler in the process of a bare server: a request without any Lambda.
BARE = f"""
import asyncio, socket, sys, uvicorn
{HANDLER}
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    answer = handler({{"rawPath": scope["path"]}}, None)
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"].items()]
    status = answer["statusCode"]
    await send({{"type": "http.response.start", "status": status, "headers": headers}})
    await send({{"type": "http.response.body", "body": answer["body"].encode()}})
listener = socket.create_server(("127.0.0.1", 0))
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", access_log=False))
asyncio.run(server.serve([listener]))
"""
# Reports the messages that it gets to the benchmark.
BATCH = """
import os, urllib.request
def handler(event, context):
    ids = "\\n".join(record["body"] for record in event["Records"])
    urllib.request.urlopen(os.environ["COLLECTOR"], ids.encode()).close()
"""
ROUNDS = 5
STARTS = 3
WARM_UPS = 20
BATCH_SIZE = 10
BATCHES_AT_ONCE = 5
# A message that has not come by then is lost.
PATIENCE_SECONDS = 120


def import_moto() -> tuple[float, float]:
    """Return the seconds and the megabytes of a Python that imports moto's server."""
    began = time.perf_counter()
    command = [sys.executable, "-c", "import moto.server; print(flush=True); input()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - began
        megabytes = memory_mb(process.pid)
        process.kill()
    return seconds, megabytes


def measure_start(folder: Path) -> SandboxProcess:
    """Start a sandbox several times. Return the last one, which runs."""
    print("Start")
    bare_seconds, bare_megabytes = import_moto()
    seconds = []
    running: SandboxProcess | None = None
    for number in range(STARTS):
        if running is not None:
            running.stop()
        began = time.perf_counter()
        running = SandboxProcess.start(folder / f"{number}.json", log_path=folder / "sandbox.log")
        seconds.append(time.perf_counter() - began)
    assert running is not None
    ready = statistics.median(seconds)
    beside = f"{ready / bare_seconds:.1f} x importing moto.server ({bare_seconds:.2f} s)"
    show(f"ready after (median of {STARTS})", f"{ready:.2f} s", beside)
    idle = memory_mb(running.info.pid)
    show("memory, idle", f"{idle:.0f} MB", f"{idle / bare_megabytes:.1f} x importing moto.server")
    return running


@contextmanager
def bare_server() -> Iterator[str]:
    """Run `BARE`. Yield the URL of its handler."""
    command = [sys.executable, "-c", BARE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/hello"
        finally:
            server.kill()


def measure_warm(aws: Aws, count: int) -> None:
    """Compare a request to a warm function with the same handler in a bare server."""
    print(f"A warm request, {count} one after the other")
    arn = deploy(aws, "warm", HANDLER)
    api = aws.http_api(arn, "GET /hello", stage="live")
    url = aws.info.http_url.format(api=api, stage="live") + "/hello"
    event = json.dumps({"rawPath": "/live/hello"})

    def get(client: httpx.Client, address: str) -> float:
        began = time.perf_counter()
        answer = client.get(address)
        assert answer.status_code == HTTPStatus.OK, answer.text
        return time.perf_counter() - began

    def invoke() -> float:
        began = time.perf_counter()
        answer = aws.lambda_.invoke(FunctionName=arn, Payload=event)["Payload"].read()
        assert json.loads(answer)["body"] == "/live/hello"
        return time.perf_counter() - began

    by_api: list[float] = []
    by_bare: list[float] = []
    by_invoke: list[float] = []
    with bare_server() as bare, httpx.Client(timeout=60) as client:
        for _ in range(WARM_UPS):
            get(client, url)
            get(client, bare)
            invoke()
        # In turns: when the machine is busy, it is busy for all of them.
        for _ in range(ROUNDS):
            by_api += [get(client, url) for _ in range(count // ROUNDS)]
            by_bare += [get(client, bare) for _ in range(count // ROUNDS)]
            by_invoke += [invoke() for _ in range(count // ROUNDS)]
    ours = summarize(by_api)
    alone = summarize(by_bare)
    ratio = ours.median_ms / alone.median_ms
    beside = f"{ratio:.1f} x the handler in a bare server ({alone.median_ms:.2f} ms)"
    show("through an HTTP API, median", f"{ours.median_ms:.2f} ms", beside)
    beside = f"{ours.late_ms / alone.late_ms:.1f} x ({alone.late_ms:.2f} ms)"
    show("95th percentile", f"{ours.late_ms:.2f} ms", beside)
    direct = summarize(by_invoke)
    beside = f"95th percentile {direct.late_ms:.2f} ms"
    show("through Invoke by boto3, median", f"{direct.median_ms:.2f} ms", beside)


@contextmanager
def collector() -> Iterator[tuple[str, Counter[str]]]:
    """Run a server that takes lines. Yield its URL, and how often each line has come."""
    seen: Counter[str] = Counter()
    # Guards `seen` while it is updated.
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            lines = self.rfile.read(int(self.headers["content-length"])).decode().splitlines()
            with lock:
                seen.update(lines)
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", seen
    finally:
        server.shutdown()


def is_empty(aws: Aws, queue: str) -> bool:
    """Return whether a queue has no message, not even one that is received and not deleted."""
    found = aws.sqs.get_queue_attributes(
        QueueUrl=queue,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return not any(int(number) for number in found["Attributes"].values())


def invoke_batches(aws: Aws, arn: str, batches: list[list[str]]) -> float:
    """Invoke the function with each batch, several at a time. Return the seconds that it takes."""

    def invoke(batch: list[str]) -> None:
        payload = json.dumps({"Records": [{"body": text} for text in batch]})
        answer = aws.lambda_.invoke(FunctionName=arn, Payload=payload)
        assert "FunctionError" not in answer

    began = time.perf_counter()
    with ThreadPoolExecutor(BATCHES_AT_ONCE) as threads:
        list(threads.map(invoke, batches))
    return time.perf_counter() - began


def send_batches(aws: Aws, queue: str, batches: list[list[str]]) -> None:
    for batch in batches:
        entries = aws.sqs.send_message_batch(
            QueueUrl=queue,
            Entries=[{"Id": text, "MessageBody": text} for text in batch],
        )
        assert not entries.get("Failed")


def measure_burst(aws: Aws, messages: int) -> None:
    """Compare messages that are in a queue before a function reads it with direct invocations."""
    print(f"A burst of {messages} SQS messages, in batches of {BATCH_SIZE}")
    batches: list[list[str]] = []
    for number in range(messages // BATCH_SIZE):
        batches.append([f"{number}-{index}" for index in range(BATCH_SIZE)])
    sent = {text for batch in batches for text in batch}
    with collector() as (address, seen):
        arn = deploy(aws, "batch", BATCH, COLLECTOR=address)
        queue = aws.sqs.create_queue(
            QueueName="burst",
            # AWS demands that it is at least the function's timeout.
            Attributes={"VisibilityTimeout": str(FUNCTION_TIMEOUT_SECONDS)},
        )["QueueUrl"]
        send_batches(aws, queue, batches)
        invoke_batches(aws, arn, batches[: 2 * BATCHES_AT_ONCE])  # warm up
        direct_seconds = invoke_batches(aws, arn, batches)
        seen.clear()

        source = f"arn:aws:sqs:{aws.info.region}:{aws.info.account_id}:burst"
        began = time.perf_counter()
        aws.lambda_.create_event_source_mapping(
            EventSourceArn=source, FunctionName=arn, BatchSize=BATCH_SIZE
        )
        ends = began + PATIENCE_SECONDS
        while len(seen) < len(sent) and time.perf_counter() < ends:
            time.sleep(0.01)
        drained = time.perf_counter() - began
        # A message that is deleted cannot come again.
        while not is_empty(aws, queue) and time.perf_counter() < ends:
            time.sleep(0.1)
    twice = sum(times - 1 for times in seen.values())
    ratio = f"{drained / direct_seconds:.1f} x the same batches by Invoke"
    beside = f"{ratio}, {BATCHES_AT_ONCE} at a time ({direct_seconds:.2f} s)"
    show("drained in", f"{drained:.2f} s", beside)
    beside = f"lost {len(sent - set(seen))}, handled twice {twice}"
    show("messages a second", f"{messages / drained:.0f}", beside)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long the load lasts")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--invocations", type=int, default=100, help="invocations at once")
    parser.add_argument("--warm", type=int, default=500, help="requests one after the other")
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--only", default="warm,load,burst", help="which parts, by name")
    options = parser.parse_args()
    chosen = set(options.only.split(","))
    show_title("The sandbox")
    with tempfile.TemporaryDirectory() as folder:
        running = measure_start(Path(folder))
        try:
            aws = Aws(running.info, checked=False)
            if "warm" in chosen:
                measure_warm(aws, options.warm)
            if "burst" in chosen:
                measure_burst(aws, options.messages)
            if "load" in chosen:
                load = measure_load(aws, options.connections, options.invocations, options.seconds)
                asyncio.run(load)
        finally:
            running.stop()


if __name__ == "__main__":
    main()
