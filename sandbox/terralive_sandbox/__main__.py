"""`python -m terralive_sandbox`: AWS on a loopback port, until a signal or the end of its parent.

The process takes nothing of AWS from its caller's environment; it is cleared before anything of
moto is imported.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from terralive_sandbox.about import banner
from terralive_workers.debug_log import start_log


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m terralive_sandbox", description=__doc__)
    parser.add_argument("--info", type=Path, required=True, help="where to leave the address")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, help="what waiting times are multiplied by"
    )
    parser.add_argument(
        "--concurrency", type=int, default=1000, help="executions that the account may have at once"
    )
    parser.add_argument("--with-parent", action="store_true", help="stop at the end of stdin")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_", "BOTO_"))]:
        del os.environ[name]
    start_log(os.environ, sys.stderr)
    sys.stderr.write(f"{banner()}\n")
    from terralive_sandbox.server import serve  # noqa: PLC0415 - moto reads the environment when it is imported

    asyncio.run(
        serve(
            options.info, port=options.port, region=options.region,
            with_parent=options.with_parent, time_scale=options.time_scale,
            concurrency=options.concurrency,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
