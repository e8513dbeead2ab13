"""The callers: threads that invoke functions through Lambda's API and record every answer."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from terralive_testing.soak.handler import digest, filling
from terralive_testing.soak.judge import LARGEST_ANSWER
from terralive_testing.soak.ledger import Call, End, answered, told
from terralive_testing.soak.project import PREFIX, STREAM_PREFIX, TIMEOUT_SECONDS

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient
    from types_boto3_lambda.type_defs import InvokeWithResponseStreamResponseEventTypeDef
    from types_boto3_sqs import SQSClient

# The share of asynchronous calls among those that are early enough. Later ones would delay the end,
# because Lambda retries after minutes.
_EVENT_SHARE = 0.1
_EVENTS_UNTIL = 0.6  # the share of the run in which calls are early enough
_LARGEST_EVENT_BYTES = 40_000  # of an asynchronous event, so that a queue accepts its record
_STREAM_SHARE = 0.2  # of the synchronous calls, if there are functions that stream
_FIRST_CALLS_AT_ONCE = 4  # this machine cannot start all execution environments at once
# The wait after a call that found no relay or was throttled.
_AFTER_REFUSAL_SECONDS = 1.0


def make_event(seed: int, number: int, *, asynchronous: bool) -> dict[str, Any]:
    """Return event `number` of a run, always the same for one seed.

    Most events are small and quick. A few are as large as Lambda allows.
    """
    random = Random(f"{seed}-{number}")
    if random.random() < 0.01:
        return {}
    event: dict[str, Any] = {"n": number}
    most = LARGEST_ANSWER - 256
    if asynchronous:
        most = _LARGEST_EVENT_BYTES
    limit = random.choices((2_000, 100_000, 1_000_000, most), (74, 22, 2.5, 1.5))[0]
    _set_sizes(event, random, min(limit, most), most)
    event["text"] = random.choice(("", "ä€😀", '"\\\n', "\u0000"))
    _set_end(event, random, asynchronous=asynchronous)
    return event


def _set_sizes(event: dict[str, Any], random: Random, limit: int, most: int) -> None:
    """Choose the sizes of answer and event, in bytes: at most `limit`, sometimes exactly `most`."""
    if random.random() < 0.5:
        event["answer"] = random.randrange(limit + 1)
    else:
        event["answer"] = random.randrange(200)
    if limit == most and random.random() < 0.3:
        event["answer"] = most
    if random.random() < 0.5 or limit == most:
        event["filling"] = filling(random.randrange(limit + 1), event["n"])


def _set_end(event: dict[str, Any], random: Random, *, asynchronous: bool) -> None:
    """Choose whether the handler fails, how, and how long it takes."""
    chance = random.random()
    if chance < 0.04:
        event["fails"] = "raise"
    elif chance < 0.043:
        event["fails"] = "exit"
    elif chance < 0.045 and not asynchronous:
        event["answer"] = LARGEST_ANSWER + 1
    slow = random.random()
    if slow < 0.002:
        event["seconds"] = TIMEOUT_SECONDS + 2
    elif slow < 0.15:
        longest = 0.4
        if slow < 0.03:
            longest = 3
        event["seconds"] = random.random() * longest


class Callers:
    """Calls until so many have ended; those that found no relay come on top.

    Args:
        client: a boto3 client of Lambda, with retries off and a connection for each caller.
        seed, wanted, functions, streams, concurrency: see `python -m terralive_testing.soak -h`.
        until: when to stop in any case, on the monotonic clock.
    """

    def __init__(
        self,
        client: LambdaClient,
        *,
        seed: int,
        wanted: int,
        functions: int,
        streams: int,
        concurrency: int,
        until: float,
    ) -> None:
        self.calls: list[Call] = []
        self.accepted: list[Call] = []  # asynchronous ones
        self.counted = 0  # that ended, or were accepted; not those that found no relay
        self.begun = threading.Semaphore(0)  # released by each caller whose first call has ended
        self._seed, self._wanted, self._functions, self._until = seed, wanted, functions, until
        self._streams = streams
        self._number = 0
        self._lock = threading.Lock()  # guards everything above
        self._first = threading.Semaphore(_FIRST_CALLS_AT_ONCE)
        self._threads = [
            threading.Thread(
                target=self._work, args=(client, number), name=f"caller-{number}", daemon=True
            )
            for number in range(concurrency)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _work(self, client: LambdaClient, caller: int) -> None:
        random = Random(f"{self._seed}-caller-{caller}")
        with self._first:
            more = self._one(client, caller, random)
        self.begun.release()
        while more:
            more = self._one(client, caller, random)

    def _one(self, client: LambdaClient, caller: int, random: Random) -> bool:
        """Make one call; False where no more is wanted."""
        with self._lock:
            if self.counted >= self._wanted or time.monotonic() >= self._until:
                return False
            self._number += 1
            number = self._number
            early = self.counted < self._wanted * _EVENTS_UNTIL
        asynchronous = early and random.random() < _EVENT_SHARE
        streams = self._streams > 0 and not asynchronous and random.random() < _STREAM_SHARE
        # Each caller always uses the same functions. That bounds the number of concurrent runs,
        # and so the number of processes.
        if streams:
            call = self._streamed(client, f"{STREAM_PREFIX}{caller % self._streams}", number)
        else:
            function = f"{PREFIX}{caller % self._functions}"
            call = self._call(client, function, number, asynchronous=asynchronous)
        unserved = _is_unserved(call)
        with self._lock:
            if asynchronous and call.end is End.SUCCESS:
                self.accepted.append(call)
            else:
                self.calls.append(call)
            if not unserved:
                self.counted += 1
        if unserved:
            time.sleep(random.random() * _AFTER_REFUSAL_SECONDS)
        return True

    def _call(
        self, client: LambdaClient, function: str, number: int, *, asynchronous: bool
    ) -> Call:
        event = make_event(self._seed, number, asynchronous=asynchronous)
        call: dict[str, Any] = {
            "id": "",
            "function": function,
            "event": digest(event),
            "began": time.time(),
        }
        payload = b""
        if event:
            payload = json.dumps(event, ensure_ascii=False).encode()
        kind: Literal["Event", "RequestResponse"] = "RequestResponse"
        if asynchronous:
            kind = "Event"
        try:
            answer = client.invoke(
                FunctionName=function, Payload=payload, InvocationType=kind, LogType="Tail"
            )
            call["id"] = answer["ResponseMetadata"]["RequestId"]
            body = answer["Payload"].read()
        except ClientError as error:
            return Call(
                **call,
                end=End.REFUSED,
                error_type=error.response["Error"]["Code"],
                ended=time.time(),
            )
        except BotoCoreError as error:
            return Call(
                **call,
                end=End.NONE,
                error_type=f"{type(error).__name__}: {error}",
                ended=time.time(),
            )
        call["ended"] = time.time()
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        if asynchronous:
            return Call(**call, end=End.SUCCESS, asynchronous=True)
        return answered(call, failed="FunctionError" in answer, payload=body, log=log)

    def _streamed(self, client: LambdaClient, function: str, number: int) -> Call:
        """Call a function that streams, and read its response to the end."""
        event = make_event(self._seed, number, asynchronous=False)
        # The end of its process ends a response as `Runtime.TruncatedResponse`, or as its error.
        if event.get("fails") == "exit":
            del event["fails"]
        call: dict[str, Any] = {
            "id": "",
            "function": function,
            "event": digest(event),
            "began": time.time(),
        }
        payload = json.dumps(event, ensure_ascii=False).encode()
        try:
            answer = client.invoke_with_response_stream(FunctionName=function, Payload=payload)
            call["id"] = answer["ResponseMetadata"]["RequestId"]
            body, error_type = _read(answer["EventStream"])
        except ClientError as error:
            code = error.response["Error"]["Code"]
            return Call(**call, end=End.REFUSED, error_type=code, ended=time.time())
        except (BotoCoreError, HTTPError, EOFError) as error:
            why = f"{type(error).__name__}: {error}"
            return Call(**call, end=End.NONE, error_type=why, ended=time.time())
        call["ended"] = time.time()
        if error_type:
            return Call(**call, end=End.ERROR, error_type=error_type)
        try:
            return answered(call, failed=False, payload=body)
        except ValueError:
            # A response that was cut off, and came as a complete one.
            return Call(**call, end=End.SUCCESS, answer=f"{len(body)} bytes that are no JSON")


def _is_unserved(call: Call) -> bool:
    """Tell whether a call found no relay, or was throttled."""
    return call.end is End.REFUSED or call.error_type == "Terralive.NoRelay"


def _read(stream: Iterable[InvokeWithResponseStreamResponseEventTypeDef]) -> tuple[bytes, str]:
    """Read a streamed response. Return its bytes, and its error's type, "" for none.

    https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStreamResponseEvent.html

    Raises:
        EOFError: it has no end.
    """
    body = b""
    for item in stream:
        body += item.get("PayloadChunk", {}).get("Payload", b"")
        if "InvokeComplete" in item:
            return body, item["InvokeComplete"].get("ErrorCode", "")
    raise EOFError("a stream without an end")


def collect(queue: SQSClient, url: str, accepted: list[Call], seconds: float) -> list[Call]:
    """Wait for the records of accepted events. An event without one in time has no answer."""
    waiting = {call.id: call for call in accepted}
    done: list[Call] = []
    until = time.monotonic() + seconds
    while waiting and time.monotonic() < until:
        found = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2).get(
            "Messages", []
        )
        for message in found:
            record = json.loads(message["Body"])
            call = waiting.pop(record["requestContext"]["requestId"], None)
            if call is not None:
                done.append(told(call, record))
            queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return done + [
        replace(call, end=End.NONE, error_type="no record at the destination")
        for call in waiting.values()
    ]
