"""What the sandbox costs: its start, a warm request, 300 clients at once for a minute, a burst of messages.

Every figure stands beside one that was measured in the same run: a bare server with the same
handler, a bare moto, direct invocations of the same batches. Nothing is asserted of times; what is
lost or wrong is counted.
Run: python bench/bench_sandbox.py [--seconds 60] [--connections 200] [--invocations 100] [--only
    warm,load]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from common import TIMEOUT_SECONDS, Deployer, milliseconds, say
from websockets.asyncio.client import ClientConnection, connect

from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.process import SandboxProcess

HANDLER = """
def handler(event, context):
    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": event["rawPath"]}
"""
# The same handler in the server's own process: what a request costs without any Lambda.
BARE = f"""
import asyncio, socket, sys, uvicorn
{HANDLER}
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    answer = handler({{"rawPath": scope["path"]}}, None)
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"].items()]
    await send({{"type": "http.response.start", "status": answer["statusCode"], "headers": headers}})
    await send({{"type": "http.response.body", "body": answer["body"].encode()}})
listener = socket.create_server(("127.0.0.1", 0))
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", access_log=False))
asyncio.run(server.serve([listener]))
"""
# Answers by its route's response, or by @connections, signed without an SDK: it is the sandbox that
# is measured.
ECHO = """
import datetime, hashlib, hmac, http.client, json, os, urllib.parse
def post(connection, body, api, stage):
    at = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    path = f"/_sandbox/management/{api}/{stage}/@connections/" + urllib.parse.quote(connection, safe="")
    token, region = os.environ["AWS_SESSION_TOKEN"], os.environ["AWS_REGION"]
    canonical = "\\n".join(["POST", urllib.parse.quote(path, safe="/-_.~"), "", f"host:{host}", f"x-amz-date:{at}",
        f"x-amz-security-token:{token}", "", "host;x-amz-date;x-amz-security-token", hashlib.sha256(body).hexdigest()])
    scope = f"{at[:8]}/{region}/execute-api/aws4_request"
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    text = "\\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    for part in [*scope.split("/"), text]:
        key = hmac.digest(key, part.encode(), "sha256")
    sent = http.client.HTTPConnection(host)
    sent.request("POST", path, body, {"host": host, "x-amz-date": at, "x-amz-security-token": token, "authorization":
        f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, "
        f"SignedHeaders=host;x-amz-date;x-amz-security-token, Signature={key.hex()}"})
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
WAIT = "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return event\n"
# Tells the benchmark which messages it has got.
BATCH = """
import os, urllib.request
def handler(event, context):
    ids = "\\n".join(record["body"] for record in event["Records"])
    urllib.request.urlopen(os.environ["COLLECTOR"], ids.encode()).close()
"""
ROUNDS = 5
PATIENCE = 120  # seconds; what has not come by then is lost


def processes() -> dict[int, tuple[int, float]]:
    """All processes of this machine: parent and resident megabytes."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split() for line in listed.splitlines())
    return {int(pid): (int(parent), int(rss) / 1024) for pid, parent, rss in rows}


def descendants(pid: int, every: dict[int, tuple[int, float]]) -> int:
    """How many processes have come from this one."""
    children: dict[int, list[int]] = defaultdict(list)
    for child, (parent, _) in every.items():
        children[parent].append(child)
    below = list(children[pid])
    for child in below:  # grows meanwhile
        below += children[child]
    return len(below)


def start(folder: Path) -> SandboxProcess:
    """Three starts, and the last one's sandbox."""
    print("Start")
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", "import moto.server; print(flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as bare:  # fmt: skip
        assert bare.stdout is not None
        bare.stdout.readline()
        bare_seconds = time.perf_counter() - began
        bare_megabytes = processes()[bare.pid][1]
        bare.kill()
    seconds = []
    for number in range(3):
        began = time.perf_counter()
        running = SandboxProcess.start(folder / f"{number}.json", log_path=folder / "sandbox.log")
        seconds.append(time.perf_counter() - began)
        if number < 2:  # noqa: PLR2004 - the last one stays
            running.stop()
    ready, idle = statistics.median(seconds), processes()[running.info.pid][1]
    beside = f"{ready / bare_seconds:.1f} x importing moto.server ({bare_seconds:.2f} s)"
    say("ready after (median of 3)", f"{ready:.2f} s", beside)
    say("memory, idle", f"{idle:.0f} MB", f"{idle / bare_megabytes:.1f} x importing moto.server")
    return running


@contextmanager
def bare_server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/hello"
        finally:
            server.kill()


def warm(deploy: Deployer, count: int) -> None:
    """A request to a Python function that has run before, against the same handler in a bare server."""
    print(f"A warm request, {count} one after the other")
    arn = deploy.function("warm", HANDLER)
    api = deploy.api("HTTP", arn, "GET /hello")
    url = deploy.info.http_url.format(api=api, stage="live") + "/hello"
    durations: dict[str, list[float]] = {"api": [], "bare": [], "invoke": []}
    invoke = deploy.client("lambda")
    event = json.dumps({"rawPath": "/live/hello"})
    with bare_server() as bare, httpx.Client(timeout=60) as client:
        for timed in (False, *(True,) * ROUNDS):  # in turns: a busy machine is busy for all of them
            for kind, taken in durations.items():
                for _ in range(count // ROUNDS if timed else 20):
                    began = time.perf_counter()
                    if kind == "invoke":
                        answer = invoke.invoke(FunctionName=arn, Payload=event)["Payload"].read()
                        assert json.loads(answer)["body"] == "/live/hello"
                    else:
                        answer = client.get(url if kind == "api" else bare)
                        assert answer.status_code == 200, answer.text  # noqa: PLR2004 - OK
                    if timed:
                        taken.append(time.perf_counter() - began)
    (api_ms, api_late), (bare_ms, bare_late) = (
        milliseconds(durations["api"]),
        milliseconds(durations["bare"]),
    )
    invoke_ms, invoke_late = milliseconds(durations["invoke"])
    beside = f"{api_ms / bare_ms:.1f} x the handler in a bare server ({bare_ms:.2f} ms)"
    say("through an HTTP API, median", f"{api_ms:.2f} ms", beside)
    say(
        "95th percentile",
        f"{api_late:.2f} ms",
        f"{api_late / bare_late:.1f} x ({bare_late:.2f} ms)",
    )
    say(
        "through Invoke by boto3, median",
        f"{invoke_ms:.2f} ms",
        f"95th percentile {invoke_late:.2f} ms",
    )


@dataclass
class Count:
    """What became of what was sent."""

    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    durations: list[float] = field(default_factory=list)

    def say(self, kind: str) -> None:
        lost = self.sent[kind] - self.answered[kind] - self.wrong[kind]
        say(
            f"{kind}: sent, answered",
            f"{self.sent[kind]}",
            f"{self.answered[kind]}, lost {lost}, wrong {self.wrong[kind]}",
        )


async def chat(url: str, number: int, count: Count, ends: float) -> None:
    """One connection that says something every two seconds and waits for its echo."""
    kind = "post" if number % 2 else "reply"
    name = {"post": "messages, by @connections", "reply": "messages, by route response"}[kind]
    await asyncio.sleep(random.random() * 2)  # noqa: S311 - spreads them
    async with connect(url, proxy=None, open_timeout=60) as socket:
        while time.monotonic() < ends:
            text = json.dumps({"action": kind, "id": uuid.uuid4().hex, "padding": "x" * 200})
            count.sent[name] += 1
            await _exchange(socket, text, name, count)
            await asyncio.sleep(1 + random.random() * 2)  # noqa: S311 - spreads them


async def _exchange(socket: ClientConnection, text: str, name: str, count: Count) -> None:
    began = time.perf_counter()
    await socket.send(text)
    try:
        answer = await asyncio.wait_for(socket.recv(), 60)
    except TimeoutError:
        return
    (count.answered if answer == text else count.wrong)[name] += 1
    count.durations.append(time.perf_counter() - began)


async def invoke(client: httpx.AsyncClient, info: SandboxInfo, count: Count, ends: float) -> None:
    """One caller that invokes a function that takes a second, again and again."""
    signer = SigV4Auth(
        Credentials(info.access_key_id, info.secret_access_key), "lambda", info.region
    )
    url = f"{info.endpoint}/2015-03-31/functions/wait/invocations"
    while time.monotonic() < ends:
        payload = json.dumps({"seconds": 1.0, "id": uuid.uuid4().hex})
        request = AWSRequest("POST", url, data=payload)
        signer.add_auth(request)
        count.sent["invocations"] += 1
        answer = await client.post(url, content=payload, headers=dict(request.headers.items()))
        if answer.status_code == 200:  # noqa: PLR2004 - OK
            right = answer.json() == json.loads(payload)
            (count.answered if right else count.wrong)["invocations"] += 1


async def watch(pid: int, samples: list[tuple[float, int]], ends: float) -> None:
    while time.monotonic() < ends:
        every = await asyncio.to_thread(processes)
        samples.append((every[pid][1], descendants(pid, every)))
        await asyncio.sleep(1)


async def load(deploy: Deployer, connections: int, invocations: int, seconds: float) -> None:
    """Everybody at once: nothing is lost, nobody gets another's answer, memory stays."""
    print(
        f"{connections} WebSocket connections and {invocations} invocations at once, for {seconds:.0f} s"
    )
    info = deploy.info
    api = deploy.api("WEBSOCKET", deploy.function("echo", ECHO), "reply", "post", replies=True)
    deploy.function("wait", WAIT)
    url = info.websocket_url.format(api=api, stage="live")
    count, samples = Count(), list[tuple[float, int]]()
    ends = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=120, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(connections):
            group.create_task(chat(url, number, count, ends))
        for _ in range(invocations):
            group.create_task(invoke(client, info, count, ends))
        group.create_task(watch(info.pid, samples, ends))
    for kind in sorted(count.sent):
        count.say(kind)
    median, late = milliseconds(count.durations)
    say("a message's echo, median", f"{median:.0f} ms", f"95th percentile {late:.0f} ms")
    third = max(len(samples) // 3, 1)
    first, last = (
        statistics.mean(m for m, _ in part)
        for part in (samples[third // 2 : third], samples[-third:])
    )
    say(
        "memory, end of first third",
        f"{first:.0f} MB",
        f"last third {last:.0f} MB, {last / first:.2f} x",
    )
    say("function processes, at most", f"{max(number for _, number in samples)}")


@contextmanager
def collector() -> Iterator[tuple[str, Counter[str]]]:
    """An address that takes lines, and how often each has come."""
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            lines = self.rfile.read(int(self.headers["content-length"])).decode().splitlines()
            with lock:
                seen.update(lines)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", seen
    finally:
        server.shutdown()


def _is_empty(sqs: Any, queue: str) -> bool:  # noqa: ANN401 - a client
    numbers = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=numbers)["Attributes"]
    return not any(int(number) for number in left.values())


def burst(deploy: Deployer, messages: int) -> None:
    """Messages that are there already when a function begins to read them, five batches of ten at a time."""
    print(f"A burst of {messages} SQS messages, in batches of 10")
    sqs, functions = deploy.client("sqs"), deploy.client("lambda")
    with collector() as (address, seen):
        arn = deploy.function("batch", BATCH, COLLECTOR=address)
        queue = sqs.create_queue(
            QueueName="burst", Attributes={"VisibilityTimeout": str(TIMEOUT_SECONDS)}
        )["QueueUrl"]
        batches = [[f"{number}-{index}" for index in range(10)] for number in range(messages // 10)]
        sent = {text for batch in batches for text in batch}
        for batch in batches:
            entries = [{"Id": text, "MessageBody": text} for text in batch]
            assert not sqs.send_message_batch(QueueUrl=queue, Entries=entries).get("Failed")

        def direct(batch: list[str]) -> None:
            payload = json.dumps({"Records": [{"body": text} for text in batch]})
            assert "FunctionError" not in functions.invoke(FunctionName=arn, Payload=payload)

        with ThreadPoolExecutor(5) as threads:
            list(threads.map(direct, batches[:10]))  # warm
            began = time.perf_counter()
            list(threads.map(direct, batches))
            direct_seconds = time.perf_counter() - began
        seen.clear()
        source = f"arn:aws:sqs:{deploy.info.region}:{deploy.info.account_id}:burst"
        began = time.perf_counter()
        functions.create_event_source_mapping(EventSourceArn=source, FunctionName=arn, BatchSize=10)
        ends = began + PATIENCE
        while len(seen) < len(sent) and time.perf_counter() < ends:
            time.sleep(0.01)
        drained = time.perf_counter() - began
        while (
            not _is_empty(sqs, queue) and time.perf_counter() < ends
        ):  # what is deleted cannot come again
            time.sleep(0.1)
    twice = sum(times - 1 for times in seen.values())
    beside = f"{drained / direct_seconds:.1f} x the same batches by Invoke, 5 at a time ({direct_seconds:.2f} s)"
    say("drained in", f"{drained:.2f} s", beside)
    say(
        "messages a second",
        f"{messages / drained:.0f}",
        f"lost {len(sent - set(seen))}, handled twice {twice}",
    )


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
    print(f"The sandbox, on {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder:
        running = start(Path(folder))
        try:
            deploy = Deployer(running.info)
            if "warm" in chosen:
                warm(deploy, options.warm)
            if "burst" in chosen:
                burst(deploy, options.messages)
            if "load" in chosen:
                asyncio.run(load(deploy, options.connections, options.invocations, options.seconds))
        finally:
            running.stop()


if __name__ == "__main__":
    main()
