"""Reads a TOML table key by key and collects every mistake, so that a user sees all of them at once.

Each mistake says where it is, what is wrong, what is allowed, and the closest name for a typing
error. It knows TOML's types and nothing about terralive's settings.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from terralive_stub.errors import ConfigurationError
from terralive_terraform.documents import Json

_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


def closest(name: str, known: Iterable[str]) -> str:
    """Suggest what a typing error may have meant.

    ` Did you mean "stage"?`, or "" where nothing is close.
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{found[0]}"?' if found else ""


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
            hint="Correct the above. Every setting, with its flag and its default, is in docs/CONFIGURATION.md.",
        )


class Table:
    """One table of a TOML document.

    Args:
        values: the table as tomllib gives it.
        file: the file's name, as errors show it.
        name: the table's dotted name; "" for the document itself.
        problems: where mistakes go. What is wrong reads as if it were not there.
    """

    def __init__(
        self, values: Mapping[str, object], *, file: str, name: str, problems: Problems
    ) -> None:
        self._values = values
        self._file = file
        self._name = name
        self._problems = problems
        self._known: set[str] = set()

    def where(self, key: str) -> str:
        """Give what an error calls a key: `terralive.toml: terraform.dir`."""
        return f"{self._file}: {f'{self._name}.' if self._name else ''}{key}"

    def text(self, key: str) -> str | None:
        value = self._read(key)
        if isinstance(value, str) and value.strip():
            return value
        if value is not None:
            self._wrong(key, value, "text that is not empty")
        return None

    def flag(self, key: str) -> bool | None:
        value = self._read(key)
        if isinstance(value, bool):
            return value
        if value is not None:
            self._wrong(key, value, "true or false")
        return None

    def number(self, key: str, *, least: int, most: int) -> int | None:
        value = self._read(key)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        if value is not None:
            self._wrong(key, value, f"a whole number from {least} to {most}")
        return None

    def texts(self, key: str) -> tuple[str, ...] | None:
        value = self._read(key)
        if isinstance(value, list):
            texts = tuple(item for item in value if isinstance(item, str) and item)
            if len(texts) == len(value):
                return texts
        if value is not None:
            self._wrong(key, value, 'a list of texts (`["a", "b"]`)')
        return None

    def labels(self, key: str) -> dict[str, str]:
        """Read a table whose values are all text."""
        value = self._read(key)
        if isinstance(value, dict):
            labels = {str(name): item for name, item in value.items() if isinstance(item, str)}
            if len(labels) == len(value):
                return labels
        if value is not None:
            self._wrong(key, value, 'a table of texts (`{ team = "orders" }`)')
        return {}

    def document(self, key: str) -> dict[str, Json]:
        """Read a table of whatever Terraform takes there.

        Texts, numbers, booleans, lists and tables.
        """
        value = self._read(key)
        if isinstance(value, dict):
            return {str(name): self._json(f"{key}.{name}", item) for name, item in value.items()}
        if value is not None:
            self._wrong(key, value, "a table")
        return {}

    def table(self, key: str) -> Table:
        """Give a table below this one; an empty one where there is none."""
        value = self._read(key)
        if value is not None and not isinstance(value, dict):
            self._wrong(key, value, f"a table (`[{key}]`)")
            value = None
        return self._below(key, value or {})

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Give every table below this one, for tables whose names are the user's."""
        for key, value in self._values.items():
            self._known.add(key)
            if isinstance(value, dict):
                yield key, self._below(f'"{key}"', value)
            else:
                self._wrong(key, value, "a table")

    def has(self, key: str) -> bool:
        return key in self._values

    def end(self) -> None:
        """Report every key that nobody has asked for."""
        for key in self._values:
            if key not in self._known:
                allowed = ", ".join(sorted(self._known))
                self._problems.add(
                    self.where(key),
                    f"there is no such setting.{closest(key, self._known)} Known here: {allowed}.",
                )

    def _below(self, key: str, values: Mapping[str, object]) -> Table:
        name = f"{self._name}.{key}" if self._name else key
        return Table(values, file=self._file, name=name, problems=self._problems)

    def _read(self, key: str) -> object:
        self._known.add(key)
        return self._values.get(key)

    def _wrong(self, key: str, value: object, allowed: str) -> None:
        kind = _KINDS.get(type(value), type(value).__name__)
        shown = f"{value!r}, " if isinstance(value, str | int | float) else ""
        self._problems.add(self.where(key), f"it is {shown}{kind}; allowed is {allowed}.")

    def _json(self, key: str, value: object) -> Json:
        if isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, list):
            return [self._json(key, item) for item in value]
        if isinstance(value, dict):
            return {str(name): self._json(f"{key}.{name}", item) for name, item in value.items()}
        self._wrong(key, value, "text, a number, true or false, a list or a table")
        return None
