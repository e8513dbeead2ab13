"""Run a soak: sandbox, relay, callers, faults and kills. Then compare the ledgers and print it.

The app is deployed before the relay starts. So its deployed code answers while no relay is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from terralive_cli.joining.concurrency import BROKER_CONCURRENCY
from terralive_cli.output.failures import INTERRUPTED
from terralive_sandbox.process import SandboxProcess
from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.terraform_account import by_hand, plan
from terralive_testing.machine.processes import descendants, running
from terralive_testing.soak import project
from terralive_testing.soak.chaos import Chaos
from terralive_testing.soak.judge import judge
from terralive_testing.soak.ledger import Call, runs
from terralive_testing.soak.load import Callers, collect
from terralive_testing.soak.relays import Relays
from terralive_testing.soak.report import Figures, lines

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

# The share of the run in which relays are killed. The last relay serves the rest, so that its
# memory can be watched.
_LIVES_UNTIL = 0.6
_INVOCATIONS_A_LIFE = 1200
# The longest waits of Lambda before it retries a throttled and then a failed event.
_RETRY_SECONDS = 300 + 60
_PATIENCE_SECONDS = 60.0
_SAY_SECONDS = 20.0
_CLOSING_SECONDS = 1.0
# Concurrent runs of the broker: what terralive reserves for it, where an account has enough. Each
# needs 50 MB, and a processor to start.
_BROKERS = BROKER_CONCURRENCY
# A stub and the deployed code that it invokes.
_EXECUTIONS_A_CALL = 2
# Execution environments in the sandbox have a `/tmp` of their own, so the ledger of handlers is
# elsewhere.
_FOLDERS = Path("/var/tmp")  # noqa: S108  # `tempfile` makes a private folder in it


def main() -> int:
    options = _options()
    # A shell starts background jobs with SIGINT ignored, and every child inherits that. Then no
    # Ctrl-C would reach a relay.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f"soak with seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="terralive-soak-", dir=_FOLDERS) as folder:
        figures = soak(options.keep or Path(folder), options)
    for line in lines(figures):
        print(line)
    if figures.violations or figures.left:
        return 1
    return 0


def soak(folder: Path, options: argparse.Namespace) -> Figures:
    """Run a soak in an empty folder. The ledgers stay there: calls, handlers and relays."""
    root, ledger = folder / "app", folder / "handlers.jsonl"
    project.make(root, ledger, options.functions, options.streams)
    work = root / ".terralive"
    sandbox = SandboxProcess.start(
        work / "sandbox.json",
        log_path=work / "sandbox.log",
        time_scale=options.time_scale,
        concurrency=options.concurrency * _EXECUTIONS_A_CALL + _BROKERS,
    )
    try:
        _deploy(sandbox, root, folder)
        relays = Relays(root)
        told = str(relays.start()["outputs"]["told"])
        seconds, calls, faults = _load(sandbox, relays, told, options)
        samples = list(relays.samples)
        left = _close(sandbox, relays)
    finally:
        sandbox.stop()
    _keep(folder, calls, relays)
    written = runs(ledger.read_text("utf-8").splitlines())
    system = f"{platform.system()}, Python {platform.python_version()}"
    return Figures(
        seed=options.seed,
        machine=f"{os.cpu_count()} processors, {system}",
        functions=options.functions,
        concurrency=options.concurrency,
        seconds=seconds,
        calls=calls,
        runs=written,
        start_seconds=relays.start_seconds,
        faults=faults,
        samples=samples,
        left=left,
        violations=judge(calls, written, relays.lives),
    )


def _deploy(sandbox: SandboxProcess, root: Path, folder: Path) -> None:
    """Deploy the app with its own code, as a team does before anybody makes it live."""
    terraform = by_hand(root, sandbox.info, folder)
    terraform.apply(plan(terraform, folder).file)


def _load(
    sandbox: SandboxProcess, relays: Relays, told: str, options: argparse.Namespace
) -> tuple[float, list[Call], dict[str, int]]:
    """Call, cause faults and kill relays. Return the seconds, the calls, and the faults."""
    info = sandbox.info
    session = boto3.Session(info.access_key_id, info.secret_access_key, region_name=info.region)
    config = Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=options.concurrency,
        read_timeout=_PATIENCE_SECONDS,
    )
    functions = session.client("lambda", endpoint_url=info.endpoint, config=config)
    queue = session.client("sqs", endpoint_url=info.endpoint, config=config)
    names = [item["FunctionName"] for item in functions.list_functions()["Functions"]]
    (broker,) = (name for name in names if not name.startswith(project.PREFIX))
    _warm(functions, broker, _BROKERS)
    began = time.monotonic()
    callers = Callers(
        functions,
        seed=options.seed,
        wanted=options.invocations,
        functions=options.functions,
        streams=options.streams,
        concurrency=options.concurrency,
        until=began + options.minutes_limit * 60,
    )
    callers.start()
    for _ in range(options.concurrency):
        callers.begun.acquire()
    print(
        f"  {time.monotonic() - began:4.0f} s  every caller has called once; faults begin",
        flush=True,
    )
    chaos = Chaos(Faults(info), seed=options.seed, broker=broker, functions=f"{project.PREFIX}*")
    chaos.start()
    _kill_relays(sandbox, callers, relays, options, began)
    seconds = time.monotonic() - began
    chaos.stop()
    calls = callers.calls + collect(
        queue, told, callers.accepted, _RETRY_SECONDS * options.time_scale + _PATIENCE_SECONDS
    )
    return (
        seconds,
        calls,
        {**chaos.done, **{f"{name} acts": count for name, count in chaos.acted.items()}},
    )


def _kill_relays(
    sandbox: SandboxProcess,
    callers: Callers,
    relays: Relays,
    options: argparse.Namespace,
    began: float,
) -> None:
    """Kill relays while callers call, at even distances, until the callers have ended.

    The next relay comes after a random time.
    """
    random = Random(f"{options.seed}-absences")
    wanted = options.invocations
    # When the next relay starts, on the monotonic clock; None while there is one.
    back_at: float | None = None
    kills = max(1, round(wanted * _LIVES_UNTIL / _INVOCATIONS_A_LIFE))
    at = [wanted * _LIVES_UNTIL * (number + 1) / kills for number in range(kills)]
    say = began
    while callers.running():
        if not sandbox.is_running():
            raise SystemExit("the sandbox has ended by itself")
        if back_at is None and at and callers.counted >= at[0]:
            at.pop(0)
            relays.kill()
            back_at = time.monotonic() + random.uniform(0, options.longest_absence)
        if back_at is not None and time.monotonic() >= back_at:
            relays.start()
            back_at = None
        if time.monotonic() >= say:
            say = time.monotonic() + _SAY_SECONDS
            print(
                f"  {time.monotonic() - began:4.0f} s  {callers.counted:,} of {wanted:,}",
                flush=True,
            )
        time.sleep(0.1)
    if back_at is not None:
        relays.start()


def _close(sandbox: SandboxProcess, relays: Relays) -> list[str]:
    """End everything and return a list of what is left."""
    code = relays.close()
    left = list(relays.left)
    if code != INTERRUPTED:
        left.append(f"relay's exit code {code}")
    # The gateway sees the end of a connection a moment after the relay's.
    time.sleep(_CLOSING_SECONDS)
    still_open = Faults(sandbox.info).drop_connections(stage="relay")
    if still_open:
        left.append(f"{still_open} connections of relays at the gateway")
    below = descendants(sandbox.info.pid)
    sandbox.stop()
    still = running([sandbox.info.pid, *below])
    if still:
        left.append(f"{len(still)} processes of the sandbox")
    return left


def _warm(client: LambdaClient, broker: str, times: int) -> None:
    """Start so many execution environments of the broker.

    AWS starts them in parallel. On two processors it would take half a minute when all stubs
    reconnect after the first drop, and the soak would measure only that.
    """
    message = {
        "requestContext": {"connectionId": "soak", "stage": "stub", "eventType": "MESSAGE"},
        "body": "{}",
    }
    with ThreadPoolExecutor(times) as pool:
        list(
            pool.map(
                lambda _: client.invoke(FunctionName=broker, Payload=json.dumps(message)),
                range(times),
            )
        )


def _keep(folder: Path, calls: Sequence[Call], relays: Relays) -> None:
    with (folder / "calls.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(call)) + "\n" for call in calls)
    with (folder / "relays.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"relay": relay, **event}) + "\n" for relay, event in relays.events
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m terralive_testing.soak", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**6), help="repeats events and faults"
    )
    parser.add_argument(
        "--invocations", type=int, default=10_300, help="some accepted events then find no relay"
    )
    parser.add_argument("--functions", type=int, default=20)
    parser.add_argument("--streams", type=int, default=4, help="functions that stream, too")
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--minutes-limit", type=float, default=30)
    parser.add_argument(
        "--time-scale", type=float, default=1.0, help="of Lambda's waits and API Gateway's limits"
    )
    parser.add_argument(
        "--longest-absence", type=float, default=60.0, help="of a relay after a kill, in seconds"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        help="an empty folder for the ledgers, not in /tmp; without it nothing is kept",
    )
    options = parser.parse_args()
    hidden = Path("/tmp")  # noqa: S108  # nothing is written there
    if options.keep is not None and options.keep.resolve().is_relative_to(hidden):
        parser.error("--keep: deployed functions have a /tmp of their own; choose another folder")
    return options


if __name__ == "__main__":
    sys.exit(main())
