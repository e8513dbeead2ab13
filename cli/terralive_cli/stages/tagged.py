"""Debug stacks that the tags of their resources describe. Pure.

Every resource of a debug stack has the tags of `DebugStackSettings.all_tags`. The resources of one
debug stack may be some of its parts only: an interrupted destroy leaves the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.substitution.marker import StageName

APP: Final = "terralive:app"
_STAGE: Final = "terralive:stage"
_OWNER: Final = "terralive:owner"
_CREATED: Final = "terralive:created"
_VERSION: Final = "terralive:version"
_SOURCE: Final = "terralive:source"
# The ends of names by which the name of a debug stack is known (`debug_stack/stack.py`).
_TABLE: Final = "-connections"
_BROKER: Final = "-broker"
_LOG_GROUP: Final = "/aws/lambda/"


@dataclass(frozen=True, slots=True)
class TaggedResource:
    """A resource with tags of terralive's: its ARN and all of its tags."""

    arn: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Named:
    """A stage, and the name of a debug stack of it."""

    stage: StageName
    name: str


@dataclass(frozen=True, slots=True)
class TaggedStack:
    """A debug stack that the tags of its resources describe.

    Attributes:
        stage: the app and the stage.
        owner: the user who has deployed it first.
        created: the ISO date of that.
        version: the version of terralive that has deployed it.
        source: the project that it was deployed from.
        name: the name that its resources begin with; "" where no resource tells it.
        arns: the ARNs of its resources that were found.
        tags: the tags of one of them, with the organisation's.
    """

    stage: StageName
    owner: str
    created: str
    version: str
    source: str
    name: str
    arns: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def table(self) -> str:
        """The name of its table, whether it exists or not; "" where its name is not known."""
        if not self.name:
            return ""
        return f"{self.name}{_TABLE}"

    @property
    def has_table(self) -> bool:
        """True if its table was found."""
        return any(arn.endswith(f":table/{self.table}") for arn in self.arns)


def stacks_of(resources: Iterable[TaggedResource]) -> tuple[TaggedStack, ...]:
    """Return the debug stacks that resources belong to, by app and stage.

    Two of one app and stage with different names (`[debug_stack] name_prefix`) are two.
    """
    named: dict[_Named, list[TaggedResource]] = {}
    nameless: dict[StageName, list[TaggedResource]] = {}
    for item in sorted(resources, key=lambda item: item.arn):
        stage = StageName(item.tags.get(APP, ""), item.tags.get(_STAGE, ""))
        if not stage.app or not stage.stage:
            continue
        name = _name_in(item.arn)
        if name:
            named.setdefault(_Named(stage, name), []).append(item)
        else:
            nameless.setdefault(stage, []).append(item)
    for stage, items in nameless.items():
        names = sorted(key.name for key in named if key.stage == stage)
        # The name of an API or a bucket tells too little, so it goes to the first one.
        first = "".join(names[:1])
        named.setdefault(_Named(stage, first), []).extend(items)
    found = [_stack(key, items) for key, items in named.items()]
    return tuple(sorted(found, key=lambda item: (item.stage.app, item.stage.stage, item.name)))


def prefix_of(stack: TaggedStack, known: Sequence[str]) -> str | None:
    """Return the `name_prefix` with which a debug stack has its name; None where none is known.

    Args:
        stack: the debug stack.
        known: prefixes that may be it, the likeliest first.
    """
    if not stack.name:
        return next(iter(known), None)
    own = stack.name.removesuffix(f"-{stack.stage.app}-{stack.stage.stage}")
    candidates = [*known]
    if own != stack.name:
        candidates.insert(0, own)
    for prefix in candidates:
        settings = DebugStackSettings.for_names(stack.stage.app, stack.stage.stage, prefix)
        if settings.name() == stack.name:
            return prefix
    return None


def _stack(key: _Named, items: Sequence[TaggedResource]) -> TaggedStack:
    tags = items[0].tags
    return TaggedStack(
        stage=key.stage,
        owner=tags.get(_OWNER, ""),
        created=min(item.tags.get(_CREATED, "") for item in items),
        version=tags.get(_VERSION, ""),
        source=tags.get(_SOURCE, ""),
        name=key.name,
        arns=tuple(item.arn for item in items),
        tags=tags,
    )


def _name_in(arn: str) -> str:
    """Return the name of a debug stack that the ARN of one of its resources has in it."""
    _, _, resource = arn.partition(":table/")
    if resource.endswith(_TABLE):
        return resource.removesuffix(_TABLE)
    for mark in (":function:", f":log-group:{_LOG_GROUP}"):
        _, _, resource = arn.partition(mark)
        resource = resource.removesuffix(":*")
        if resource.endswith(_BROKER):
            return resource.removesuffix(_BROKER)
    return ""
