"""A cache of answers, as the Parameters and Secrets extension has it. Pure.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html#retrieving-secrets_lambda_env-var
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_workers.extensions.answers import Answer

_MOST_SECONDS: Final = 300
_MOST_ITEMS: Final = 1000


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The extension's settings, which the variables of its function hold.

    Attributes:
        size: the most answers that are kept; 0 where nothing is kept.
        secrets_s: the number of seconds for which a secret is kept; 0 for not at all.
        parameters_s: the same for parameters.
    """

    size: int = _MOST_ITEMS
    secrets_s: int = _MOST_SECONDS
    parameters_s: int = _MOST_SECONDS

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> CacheSettings:
        """Return the settings in a function's variables. A value out of range is the default."""
        size = number(variables, "PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", _MOST_ITEMS)
        enabled = variables.get("PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", "true")
        if enabled.lower() == "false":
            size = 0
        return cls(
            min(size, _MOST_ITEMS),
            min(number(variables, "SECRETS_MANAGER_TTL", _MOST_SECONDS), _MOST_SECONDS),
            min(number(variables, "SSM_PARAMETER_STORE_TTL", _MOST_SECONDS), _MOST_SECONDS),
        )


def number(variables: Mapping[str, str], name: str, default: int) -> int:
    """Return a variable's value if it is a whole number that is not negative."""
    text = variables.get(name, "")
    if text.isascii() and text.isdigit():
        return int(text)
    return default


class Cache:
    """Answers by their questions. The one that was not asked for the longest time leaves first.

    Args:
        size: the most answers that are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # Answers with the time at which each of them ends, the least recently used first.
        self._answers: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()

    def get(self, key: Hashable, now: float) -> Answer | None:
        """Return an answer that is kept; None where there is none."""
        found = self._answers.get(key)
        if found is None:
            return None
        until, answer = found
        if now >= until:
            del self._answers[key]
            return None
        self._answers.move_to_end(key)
        return answer

    def put(self, key: Hashable, answer: Answer, until: float, now: float) -> None:
        """Keep an answer until a time."""
        if self._size == 0 or until <= now:
            return
        self._answers[key] = (until, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)
