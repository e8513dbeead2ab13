"""Cause faults in a running sandbox through its admin address."""

from __future__ import annotations

import httpx

from terralive_sandbox.info import SandboxInfo


class Faults:
    """Faults of one sandbox.

    Every method raises httpx.HTTPStatusError if the sandbox answers with an error.
    """

    def __init__(self, info: SandboxInfo) -> None:
        self._address = f"{info.endpoint}/_sandbox/faults"
        self._headers = {"x-terralive-sandbox": info.id}

    def drop_connections(self, *connections: str, **chosen: str) -> int:
        """Cut connections without a close frame. Return their number.

        Args:
            connections: the ids of the connections; all if there are none.
            chosen: `api` and `stage`, by name or glob.
        """
        answer = self._ask("POST", "/drop-connections", _choice(connections, chosen))
        return int(str(answer["dropped"]))

    def expire_connections(self, *connections: str, **chosen: str) -> int:
        """Close connections as after two hours. Return their number.

        The arguments are those of `drop_connections`.
        """
        answer = self._ask("POST", "/expire-connections", _choice(connections, chosen))
        return int(str(answer["expired"]))

    def occupy_executions(self, executions: int) -> None:
        """Let other functions occupy so many of the account's concurrent executions; 0 for none."""
        self._ask("POST", "/occupy-executions", {"executions": executions})

    def set(self, kind: str, **others: str | float | None) -> str:
        """Set a rule. Return its id."""
        return str(self._ask("POST", "", {"kind": kind, **others})["id"])

    def listed(self) -> list[dict[str, object]]:
        """Return the rules that are set, with how often each has acted."""
        rules = self._ask("GET", "")["faults"]
        assert isinstance(rules, list)
        return rules

    def clear(self, rule_id: str = "") -> int:
        """Clear one rule, or all without an id. Return their number."""
        path = ""
        if rule_id:
            path = f"/{rule_id}"
        return int(str(self._ask("DELETE", path)["cleared"]))

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        answer = httpx.request(
            method, self._address + path, headers=self._headers, json=body, timeout=30
        )
        answer.raise_for_status()
        value = answer.json()
        assert isinstance(value, dict)
        return value


def _choice(connections: tuple[str, ...], chosen: dict[str, str]) -> dict[str, object]:
    if not connections:
        return {**chosen}
    return {**chosen, "connections": list(connections)}
