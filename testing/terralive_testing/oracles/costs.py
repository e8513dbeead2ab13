"""Exact counts of the messages, broker runs and table accesses of a deployed debug stack.

Messages are counted by fault rules that delay each message by 0 seconds. A run of the broker is a
REPORT line in its log. A table access is a request to a proxy, which the broker takes for DynamoDB.
Heartbeats are messages, runs and writes, too, and a broker environment that has just started reads
what the others know. So the cost of a warm invocation is taken from several invocations.
"""

from __future__ import annotations

import contextlib
import http.client
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.machine.waiting import eventually

Costs = Counter[str]
# The API and the direction of each kind of message: `in` from clients to the broker, `out`
# to them. `Costs` also has `runs`, `reads` and `writes`.
MESSAGES: Final = {
    f"{stage} {way}": (stage, way) for stage in ("stub", "relay") for way in ("in", "out")
}
_QUIET_SECONDS: Final = 0.3


@contextmanager
def counted(aws: Aws, apis: Mapping[str, str], broker: str) -> Iterator[Callable[[], Costs]]:
    """Count what goes through a debug stack's APIs and its broker, which restarts before and after.

    Yields a function that returns the counts so far. It waits until the log is complete.

    Args:
        aws: the clients.
        apis: the ids of the APIs `relay` and `stub`.
        broker: the broker's name.
    """
    faults = Faults(aws.info)
    accesses: Costs = Counter()
    variables = aws.lambda_.get_function_configuration(FunctionName=broker)["Environment"][
        "Variables"
    ]
    rules: dict[str, str] = {}
    with _proxy(aws.info.endpoint, accesses) as address:
        _configure(aws, broker, {**variables, "AWS_ENDPOINT_URL_DYNAMODB": address})
        # Runs are counted first: a message that is under way now adds a run too many, never one
        # too few.
        before = _reports(aws, broker)

        def so_far() -> Costs:
            acts = {str(rule["id"]): int(str(rule["acts"])) for rule in faults.listed()}
            found = Counter({name: acts[rule] for rule, name in rules.items()})
            eventually(
                lambda: _reports(aws, broker) - before >= found["stub in"] + found["relay in"]
            )
            return Counter({**found, "runs": _reports(aws, broker) - before, **accesses})

        try:
            for name, (stage, way) in MESSAGES.items():
                rule = faults.set("delay", seconds=0, api=apis[stage], stage=stage, direction=way)
                rules[rule] = name
            yield so_far
        finally:
            _configure(aws, broker, variables)
            for rule in rules:
                faults.clear(rule)


def cost(so_far: Callable[[], Costs], invoke: Callable[[], object]) -> Costs:
    """Return what one invocation adds, until no message and no run follows."""
    before = last = so_far()
    invoke()

    def is_over() -> bool:
        nonlocal last
        time.sleep(_QUIET_SECONDS)
        previous, last = last, so_far()
        return last == previous

    eventually(is_over)
    return last - before


def of_several(costs: Iterable[Costs]) -> Costs:
    """Return the median of messages and runs, and the minimum of table accesses.

    Heartbeats add messages and runs. Table accesses have only additions: misses of the cache.
    """
    found = list(costs)
    told = {
        name: int(statistics.median(one[name] for one in found)) for name in (*MESSAGES, "runs")
    }
    return Counter(
        {**told, **{name: min(one[name] for one in found) for name in ("reads", "writes")}}
    )


def _configure(aws: Aws, function: str, variables: Mapping[str, str]) -> None:
    aws.lambda_.update_function_configuration(
        FunctionName=function, Environment={"Variables": variables}
    )


def _reports(aws: Aws, function: str) -> int:
    pages = aws.logs.get_paginator("filter_log_events").paginate(
        logGroupName=f"/aws/lambda/{function}"
    )
    return sum(event["message"].startswith("REPORT ") for page in pages for event in page["events"])


@contextmanager
def _proxy(endpoint: str, accesses: Costs) -> Iterator[str]:
    """Pass DynamoDB's requests on unchanged (their Host is signed) and count reads and writes."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            operation = self.headers["x-amz-target"].rpartition(".")[2]
            kind = "writes"
            if operation in {"GetItem", "Query"}:
                kind = "reads"
            with lock:
                accesses[kind] += 1
            onwards = http.client.HTTPConnection(endpoint.removeprefix("http://"))
            body = self.rfile.read(int(self.headers["content-length"]))
            onwards.request("POST", self.path, body, dict(self.headers.items()))
            answer = onwards.getresponse()
            data = answer.read()
            onwards.close()
            # A client that did not wait for the answer asks again, and that request counts.
            with contextlib.suppress(ConnectionError):
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower().startswith(("content-", "x-amz")):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
