"""The handlers of simulated workers, and what they have run."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field

from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.payloads import digest_environment

KEY = bytes(32)  # of environments' digests


@dataclass
class Handlers:
    """The record of what workers have run.

    Attributes:
        duration_s: how long a handler takes, by request id.
        runs: the number of runs, by the relay's life and attempt.
        started: the attempts whose handlers have started, by request id.
        running: the attempt whose handler runs, by the relay's life and request id.
        given: the outcomes that handlers have given, by request id.
        deployed: the attempts that the deployed code has run.
        stopped: the attempts that a relay has taken while it stopped; their result may be lost.
        streams: what handlers have written so far of streamed responses, by life and attempt.
        pieces: in how many pieces the next handlers stream; None for a number by chance.
        whole: the streams whose handlers have written all, by life and attempt.
    """

    duration_s: dict[str, float] = field(default_factory=dict)
    runs: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    started: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    running: dict[tuple[str, str], str] = field(default_factory=dict)
    given: defaultdict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    deployed: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    streams: dict[tuple[str, str], bytearray] = field(default_factory=dict)
    pieces: int | None = None
    whole: set[tuple[str, str]] = field(default_factory=set)

    def start(self, life: str, invocation: Invocation) -> None:
        request_id, attempt = invocation.request_id, invocation.attempt
        self.runs[life, attempt] += 1
        assert self.runs[life, attempt] == 1, f"{attempt} ran twice in {life}"
        runs_already = self.running.get((life, request_id))
        assert runs_already is None, f"{attempt} began in {life} while {runs_already} ran"
        assert attempt not in self.deployed, f"{attempt} began in {life}, but the fallback had it"
        self.running[life, request_id] = attempt
        self.started[request_id].append(attempt)
        assert invocation.environment["FUNCTION"] == invocation.function, "another's environment"
        digest = digest_environment(invocation.environment, KEY)
        assert digest == invocation.environment_digest, "another process's environment"

    def start_deployed(self, invocation: Invocation) -> None:
        """Start the deployed code, which no relay may have done and none may do later."""
        request_id, attempt = invocation.request_id, invocation.attempt
        assert attempt not in self.started[request_id], f"{attempt} had begun, and then fell back"
        self.deployed.add(attempt)
        self.started[request_id].append(attempt)

    def end(self, life: str, invocation: Invocation) -> None:
        """Take the end of a handler, however it came."""
        assert self.running.pop((life, invocation.request_id)) == invocation.attempt

    def finish(self, life: str, invocation: Invocation) -> Outcome:
        self.end(life, invocation)
        return self.give(life, invocation)

    def give(self, life: str, invocation: Invocation) -> Outcome:
        """Return a handler's outcome, and record it."""
        words = (invocation.request_id, invocation.function_name, len(invocation.event), life)
        body = json.dumps(" ".join(map(str, words))).encode()
        error_type = ""
        if invocation.request_id.endswith("bad"):
            error_type = "OrderError"
        outcome = Outcome(body, error_type)
        self.given[invocation.request_id].append(outcome)
        return outcome
