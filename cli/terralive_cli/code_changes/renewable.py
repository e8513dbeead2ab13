"""Decides whether a live function's version can be published anew, with the settings of now. Pure.

Lambda publishes `$LATEST` only (https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html),
and `$LATEST` is the stub while a function is live. So the function has to get its own code back for
a moment. Code and configuration change by two requests, one after the other. Between them, a zip
answers that works with both: the stub's, with a module at the function's own handler
(`handler_files`). Where such a zip is not possible, callers would get errors for some seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from terralive_cli.fallback.decision import Declared, cannot_publish
from terralive_cli.fallback.published import has_snap_start, stale_settings
from terralive_stub.shared.json_documents import Json, section, text
from terralive_terraform.handler_files import can_answer_at, can_stand_at, is_node
from terralive_terraform.substitution.rules import STUB_RUNTIMES


def former_settings(
    version: Mapping[str, Json], latest: Mapping[str, Json], timeout: int
) -> tuple[str, ...]:
    """Return the settings in which a version differs from a live function, as Lambda names them.

    Args:
        version: the configuration of the version.
        latest: that of the function, which carries a stub.
        timeout: the timeout in seconds that the function's configuration gives it. While it is
            debugged, it has another one. 0 for not known.
    """
    found = stale_settings(version, latest)
    if timeout and version.get("Timeout") != timeout:
        return (*found, "Timeout")
    return found


def cannot_renew(declared: Declared, version: Mapping[str, Json]) -> str:
    """Return why a live function's version is not published anew; "" where it can be.

    Args:
        declared: what the configuration says of the function.
        version: the configuration of the version that answers now.
    """
    obstacle = cannot_publish(declared)
    if not obstacle and text(version, "PackageType") == "Image":
        obstacle = "it is a container image"
    if not obstacle and has_snap_start(version):
        obstacle = "it has SnapStart"
    if not obstacle and section(section(version, "Environment"), "Error"):
        # They would differ again after each publication.
        obstacle = "Lambda cannot read its environment variables"
    return obstacle or _no_stub(text(version, "Runtime"), text(version, "Handler"))


def _no_stub(runtime: str, handler: str) -> str:
    """Return why no stub can stand at a function's own handler; "" where it can."""
    if is_node(runtime):
        is_possible = can_answer_at(handler)
    elif runtime in STUB_RUNTIMES:
        is_possible = can_stand_at(handler)
    else:
        return f"its runtime is {runtime}"
    if not is_possible:
        return f"no stub can stand at its handler {handler}"
    return ""
