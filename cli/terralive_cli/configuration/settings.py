"""Declaration of settings: each one is declared once, on the field of the value that holds it.

`values.py` and `tables.py` declare them, and everything else follows from the declaration: the
options of the command line, the environment variables, the keys of terralive.toml, the defaults,
and the table in docs/CONFIGURATION.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Final, TypeAlias

from terralive_cli.configuration.kinds import Kind

_SETTING: Final = "setting"
_TABLE: Final = "table"
# The value of an option of the command line; a tuple where it may be given several times.
FlagValue: TypeAlias = str | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        kind: the type of its value, and how it is read.
        meaning: one or two sentences for the reference page and for `--help`.
        in_file: whether terralive.toml can set it; its key there is the field's name,
            without the underscore behind a name that Python has a keyword of (`class_`).
        flag: option of the command line (`--stage`); "" if there is none.
        short: short form of the option (`-y`).
        metavar: name of the option's value in `--help`; "" for a switch.
        commands: the only commands that have the option; () for all commands.
        env: environment variable; "" if there is none.
        shown_default: the default as the reference page shows it, if it is not a constant.
        rule: returns what is wrong with a value that the user gave, or "".
        table: dotted name of its table in terralive.toml; filled in by `all_settings`.
        name: name of the field; filled in by `settings_of`.
        default: default of the field, None if it has none; filled in by `settings_of`.
    """

    kind: Kind[Any]
    meaning: str
    in_file: bool = True
    flag: str = ""
    short: str = ""
    metavar: str = ""
    commands: tuple[str, ...] = ()
    env: str = ""
    shown_default: str = ""
    rule: Callable[[Any], str] | None = None
    table: str = ""
    name: str = ""
    default: object = None

    @property
    def key(self) -> str:
        """The dotted key in terralive.toml (`terraform.dir`); "" if the file cannot set it."""
        if not self.in_file:
            return ""
        return f"{self.table}.{self.own_key}".removeprefix(".")

    @property
    def own_key(self) -> str:
        """The key in its table of terralive.toml."""
        return self.name.removesuffix("_")


def setting(
    kind: Kind[Any],
    meaning: str,
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    repr: bool = True,  # noqa: A002  # dataclasses' own word
    **details: Any,
) -> Any:
    """Return a dataclass field that holds a setting. `details` are attributes of `Setting`."""
    metadata = {_SETTING: Setting(kind, meaning, **details)}
    return field(default=default, default_factory=default_factory, repr=repr, metadata=metadata)


def setting_table(
    name: str, kind: type, *, default: Any = MISSING, default_factory: Any = MISSING
) -> Any:
    """Return a dataclass field that holds a table of settings; `kind` is the table's dataclass."""
    metadata = {_TABLE: (name, kind)}
    return field(default=default, default_factory=default_factory, metadata=metadata)


def settings_of(kind: Any) -> tuple[Setting, ...]:
    """Return the settings that a dataclass declares on its own fields, in their order."""
    found = []
    for item in fields(kind):
        if _SETTING not in item.metadata:
            continue
        default = None
        if item.default is not MISSING:
            default = item.default
        elif item.default_factory is not MISSING:
            default = item.default_factory()
        found.append(replace(item.metadata[_SETTING], name=item.name, default=default))
    return tuple(found)


def all_settings(kind: Any) -> Iterator[Setting]:
    """Yield the settings of a dataclass, then those of its tables."""
    yield from settings_of(kind)
    for item in fields(kind):
        if _TABLE in item.metadata:
            name, table = item.metadata[_TABLE]
            for declared in settings_of(table):
                yield replace(declared, table=name)
