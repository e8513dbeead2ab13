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
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from common import ALLOW_EVERYTHING, show, show_title, summarize
from websockets.asyncio.client import ClientConnection, connect

from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.process import SandboxProcess
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.machine.processes import descendants

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
# Answers by its route's response, or by the @connections API. It signs the request without an SDK,
# whose time would be measured too.
ECHO = """
import datetime, hashlib, hmac, http.client, json, os, urllib.parse
def post(connection, body, api, stage):
    at = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    quoted = urllib.parse.quote(connection, safe="")
    path = f"/_sandbox/management/{api}/{stage}/@connections/{quoted}"
    token, region = os.environ["AWS_SESSION_TOKEN"], os.environ["AWS_REGION"]
    signed = "host;x-amz-date;x-amz-security-token"
    canonical = "\\n".join([
        "POST", urllib.parse.quote(path, safe="/-_.~"), "",
        f"host:{host}", f"x-amz-date:{at}", f"x-amz-security-token:{token}", "",
        signed, hashlib.sha256(body).hexdigest(),
    ])
    scope = f"{at[:8]}/{region}/execute-api/aws4_request"
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\\n".join(["AWS4-HMAC-SHA256", at, scope, digest])
    for part in [*scope.split("/"), text]:
        key = hmac.digest(key, part.encode(), "sha256")
    sent = http.client.HTTPConnection(host)
    sent.request("POST", path, body, {
        "host": host, "x-amz-date": at, "x-amz-security-token": token,
        "authorization":
            f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, "
            f"SignedHeaders={signed}, Signature={key.hex()}",
    })
    status = sent.getresponse().status
    sent.close()
    if status != 200:
        raise RuntimeError(f"@connections: {status}")
def handler(event, context):
    route = event["requestContext"]["routeKey"]
    if route == "post":
        context = event["requestContext"]
        post(context["connectionId"], event["body"].encode(), context["apiId"], context["stage"])
    return {"statusCode": 200, "body": event.get("body", "") if route == "reply" else ""}
"""
WAIT = """
import time
def handler(event, context):
    time.sleep(event['seconds'])
    return event
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
FUNCTION_TIMEOUT_SECONDS = 240
# A message that has not come by then is lost.
PATIENCE_SECONDS = 120


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(listed.stdout) / 1024


def deploy(aws: Aws, name: str, source: str, **variables: str) -> str:
    """Deploy a function that may do everything. Return its ARN."""
    return aws.function(
        source,
        name=name,
        statements=[ALLOW_EVERYTHING],
        timeout=FUNCTION_TIMEOUT_SECONDS,
        environment=variables,
    )


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


@dataclass
class Tally:
    """Counts of sent messages and of their answers, by kind, and the seconds that answers took."""

    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    durations: list[float] = field(default_factory=list)

    def add_answer(self, kind: str, *, right: bool) -> None:
        if right:
            self.answered[kind] += 1
        else:
            self.wrong[kind] += 1

    def show(self, kind: str) -> None:
        sent, answered, wrong = self.sent[kind], self.answered[kind], self.wrong[kind]
        beside = f"{answered}, lost {sent - answered - wrong}, wrong {wrong}"
        show(f"{kind}: sent, answered", f"{sent}", beside)


async def chat(url: str, number: int, tally: Tally, ends: float) -> None:
    """Send a message every two seconds on one connection, and wait for its echo each time."""
    route, kind = "reply", "messages, by route response"
    if number % 2:
        route, kind = "post", "messages, by @connections"
    await asyncio.sleep(random.random() * 2)  # noqa: S311 - spreads them
    async with connect(url, proxy=None, open_timeout=60) as socket:
        while time.monotonic() < ends:
            text = json.dumps({"action": route, "id": uuid.uuid4().hex, "padding": "x" * 200})
            tally.sent[kind] += 1
            await _exchange(socket, text, kind, tally)
            await asyncio.sleep(1 + random.random() * 2)  # noqa: S311 - spreads them


async def _exchange(socket: ClientConnection, text: str, kind: str, tally: Tally) -> None:
    began = time.perf_counter()
    await socket.send(text)
    try:
        answer = await asyncio.wait_for(socket.recv(), 60)
    except TimeoutError:
        return
    tally.add_answer(kind, right=answer == text)
    tally.durations.append(time.perf_counter() - began)


async def invoke_again(
    client: httpx.AsyncClient, info: SandboxInfo, tally: Tally, ends: float
) -> None:
    """Invoke a function that takes a second, again and again."""
    keys = Credentials(info.access_key_id, info.secret_access_key)
    signer = SigV4Auth(keys, "lambda", info.region)
    url = f"{info.endpoint}/2015-03-31/functions/wait/invocations"
    while time.monotonic() < ends:
        payload = json.dumps({"seconds": 1.0, "id": uuid.uuid4().hex})
        request = AWSRequest("POST", url, data=payload)
        signer.add_auth(request)
        tally.sent["invocations"] += 1
        answer = await client.post(url, content=payload, headers=dict(request.headers.items()))
        if answer.status_code == HTTPStatus.OK:
            tally.add_answer("invocations", right=answer.json() == json.loads(payload))


@dataclass(frozen=True)
class Sample:
    """The sandbox at one moment: its memory, and the number of processes that it has started."""

    megabytes: float
    processes: int


async def watch(pid: int, samples: list[Sample], ends: float) -> None:
    """Take a sample every second."""
    while time.monotonic() < ends:
        megabytes = await asyncio.to_thread(memory_mb, pid)
        below = await asyncio.to_thread(descendants, pid)
        samples.append(Sample(megabytes, len(below)))
        await asyncio.sleep(1)


async def measure_load(aws: Aws, connections: int, invocations: int, seconds: float) -> None:
    """Use the sandbox with many clients: nothing is lost, no answer is wrong, memory stays flat."""
    clients = f"{connections} WebSocket connections and {invocations} invocations"
    print(f"{clients} at once, for {seconds:.0f} s")
    info = aws.info
    api = aws.websocket_api(deploy(aws, "echo", ECHO), "reply", "post", replies=True)
    deploy(aws, "wait", WAIT)
    url = info.websocket_url.format(api=api, stage="live")
    tally = Tally()
    samples: list[Sample] = []
    ends = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=120, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(connections):
            group.create_task(chat(url, number, tally, ends))
        for _ in range(invocations):
            group.create_task(invoke_again(client, info, tally, ends))
        group.create_task(watch(info.pid, samples, ends))
    for kind in sorted(tally.sent):
        tally.show(kind)
    echo = summarize(tally.durations)
    beside = f"95th percentile {echo.late_ms:.0f} ms"
    show("a message's echo, median", f"{echo.median_ms:.0f} ms", beside)
    show_samples(samples)


def show_samples(samples: list[Sample]) -> None:
    # The first samples are left out: processes still start then.
    third = max(len(samples) // 3, 1)
    early = statistics.mean(sample.megabytes for sample in samples[third // 2 : third])
    late = statistics.mean(sample.megabytes for sample in samples[-third:])
    beside = f"last third {late:.0f} MB, {late / early:.2f} x"
    show("memory, end of first third", f"{early:.0f} MB", beside)
    show("function processes, at most", f"{max(sample.processes for sample in samples)}")


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
