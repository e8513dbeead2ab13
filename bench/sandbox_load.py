"""Many clients of a sandbox at once: WebSocket connections that wait for echoes, and invocations.

`bench_sandbox.py` runs it.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from common import ALLOW_EVERYTHING, show, summarize
from websockets.asyncio.client import ClientConnection, connect

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.machine.processes import descendants

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
FUNCTION_TIMEOUT_SECONDS = 240


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
