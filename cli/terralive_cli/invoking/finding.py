"""Finds the function that a user names, among those of the app. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.errors import ConfigurationError

_SHOWN: Final = 20
# The parts of an address: `module.orders["eu"].aws_lambda_function.api`.
_PARTS: Final = re.compile(r'[.\[\]"/]+')
_BEFORE_LAST_WORD: Final = ("-", "_")


@dataclass(frozen=True, slots=True)
class KnownFunction:
    """A deployed function of the app.

    Attributes:
        name: its name on AWS.
        arn: its ARN, without a qualifier.
        address: its Terraform address.
        label: its name in events, which no other function of the app has.
        tags: its tags, as far as they are known.
    """

    name: str
    arn: str
    address: str
    label: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown_name(self) -> str:
        """The name that messages and events use."""
        return self.label or self.name


def matching(wanted: str, known: Iterable[KnownFunction]) -> list[KnownFunction]:
    """Return the functions that a text names.

    A whole name, address or ARN counts before a word of it, and a word before any other part: `api`
    is `shop-api`, although there is `shop-api-admin`, too.
    """
    functions = list(known)
    tests: Sequence[Callable[[str, KnownFunction], bool]] = (_is_whole, _is_word, _is_part)
    for test in tests:
        found = [function for function in functions if test(wanted, function)]
        if found:
            return found
    return []


def one_of(
    wanted: str, found: Sequence[KnownFunction], known: Sequence[KnownFunction]
) -> KnownFunction:
    """Return the function that was found.

    Args:
        wanted: the text that the user has typed.
        found: what `matching` has found.
        known: all functions of the app.

    Raises:
        ConfigurationError: `function-unknown`, `function-unclear`.
    """
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigurationError(
            "function-unclear",
            f'"{wanted}" may be several functions.\n{_lines(found)}',
            hint="Give the name or the address of one of them.",
        )
    if not known:
        raise ConfigurationError(
            "function-unknown",
            f'There is no function "{wanted}": no function of this stage is deployed.',
            hint="Deploy the app by `terralive start`, name another stage (`--stage`), or run the "
            "code of this folder (`--local`).",
        )
    raise ConfigurationError(
        "function-unknown",
        f'The app has no function "{wanted}". It has these:\n{_lines(known)}',
        hint="Give the name, the Terraform address, or a part that only one of them has.",
    )


def _is_whole(wanted: str, function: KnownFunction) -> bool:
    return wanted in {function.name, function.label, function.address, function.arn} - {""}


def _is_word(wanted: str, function: KnownFunction) -> bool:
    if wanted in _PARTS.split(function.address):
        return True
    return any(function.name.endswith(f"{before}{wanted}") for before in _BEFORE_LAST_WORD)


def _is_part(wanted: str, function: KnownFunction) -> bool:
    part = wanted.lower()
    return part in function.name.lower() or part in function.address.lower()


def _lines(functions: Sequence[KnownFunction]) -> str:
    lines = [f"{function.shown_name}  ({function.address})" for function in functions[:_SHOWN]]
    if len(functions) > _SHOWN:
        lines.append(f"and {len(functions) - _SHOWN} more")
    return "\n".join(lines)
