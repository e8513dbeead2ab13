"""`python -m terralive_sandbox`: AWS on a loopback port, until a signal or the end of its parent.

The process uses nothing of AWS from its caller's environment: these variables are removed before
anything of moto is imported.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from terralive_sandbox.about import banner
from terralive_sandbox.control.light_imports import keep_out
from terralive_sandbox.process import MODULE_MISSING
from terralive_stub.protocol.limits import CONCURRENT_EXECUTIONS
from terralive_stub.shared.debug_log import start_log

_REMOVED_VARIABLES: Final = ("AWS_", "MOTO_", "BOTO_")


def main() -> None:
    """Run a sandbox as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m terralive_sandbox", description=__doc__)
    parser.add_argument(
        "--info", dest="info_path", type=Path, required=True, help="file that gets the address"
    )
    parser.add_argument("--port", type=int, default=0, help="0 is a free one")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--time-scale", type=float, default=1.0, help="factor for waiting times")
    parser.add_argument(
        "--concurrency",
        type=int,
        default=CONCURRENT_EXECUTIONS,
        help="executions that the account may have at once",
    )
    parser.add_argument("--with-parent", action="store_true", help="stop at the end of stdin")
    options = parser.parse_args()
    for name in list(os.environ):
        if name.startswith(_REMOVED_VARIABLES):
            del os.environ[name]
    start_log(os.environ, sys.stderr)
    sys.stderr.write(f"{banner()}\n")
    keep_out()
    try:
        from terralive_sandbox.front.server import serve  # noqa: PLC0415 - moto reads the environment
    except ModuleNotFoundError as missing:
        sys.stderr.write(f"{missing}.\n")
        sys.exit(MODULE_MISSING)

    asyncio.run(serve(**vars(options)))


if __name__ == "__main__":
    main()
