"""The environments of stubs, by their digests, within a bound of memory. Pure.

An invocation has its environment, or the digest of one that its stub has sent before. A stub can
name environments of its own function only: the broker has checked the function.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.protocol.invocation import Invocation

# All environments together. Lambda's limit for a function's own variables is 4 KB.
KEEP_BYTES: Final = 16 * 1024 * 1024
# One environment; a larger one travels with every invocation.
MOST_BYTES: Final = 64 * 1024
# The memory that Python needs for an environment, and for each of its variables, beside their text.
OVERHEAD_BYTES: Final = 512
VARIABLE_OVERHEAD_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class _Name:
    function: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Kept:
    variables: Mapping[str, str] = field(repr=False)
    size: int


@dataclass(slots=True)
class Environments:
    """The environments that are known.

    Attributes:
        keep_bytes: the bound of all of them.
        _kept: the environments; the last used one is at the end.
        _size: their size in bytes.
    """

    keep_bytes: int = KEEP_BYTES
    _kept: OrderedDict[_Name, _Kept] = field(default_factory=OrderedDict, repr=False)
    _size: int = 0

    def get(self, function: str, digest: str) -> Mapping[str, str] | None:
        """Return a function's environment; None where it is not known."""
        name = _Name(function, digest)
        kept = self._kept.get(name)
        if kept is None:
            return None
        self._kept.move_to_end(name)
        return kept.variables

    def keep(self, invocation: Invocation) -> None:
        """Keep an invocation's environment, and drop those that were not used for longest."""
        name = _Name(invocation.function, invocation.environment_digest)
        if not invocation.environment_digest or name in self._kept:
            return
        size = _size_of(invocation.environment)
        if size > MOST_BYTES:
            return
        self._kept[name] = _Kept(invocation.environment, size)
        self._size += size
        while self._size > self.keep_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._size -= dropped.size


def _size_of(environment: Mapping[str, str]) -> int:
    """Return the memory that an environment takes, in bytes. It is an estimate."""
    size = OVERHEAD_BYTES
    for variable, value in environment.items():
        size += VARIABLE_OVERHEAD_BYTES + len(variable) + len(value)
    return size
