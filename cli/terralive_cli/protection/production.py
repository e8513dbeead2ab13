"""Signs of production in names: of folders, accounts, states, variables, tags, functions. Pure.

A sign is a whole word: `orders-prod` has one, `products` has none. So has `orders-nonprod`, whose
word before it says the opposite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json, text

# `ordersProd-eu1` has the words `orders`, `Prod`, `eu` and `1`.
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_BRACES: Final = re.compile(r"(\$?\{|\})")
_OPPOSITES: Final = ("non", "not", "no", "pre")
# It means production only where the name is that of an environment: folders of this name are a
# convention of Terragrunt's, and hold all environments.
_ENVIRONMENT_WORDS: Final = ("live",)
# Words in the names of tags and variables whose value is the name of an environment.
_ENVIRONMENT_KEYS: Final = frozenset(("env", "environment", "stage"))
# Other words in the name of such a variable. `node_env` and `api_stage` have others: their values
# say nothing about where the app is deployed.
_VARIABLE_WORDS: Final = frozenset(
    (
        *("account", "app", "application", "aws", "current", "deploy", "deployment", "infra"),
        *("name", "project", "resource", "service", "short", "target", "terraform", "tf"),
    )
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name that may look like production.

    Attributes:
        kind: what has the name, for a person: `folder`, `key of the backend`.
        text: the name itself.
        is_environment: whether it is the name of an environment, and of nothing else.
    """

    kind: str
    text: str
    is_environment: bool = False

    def __str__(self) -> str:
        return f'{self.kind} "{self.text}"'


def signs_of_production(names: Iterable[Name], words: Sequence[str]) -> list[Name]:
    """Return the names that look like production.

    Args:
        names: the names.
        words: the words that mean production, in lower case.
    """
    found: list[Name] = []
    for name in names:
        wanted = {word.lower() for word in words}
        if name.is_environment and wanted:
            wanted.update(_ENVIRONMENT_WORDS)
        if name not in found and _has_word(name.text, wanted):
            found.append(name)
    return found


def refuse_production(
    names: Iterable[Name], words: Sequence[str], *, allowed: bool = False
) -> None:
    """Refuse to go on where a name looks like production.

    Args:
        names: the names.
        words: the words that mean production.
        allowed: whether the user has allowed it (`--allow-protected`).

    Raises:
        ConfigurationError: `stage-protected`.
    """
    if allowed:
        return
    found = signs_of_production(names, words)
    if not found:
        return
    listed = ", ".join(str(name) for name in found)
    raise ConfigurationError(
        "stage-protected",
        f"This looks like production: {listed}. Its functions would run on this machine.",
        hint="Work on a copy of the app for development. If you are sure, add `--allow-protected`. "
        "If this is not production, set `production_words` in terralive.toml.",
    )


def names_environment(variable: str) -> bool:
    """Tell by the name of a Terraform variable whether its value is the name of an environment."""
    words = set(_words(variable))
    return bool(words & _ENVIRONMENT_KEYS) and words <= _ENVIRONMENT_KEYS | _VARIABLE_WORDS


def variable_names(variables: Mapping[str, Json]) -> Iterator[Name]:
    """Yield the values of Terraform variables that are names of environments, also in tags."""
    for name, value in variables.items():
        if isinstance(value, str) and names_environment(name):
            yield Name(f"variable {name} =", value, is_environment=True)
        elif isinstance(value, dict) and "tags" in _words(name):
            yield from tag_names({key: text(value, key) for key in value})


def tag_names(tags: Mapping[str, str]) -> Iterator[Name]:
    """Yield the tags whose values are names of environments."""
    for key, value in tags.items():
        is_own = key.startswith("terralive:")
        if not is_own and not _ENVIRONMENT_KEYS.isdisjoint(_words(key)):
            yield Name(f"tag {key} =", value, is_environment=True)


def _has_word(name: str, wanted: Iterable[str]) -> bool:
    words = _words(_without_expressions(name))
    for before, word in zip(["", *words], words, strict=False):
        if word in wanted and before not in _OPPOSITES:
            return True
    return False


def _without_expressions(name: str) -> str:
    """Return a name without its expressions: Terraform tells their values when it has planned."""
    kept: list[str] = []
    depth = 0
    for part in _BRACES.split(name):
        if part == "${" or (part == "{" and depth > 0):
            depth += 1
            kept.append(" ")
        elif part == "}" and depth > 0:
            depth -= 1
        elif depth == 0:
            kept.append(part)
    return "".join(kept)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
