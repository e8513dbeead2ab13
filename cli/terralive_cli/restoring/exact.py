"""Decides whether a plan of Terraform would bring back what a stub has replaced. Pure.

If it would not (the code of the working tree was edited, a setting has a pending change), Lambda's
API puts the original code and settings back, and the next plan of Terraform shows the pending
change. What is not known counts as different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from terralive_cli.restoring.by_api import FunctionVersion, Settings
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.json_documents import Json, as_object, items, text
from terralive_terraform.output.shown_plan import PlannedResource
from terralive_terraform.substitution.other_changes import COMPUTED
from terralive_terraform.substitution.rules import GIVEN, TAKEN

# The actions of a plan that leave the function itself in its place.
_IN_PLACE: Final = ("update", "no-op")
_NAMES_CODE: Final = frozenset(
    ("filename", "s3_bucket", "s3_key", "s3_object_version", "image_uri", "source_code_hash")
)
# Compared with the version, as the stub has replaced them; `publish` is in the state only.
_COMPARED: Final = GIVEN | TAKEN | {"timeout", "publish"}
_IMAGE_CONFIG: Final[Mapping[str, str]] = {
    "command": "Command",
    "entry_point": "EntryPoint",
    "working_directory": "WorkingDirectory",
}
CODE: Final = "code"


@dataclass(frozen=True, slots=True)
class Original:
    """What a stub has replaced.

    Attributes:
        record: what the command that has put the stub in place has written down.
        version: the version with the original code and settings.
        description: the function's own description; None if its version does not tell it.
        raised: the timeouts in seconds that debugging gives the function. Another one stays.
        carried: the Base64 SHA-256 of the stub's code that the function has; "" for not known.
        is_ignored: whether Terraform ignores the function's code. Then the stub has replaced its
            code, and at most its runtime.
    """

    record: Replaced
    version: FunctionVersion
    description: str | None
    raised: frozenset[int] = frozenset()
    carried: str = ""
    is_ignored: bool = False

    def settings(self, now: Settings) -> Settings:
        """Return the settings that go back.

        Args:
            now: the settings that the function has.
        """
        if self.is_ignored:
            return replace(now, runtime=self.version.settings.runtime)
        wanted = replace(self.version.settings, description=self.description or "")
        if now.timeout not in self.raised:
            wanted = replace(wanted, timeout=0)
        return wanted


def differences(planned: PlannedResource, original: Original, sha256: str) -> tuple[str, ...]:
    """Return what a plan would bring that differs from what the stub has replaced.

    Args:
        planned: the function, in a plan without stubs.
        original: what the stub has replaced.
        sha256: the Base64 SHA-256 of the zip file that the plan would deploy; "" for not known.

    Returns:
        `code` and names of attributes; () where the plan brings exactly what was there.
    """
    if planned.action not in _IN_PLACE:
        return (planned.action,)
    names: set[str] = set()
    version = original.version
    is_same = bool(sha256) and sha256 == version.sha256
    if version.is_image:
        is_same = text(planned.after, "image_uri") == version.image
    # A state may hold the hash of code that AWS does not have: an update was interrupted after its
    # first half. Such a plan changes settings only, and the provider would publish the stub's code.
    sends_code = bool(_NAMES_CODE & planned.changed)
    if not is_same or not sends_code or _NAMES_CODE & planned.unknown:
        names.add(CODE)
    names |= _different_settings(planned, original)
    names |= planned.changed - COMPUTED - _COMPARED
    return tuple(sorted(names))


def _different_settings(planned: PlannedResource, original: Original) -> set[str]:
    after, own = planned.after, original.version.settings
    found: set[str] = set()
    for name in ("handler", "runtime", "layers", "description", "snap_start", "image_config"):
        if name in planned.unknown:
            found.add(name)
    if text(after, "handler") != own.handler:
        found.add("handler")
    if text(after, "runtime") != own.runtime:
        found.add("runtime")
    if tuple(items(after, "layers")) != own.layers:
        found.add("layers")
    if original.description not in (None, text(after, "description")):
        found.add("description")
    if _snap_start(after) != own.snap_start:
        found.add("snap_start")
    if _image_config(after) != dict(own.image_config):
        found.add("image_config")
    # Another timeout than the version's may have been agreed to while the function was live.
    if after.get("timeout") not in (own.timeout, planned.before.get("timeout")):
        found.add("timeout")
    return found


def _snap_start(after: Mapping[str, Json]) -> str:
    for block in items(after, "snap_start"):
        return text(as_object(block), "apply_on")
    return "None"


def _image_config(after: Mapping[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for block in items(after, "image_config"):
        for name, value in as_object(block).items():
            if value and name in _IMAGE_CONFIG:
                found[_IMAGE_CONFIG[name]] = value
    return found
