"""Reads a TOML table key by key and collects every mistake, for a user to see all at once.

Each mistake names its place, the problem, and the closest known name for a typing error. This
module knows no setting of terralive's; `kinds.py` converts the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from terralive_cli.configuration.kinds import WrongValueError, wrong_type
from terralive_cli.configuration.rules import closest
from terralive_stub.errors import ConfigurationError


class Problems:
    """The mistakes found so far."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, where: str, what: str) -> None:
        self._found.append(f"{where}: {what}")

    def raise_any(self) -> None:
        """Raise ConfigurationError if there was any mistake."""
        if not self._found:
            return
        raise ConfigurationError(
            "configuration-invalid",
            "\n".join(self._found),
            hint="Correct these settings. docs/CONFIGURATION.md lists every setting with its flag "
            "and its default.",
        )


class Table:
    """One table of a TOML document.

    Args:
        values: the table as tomllib returns it.
        file: the file's name, as errors show it.
        name: the table's dotted name; "" for the document itself.
        problems: collects the mistakes. A wrong value is then treated as missing.
    """

    def __init__(
        self, values: Mapping[str, object], *, file: str, name: str, problems: Problems
    ) -> None:
        self._values = values
        self._file = file
        self._name = name
        self._problems = problems
        # Keys that a reader has asked for. `end` reports all other keys.
        self._known: set[str] = set()

    def where(self, key: str) -> str:
        """Return a key's place as errors name it: `terralive.toml: terraform.dir`."""
        return f"{self._file}: {self._dotted(key)}"

    def value(self, key: str) -> object:
        """Return the value of a key, as tomllib returns it; None if the key is missing."""
        self._known.add(key)
        return self._values.get(key)

    def table(self, key: str) -> Table:
        """Return the table under `key`; an empty one if it is missing."""
        value = self.value(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.report(key, wrong_type(value, f"a table (`[{key}]`)"))
            value = {}
        return self._below(key, value)

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Yield every table below this one with its name, for tables that the user names."""
        for key, value in self._values.items():
            self._known.add(key)
            if isinstance(value, dict):
                yield key, self._below(f'"{key}"', value)
            else:
                self.report(key, wrong_type(value, "a table"))

    def has(self, key: str) -> bool:
        return key in self._values

    def report(self, key: str, wrong: WrongValueError) -> None:
        """Add the mistake in the value of `key` to the problems."""
        self._problems.add(self.where(key + wrong.below), str(wrong))

    def end(self) -> None:
        """Report every key that no reader has asked for."""
        for key in self._values:
            if key not in self._known:
                # The known keys are those of this table, so the list is short.
                allowed = ", ".join(sorted(self._known))
                suggestion = closest(key, self._known)
                self._problems.add(
                    self.where(key), f"there is no such setting.{suggestion} Known here: {allowed}."
                )

    def _below(self, key: str, values: Mapping[str, object]) -> Table:
        return Table(values, file=self._file, name=self._dotted(key), problems=self._problems)

    def _dotted(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key
