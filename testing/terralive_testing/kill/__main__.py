"""Kill `terralive` at every point, with an app of every kind, and print a table.

    python -m terralive_testing.kill [--kinds KIND …] [--ways WAY …] [--points TEXT] [--all]

Without `--all`, each point is struck in one way with each kind; the ways take turns.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from terralive_testing.drivers.command import Command
from terralive_testing.kill import apps
from terralive_testing.kill.cases import App, Result, Way
from terralive_testing.kill.points import POINTS, Before, Point
from terralive_testing.machine.light.terraform import use_light_terraform
from terralive_testing.machine.provider_mirror import use_mirror
from terralive_testing.machine.stand_in_providers import with_stand_ins

_WIDTH: Final = 36
# Points that need an empty account come before those for which the app is deployed.
_LAST: Final = (Before.APP, Before.LIVE)


def main() -> int:
    options = _options()
    # A shell starts background jobs with SIGINT ignored, nohup ignores SIGHUP, and every child
    # inherits that. Then no Ctrl-C would reach a command.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # CDKTF programs run on this Python.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    use_mirror()
    use_light_terraform()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="terralive-kill-") as folder:
        variables = with_stand_ins(dict(os.environ), Path(folder))
        for number, kind in enumerate(options.kinds):
            wrong += _strike(kind, Path(folder) / kind, variables, options, first=number)
    print(f"{wrong} cases went wrong" if wrong else "nothing is left, and nothing has changed")
    return 1 if wrong else 0


def _strike(
    kind: str, folder: Path, variables: dict[str, str], options: argparse.Namespace, *, first: int
) -> int:
    """Strike the app of one kind at all points. Return how many cases went wrong."""
    root = folder / "app"
    apps.make(kind, root)
    wrong = 0
    with Command(["sandbox"], root, variables) as sandbox:
        access = sandbox.wait_for_type("ready")["sandbox"]
        app = App(root, access, variables, is_program=kind == "program")
        for point, way in _cases(options, first):
            result = app.strike(point, way)
            print(_line(kind, point, way, result), flush=True)
            if result.wrong:
                wrong += 1
                print("\n".join(result.wrong), flush=True)
                for text in app.clear():
                    print(text, flush=True)
    return wrong


def _cases(options: argparse.Namespace, first: int) -> Iterator[tuple[Point, Way]]:
    ways = itertools.cycle(options.ways)
    for _ in range(first):
        next(ways)
    for point in sorted(POINTS, key=lambda point: point.before in _LAST):
        if not re.search(options.points, point.name):
            continue
        if options.all:
            for way in options.ways:
                yield point, way
        else:
            yield point, next(ways)


def _line(kind: str, point: Point, way: Way, result: Result) -> str:
    end = "as before"
    if point.removes_app:
        end = "nothing left"
    if result.imported:
        end += f", {result.imported} imported"
    if result.deleted:
        end += f", {result.deleted} deleted by hand"
    if result.wrong:
        end = f"WRONG: {len(result.wrong)}"
    command = " ".join(point.words)
    return (
        f"{kind:8} {command:13} {point.name:{_WIDTH}} {way.value:10} {result.seconds:6.1f} s  {end}"
    )


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m terralive_testing.kill", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=list(apps.KINDS), default=list(apps.KINDS))
    parser.add_argument(
        "--ways", nargs="+", type=Way, choices=list(Way), default=[Way.KILL, Way.CTRL_C]
    )
    parser.add_argument("--points", default="", help="a pattern of the names of points")
    parser.add_argument("--all", action="store_true", help="each point in each way")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
