"""Decides which version of a function a stub may invoke where nobody is connected. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.fallback.published import Published, has_snap_start, stage_of
from terralive_stub.shared.json_documents import text
from terralive_terraform.substitution.marker import StageName

# A stub occupies one execution while it waits for the answer of the version, and both share the
# function's reserved concurrency:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
_LEAST_RESERVED: Final = 2
SWITCHED_OFF: Final = "fallback = false"
NOT_DEPLOYED: Final = "there is no deployed code yet"
ALWAYS: Final = "fallback = true"
PUBLISHES: Final = "publish = true"
IGNORED: Final = "Terraform ignores its code"
_SNAP_START: Final = (
    "SnapStart is on, so publishing a version takes minutes and costs money; "
    "fallback = true publishes one"
)


class Action(Enum):
    """The way to the version that has a function's real code."""

    USE = auto()  # it exists
    PUBLISH = auto()  # it is published now
    NONE = auto()  # there is none


@dataclass(frozen=True, slots=True)
class Declared:
    """What the configuration says of a function, as far as published versions are concerned.

    Attributes:
        reserved: its reserved concurrency; None for none.
        publishes: whether Terraform publishes each change of it as a version.
        readers: the addresses of what reads its newest version.
        has_snap_start: whether Lambda takes a snapshot of each version that is published.
        role: the ARN of its role; "" where that is not known.
    """

    reserved: int | None = None
    publishes: bool = False
    readers: tuple[str, ...] = ()
    has_snap_start: bool = False
    role: str = ""

    @property
    def needs_own_version(self) -> bool:
        """Tell whether perhaps only a version that somebody else has published serves."""
        return bool(self.readers) or self.publishes or self.has_snap_start


@dataclass(frozen=True, slots=True)
class Decision:
    """The version that has a function's real code.

    Attributes:
        action: the way to it.
        version: its number, where it exists; else "".
        made: whether terralive has published it, or does so now.
        reason: why a stub may not invoke it, or why there is none; "" if it may.
    """

    action: Action
    version: str = ""
    made: bool = False
    reason: str = ""


def decide(
    choice: FallbackChoice, declared: Declared, published: Published, stage: StageName
) -> Decision:
    """Decide for one function that carries no stub.

    A team's own version is used before one of terralive's. Where the configuration reads the newest
    version, none is published: the AWS provider takes the newest one, whatever `publish` says.
    https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function#publish-1

    Args:
        choice: the setting.
        declared: what the configuration says of it.
        published: what Lambda says of it.
        stage: this stage.
    """
    if choice is FallbackChoice.NEVER:
        return Decision(Action.NONE, reason=SWITCHED_OFF)
    reason = cannot_answer(declared)
    equal = published.equal_to_latest()
    # A version that another stage has published counts as somebody's own.
    for made in (False, True):
        for version in equal:
            if (stage_of(version) == stage) is made:
                return Decision(Action.USE, text(version, "Version"), made, reason)
    obstacle = cannot_publish(declared)
    if obstacle:
        return Decision(Action.NONE, reason=obstacle)
    if has_snap_start(published.latest) and choice is not FallbackChoice.ALWAYS:
        return Decision(Action.NONE, reason=_SNAP_START)
    return Decision(Action.PUBLISH, made=True, reason=reason)


def needs_own_code(choice: FallbackChoice, declared: Declared) -> str:
    """Return the setting for which a function that is not deployed gets its real code first.

    A stub is never published, so `publish = true` and aliases would have no version otherwise.

    Args:
        choice: the setting.
        declared: what the configuration says of it.

    Returns:
        The setting, as a user writes it; "" where the stub may be the first code of the function.
    """
    if choice is FallbackChoice.NEVER:
        return ""
    if declared.publishes and choice is FallbackChoice.AUTO and not declared.has_snap_start:
        return PUBLISHES
    if choice is not FallbackChoice.ALWAYS or cannot_answer(declared):
        return ""
    if declared.readers and not declared.publishes:
        # No version would be published (see `cannot_publish`).
        return ""
    return ALWAYS


def cannot_answer(declared: Declared) -> str:
    """Return why a stub cannot invoke any version of a function; "" if it can."""
    reserved = declared.reserved
    if reserved is None or reserved >= _LEAST_RESERVED:
        return ""
    return (
        f"the reserved concurrency is {reserved}, and the stub needs a second execution for the "
        "deployed code"
    )


def cannot_publish(declared: Declared) -> str:
    """Return why terralive publishes no version of a function; "" if it may."""
    if declared.readers:
        return (
            f"{declared.readers[0]} reads the newest version, and no published version equals "
            "what is deployed"
        )
    if declared.publishes:
        return "publish = true is set, and no published version equals what is deployed"
    return ""
