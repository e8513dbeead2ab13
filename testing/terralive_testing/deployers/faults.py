"""Causes faults in a running sandbox, by its admin address."""

from __future__ import annotations

import httpx

from terralive_sandbox.info import SandboxInfo


class Faults:
    """Faults of the sandbox that `info` names.

    Raises httpx.HTTPStatusError for what the sandbox refuses.
    """

    def __init__(self, info: SandboxInfo) -> None:
        self._address = f"{info.endpoint}/_sandbox/faults"
        self._headers = {"x-terralive-sandbox": info.id}

    def drop_connections(self, *connections: str, **chosen: str) -> int:
        """Cut connections without a word.

        All, those named, or those of an API and stage; how many.
        """
        return int(
            str(self._ask("POST", "/drop-connections", _choice(connections, chosen))["dropped"])
        )

    def expire_connections(self, *connections: str, **chosen: str) -> int:
        """Close connections as if their two hours were over; how many."""
        return int(
            str(self._ask("POST", "/expire-connections", _choice(connections, chosen))["expired"])
        )

    def set(self, kind: str, **others: str | float | None) -> str:
        """Add a rule; its id."""
        return str(self._ask("POST", "", {"kind": kind, **others})["id"])

    def listed(self) -> list[dict[str, object]]:
        """The rules that are set, with how often each has acted."""
        rules = self._ask("GET", "")["faults"]
        assert isinstance(rules, list)
        return rules

    def clear(self, rule_id: str = "") -> int:
        """Forget one rule, or all; how many they were."""
        return int(str(self._ask("DELETE", f"/{rule_id}" if rule_id else "")["cleared"]))

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        answer = httpx.request(
            method, self._address + path, headers=self._headers, json=body, timeout=30
        )
        answer.raise_for_status()
        value = answer.json()
        assert isinstance(value, dict)
        return value


def _choice(connections: tuple[str, ...], chosen: dict[str, str]) -> dict[str, object]:
    return {**chosen, "connections": list(connections)} if connections else {**chosen}
