"""The end of a restore. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Restored:
    """The end of a restore.

    Attributes:
        changed: whether a function carried a stub.
        unseen: the addresses of functions that could not be looked at.
        published: the addresses of functions of which terralive has published a version.
        own: the ARNs of the functions that have their own code for certain.
        stubs: the ARNs of those among them that carried a stub.
    """

    changed: bool = False
    unseen: tuple[str, ...] = ()
    published: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    stubs: frozenset[str] = frozenset()

    def __or__(self, other: Restored) -> Restored:
        """Return the ends of two restores as one."""
        return Restored(
            self.changed or other.changed,
            (*self.unseen, *other.unseen),
            self.published | other.published,
            self.own | other.own,
            self.stubs | other.stubs,
        )
