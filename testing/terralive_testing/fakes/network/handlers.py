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
        runs: the number of runs, by the relay's life and request id.
        started: request ids whose handler has started.
        given: the outcomes that handlers have given, by request id.
    """

    duration_s: dict[str, float] = field(default_factory=dict)
    runs: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    started: set[str] = field(default_factory=set)
    given: defaultdict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    def start(self, life: str, invocation: Invocation) -> None:
        self.runs[life, invocation.request_id] += 1
        self.started.add(invocation.request_id)
        assert self.runs[life, invocation.request_id] == 1, (
            f"{invocation.request_id} ran twice in {life}"
        )
        assert invocation.environment["FUNCTION"] == invocation.function, "another's environment"
        digest = digest_environment(invocation.environment, KEY)
        assert digest == invocation.environment_digest, "another process's environment"

    def finish(self, life: str, invocation: Invocation) -> Outcome:
        words = (invocation.request_id, invocation.function_name, len(invocation.event), life)
        body = json.dumps(" ".join(map(str, words))).encode()
        error_type = ""
        if invocation.request_id.endswith("bad"):
            error_type = "OrderError"
        outcome = Outcome(body, error_type)
        self.given[invocation.request_id].append(outcome)
        return outcome
