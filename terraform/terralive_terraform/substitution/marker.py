"""The description of a live function, which says for which app and stage it is live. Pure.

Everybody who may see the function can read it: in the console, in Terraform's state, in a plan.
Restoring the function puts its own description back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from terralive_terraform.artifacts import STUB_HANDLERS

# Lambda allows 256 characters:
# https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
_TEXT: Final = (
    "Live by terralive as {app}/{stage}: invocations run on a developer's machine. "
    "`terralive restore` puts the function's own code back."
)
_STAGE: Final = re.compile(r"Live by terralive as ([\w-]+)/([\w-]+):")


@dataclass(frozen=True, slots=True)
class StageName:
    """An app and a stage of it."""

    app: str
    stage: str

    def __str__(self) -> str:
        return f"{self.app}/{self.stage}"


def live_description(name: StageName) -> str:
    """Return the description of a function while it is live."""
    return _TEXT.format(app=name.app, stage=name.stage)


def is_stub(handler: str, description: str) -> bool:
    """Tell whether a function is a stub. A container image has no handler."""
    return handler in STUB_HANDLERS or stage_of(description) is not None


def stage_of(description: str) -> StageName | None:
    """Return the stage that a function is live for; None for any other description."""
    match = _STAGE.match(description)
    if match is None:
        return None
    return StageName(match[1], match[2])
