"""Causes faults in a running sandbox: the typed client of its admin address. Standard library only.

faults = Faults(info)
faults.set(FaultRule(kind=Kind.DROP, direction=Direction.OUT, probability=0.1, seed=7))
faults.drop_connections(api=api, stage="relay")
faults.clear()
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping

from .faults import ConnectionChoice, FaultRule, InvalidRuleError, Listed
from .info import SandboxInfo

_SECONDS = 30.0


class Faults:
    """Faults of the sandbox that `info` names.

    Raises, whatever is called:
        InvalidRuleError: the sandbox refuses the request, with its words.
        OSError: nothing answers.
    """

    def __init__(self, info: SandboxInfo) -> None:
        self._info = info
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def drop_connections(self, connections: Iterable[str] | None = None, *, api: str = "*", stage: str = "*") -> int:
        """Cut connections without a word: all, those named, or those of an API and stage; how many."""
        return self._choose("drop-connections", "dropped", connections, api, stage)

    def expire_connections(self, connections: Iterable[str] | None = None, *, api: str = "*", stage: str = "*") -> int:
        """Close connections as if their two hours were over; how many."""
        return self._choose("expire-connections", "expired", connections, api, stage)

    def set(self, rule: FaultRule) -> str:
        """Add a rule; its id."""
        return str(self._ask("POST", "", rule.to_json())["id"])

    def listed(self) -> tuple[Listed, ...]:
        """The rules that are set, with how often each has acted."""
        found = self._ask("GET", "")["faults"]
        return tuple(_listed(item) for item in found) if isinstance(found, list) else ()

    def clear(self, rule_id: str = "") -> int:
        """Forget one rule, or all; how many they were."""
        return int(str(self._ask("DELETE", f"/{rule_id}" if rule_id else "")["cleared"]))

    def _choose(self, what: str, counted: str, connections: Iterable[str] | None, api: str, stage: str) -> int:
        ids = None if connections is None else tuple(connections)
        choice = ConnectionChoice(connections=ids, api=api, stage=stage)
        return int(str(self._ask("POST", f"/{what}", choice.to_json())[counted]))

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
        request = urllib.request.Request(  # noqa: S310 - the sandbox's own address
            f"{self._info.endpoint}/_sandbox/faults{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"x-terralive-sandbox": self._info.id, "content-type": "application/json"},
        )  # fmt: skip
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                value = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise InvalidRuleError(error.read().decode("utf-8", "replace")) from error
        return value if isinstance(value, dict) else {}


def _listed(item: Mapping[str, object]) -> Listed:
    rule = {name: value for name, value in item.items() if name not in {"id", "acts"}}
    return Listed(str(item["id"]), FaultRule.from_json(json.dumps(rule)), int(str(item["acts"])))
