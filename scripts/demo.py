"""`make demo`: the main job, step by step.

Everything is real except the account, which is a sandbox. The demo works on a copy of
`examples/sns_demo` and uses the command line as a user does. It leaves nothing behind. The last
line is `demo: ok` and the exit code 0, or it says what went wrong.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import httpx

from terralive_testing.drivers.command import Command, Event
from terralive_testing.drivers.project import EXAMPLE, Live, Project

STAGE: Final = "demo"
BEFORE: Final = "Hello World"
AFTER: Final = "Hello from an edit"
LIVE_SECONDS: Final = 180.0  # the debug stack and the app are deployed meanwhile


class DemoError(Exception):
    """A step of the demo did not go as planned. The message says which one."""


def main() -> int:
    """Run the demo and return its exit code."""
    # A script that runs the demo in the background has SIGINT ignored, and the Ctrl-C of the last
    # step would be ignored, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The app is a CDKTF program, and its packages are in this environment, as if it were active.
    os.environ["VIRTUAL_ENV"] = sys.prefix
    say("terralive demo: deployed functions run on this machine, and an edit is live at once.")
    folder = Path(tempfile.mkdtemp(prefix="terralive-demo-"))
    try:
        root = folder / EXAMPLE.name
        unwanted = shutil.ignore_patterns(".terralive", "__pycache__", "cdktf.out")
        shutil.copytree(EXAMPLE, root, ignore=unwanted)
        run_steps(Project(root))
    except (DemoError, AssertionError) as error:
        say(f"\nThe demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted. Everything that the demo started has been stopped.")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say("\ndemo: ok")
    return 0


def run_steps(project: Project) -> None:
    """Run all steps: sandbox, start, request, edit, Ctrl-C, destroy."""
    say(f"It works on a copy of examples/sns_demo, in {project.root}.")
    step(1, "AWS in one local process")
    with terralive(project, "sandbox") as sandbox:
        project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
        detail(f"the sandbox answers at {project.sandbox['endpoint']}; no account, no network")

        step(2, "Terraform deploys the debug stack, and the app with stubs")
        progress = ProgressLine()
        with terralive(project, "start", "--sandbox", "--yes") as start:
            start.on_event = progress.show
            ready = start.wait_for_type("ready", LIVE_SECONDS)
            start.on_event = None
            use_live_functions(Live(project, start, ready))

        with terralive(project, "destroy", "--app", "--sandbox", "--yes") as destroy:
            destroy.on_event = progress.show
            code = destroy.finish(LIVE_SECONDS)
            if code != 0:
                raise DemoError(f"`terralive destroy` ended with {code}\n{destroy.story()}")
        require_nothing_left(project)


def use_live_functions(live: Live) -> None:
    """Send a request, edit the handler, send another request, and stop."""
    detail(f"live on this machine: {live.name_of('api')}, {live.name_of('sns')}")

    step(3, "A real request runs the local handlers")
    get(live, BEFORE)
    show_invocation(live, "api", "the local api handler answered, and published to SNS")
    show_invocation(live, "sns", "SNS invoked the other function: the local sns handler ran")

    step(4, "The api handler is edited on disk")
    hash_before = code_hash(live)
    source = live.project.read_handler("api")
    live.edit("api", source.replace(BEFORE, AFTER))
    detail(f'functions/api/app.py: "{BEFORE}" -> "{AFTER}"')
    get(live, AFTER)
    if code_hash(live) != hash_before:
        raise DemoError("the deployed code of the function has changed, which must not happen")
    detail("nothing was deployed: the function's code in AWS has the same hash as before")

    step(5, "Ctrl-C, and everything is removed")
    live.command.interrupt()
    live.command.finish()
    detail("the relay has stopped; its workers are gone")


def terralive(project: Project, *words: str) -> Command:
    """Start a `terralive` command in the project's folder."""
    return Command(["--project", str(project.root), "--stage", STAGE, *words], project.root)


def get(live: Live, expected: str) -> None:
    """Send a GET request to the app, and require this answer."""
    detail(f"GET {live.url}")
    answer = live.get()
    detail(f"  -> {answer.status_code} {answer.text}")
    if (answer.status_code, answer.text) != (httpx.codes.OK, expected):
        raise DemoError(f"the expected answer is 200 {expected}")


def show_invocation(live: Live, function: str, meaning: str) -> None:
    """Show one invocation of a function: its meaning, its time and a line that it printed."""
    begun = live.eventually("invocation", function=live.name_of(function))
    request_id = begun["request_id"]
    ended = live.eventually("result", request_id=request_id)
    if not ended["ok"]:
        raise DemoError(f"{function} failed: {ended['error_type']} {ended['error_message']}")
    detail(f"{meaning} ({ended['handler_ms']:.1f} ms)")
    detail(f"  it printed: {live.eventually('log', request_id=request_id)['line']}")


def code_hash(live: Live) -> str:
    """Return the hash of the api function's deployed code."""
    configuration = live.project.client("lambda").get_function_configuration(
        FunctionName=live.name_of("api")
    )
    return str(configuration["CodeSha256"])


def require_nothing_left(project: Project) -> None:
    """Require that the account is empty."""
    left: dict[str, list[Any]] = {
        "functions": project.client("lambda").list_functions()["Functions"],
        "APIs": project.client("apigatewayv2").get_apis()["Items"],
        "tables": project.client("dynamodb").list_tables()["TableNames"],
        "topics": project.client("sns").list_topics()["Topics"],
        "roles": project.client("iam").list_roles()["Roles"],
        "buckets": project.client("s3").list_buckets()["Buckets"],
    }
    counts = ", ".join(f"{len(found)} {kind}" for kind, found in left.items())
    detail(f"left in the account: {counts}")
    if any(left.values()):
        raise DemoError(f"something is left: {left}")


class ProgressLine:
    """Shows Terraform's progress: a dot for each action, and a line for each finished phase.

    Both phases are planned before the first one is applied, so the name of a phase is at its end.
    """

    def show(self, event: Event) -> None:
        """Show a `stack` event; ignore all others."""
        if event["type"] != "stack":
            return
        if event["action"] in {"complete", "unchanged"}:
            sys.stdout.write(f"\r   {event['phase'].replace('-', ' ')}: {event['message']}\n")
        elif event["state"] == "done":
            sys.stdout.write(".")
        sys.stdout.flush()


def step(number: int, title: str) -> None:
    say(f"\n{number}  {title}")


def detail(line: str) -> None:
    say(f"   {line}")


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
