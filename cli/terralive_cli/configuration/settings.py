"""Declaration of settings: each one is declared once, on the field of the value that holds it.

`values.py` and `tables.py` declare them, and everything else follows from the declaration: the
options of the command line, the environment variables, the keys of terralive.toml, the defaults,
and the table in docs/CONFIGURATION.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from typing import Any, Final

from terralive_cli.configuration.kinds import Kind

_SETTING: Final = "setting"
_TABLE: Final = "table"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        kind: the type of its value, and how it is read.
        meaning: one or two sentences for the reference page and for `--help`.
        key: dotted key in terralive.toml; "" if the file cannot set it.
        flag: option of the command line (`--stage`); "" if there is none.
        short: short form of the option (`-y`).
        metavar: name of the option's value in `--help`; "" for a switch.
        command: the only command that has the option; "" for all commands.
        env: environment variable; "" if there is none.
        shown_default: the default as the reference page shows it, if it is not a constant.
        rule: returns what is wrong with a value that the user gave, or "".
        name: name of the field; filled in by `settings_of`.
        default: default of the field, None if it has none; filled in by `settings_of`.
    """

    kind: Kind[Any]
    meaning: str
    key: str = ""
    flag: str = ""
    short: str = ""
    metavar: str = ""
    command: str = ""
    env: str = ""
    shown_default: str = ""
    rule: Callable[[Any], str] | None = None
    name: str = ""
    default: object = None

    @property
    def last_key(self) -> str:
        """The key inside its own table: `dir` of `terraform.dir`."""
        return self.key.rpartition(".")[2]


def declare(
    kind: Kind[Any],
    meaning: str,
    *,
    key: str = "",
    flag: str = "",
    short: str = "",
    metavar: str = "",
    command: str = "",
    env: str = "",
    shown_default: str = "",
    rule: Callable[[Any], str] | None = None,
) -> dict[str, object]:
    """Return the `metadata` of a dataclass field that holds a setting (see `Setting`)."""
    setting = Setting(
        kind,
        meaning,
        key=key,
        flag=flag,
        short=short,
        metavar=metavar,
        command=command,
        env=env,
        shown_default=shown_default,
        rule=rule,
    )
    return {_SETTING: setting}


def declare_table(kind: type) -> dict[str, object]:
    """Return the `metadata` of a dataclass field that holds a table of settings."""
    return {_TABLE: kind}


def settings_of(kind: type) -> tuple[Setting, ...]:
    """Return the settings that a dataclass declares on its own fields, in their order."""
    found = []
    for item in _fields(kind):
        declared = item.metadata.get(_SETTING)
        if isinstance(declared, Setting):
            found.append(replace(declared, name=item.name, default=_default(item)))
    return tuple(found)


def all_settings(kind: type) -> Iterator[Setting]:
    """Yield the settings of a dataclass, then those of its tables."""
    yield from settings_of(kind)
    for item in _fields(kind):
        table = item.metadata.get(_TABLE)
        if isinstance(table, type):
            yield from all_settings(table)


def _fields(kind: type) -> tuple[Field[Any], ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no dataclass")
    return fields(kind)


def _default(item: Field[Any]) -> object:
    if item.default is not MISSING:
        return item.default
    if item.default_factory is not MISSING:
        return item.default_factory()
    return None
