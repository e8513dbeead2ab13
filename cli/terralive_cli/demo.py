"""`make demo`: the main job, told as a story. Everything in it is real but the account, which is a sandbox.

It works on a copy of `examples/sns_demo`, drives the command line as a user does (every step is a
`terralive` command in a process of its own), and leaves nothing behind. It ends with `demo: ok` and
exit code 0, or says what went wrong.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_terraform.documents import Json, items, number, parse_object, section, text

if TYPE_CHECKING:
    import boto3

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "sns_demo"
STAGE: Final = "demo"
_BEFORE, _AFTER = "Hello World", "Hello from an edit"
_WAIT_SECONDS: Final = 180.0
_END_SECONDS: Final = 30.0
_TRIES: Final = 20
_OK: Final = 200

Event = Mapping[str, Json]


class DemoError(Exception):
    """A step did not go as told; the message says which."""


def main() -> int:
    """Tell the story; gives the exit code."""
    if not EXAMPLE.is_dir():
        say("The demo lives in terralive's repository: clone it and run `make demo` there.")
        return 1
    # Where a script runs this in the background, SIGINT is ignored, and the Ctrl-C of the last
    # chapter would be too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    say("terralive demo: your deployed functions run on this machine, and an edit is live at once.")
    folder = Path(tempfile.mkdtemp(prefix="terralive-demo-"))
    try:
        project = folder / EXAMPLE.name
        shutil.copytree(
            EXAMPLE,
            project,
            ignore=shutil.ignore_patterns(".terralive", "__pycache__", "cdktf.out"),
        )
        _story(project)
    except DemoError as error:
        say(f"\nThe demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; everything the demo started has been stopped.")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say("\ndemo: ok")
    return 0


def _story(project: Path) -> None:
    say(f"It works on a copy of examples/sns_demo, in {project}.")
    chapter("1", "AWS in one local process")
    with _running(project, "sandbox") as sandbox:
        access = section(sandbox.wait("ready"), "sandbox")
        detail(f"the sandbox answers at {text(access, 'endpoint')}; no account, no network")
        chapter(
            "2", "Terraform deploys the debug stack and the app, with stubs in its functions' place"
        )
        with _running(project, "start", "--sandbox", "--yes") as relay:
            _live(project, relay, access)
        _put_back(project, access)


def _live(project: Path, relay: _Command, access: Event) -> None:
    relay.tell_progress = True
    ready = relay.wait("ready")
    relay.tell_progress = False
    names = {
        Path(text(item, "path")).name: text(item, "name") for item in _objects(ready, "functions")
    }
    detail(f"live on this machine: {', '.join(names.values())}")
    url = text(section(ready, "urls"), "ApiEndpoint")

    chapter("3", "A real request runs the local handlers")
    _get(url, _BEFORE)
    _tell_invocation(relay, names["api"], "the local api handler answered, and published to SNS")
    _tell_invocation(
        relay, names["sns"], "SNS invoked the other function: the local sns handler ran"
    )

    chapter("4", "The api handler is edited on disk")
    deployed = _code_hash(access, names["api"])
    handler = project / "functions" / "api" / "app.py"
    handler.write_text(handler.read_text("utf-8").replace(_BEFORE, _AFTER), "utf-8")
    detail(f'functions/api/app.py: "{_BEFORE}" -> "{_AFTER}"')
    relay.wait("reload")
    _get(url, _AFTER)
    if _code_hash(access, names["api"]) != deployed:
        raise DemoError("the function's deployed code has changed, which it must not")
    detail("nothing was deployed: the function's code in AWS has the same hash as before")

    chapter("5", "Ctrl-C, and everything is put back")
    relay.interrupt()
    detail("the relay has stopped; its workers are gone")


def _put_back(project: Path, access: Event) -> None:
    with _running(project, "destroy", "--sandbox", "--yes") as destroy:
        destroy.tell_progress = True
        code = destroy.ended()
        if code != 0:
            raise DemoError(destroy.why(f"`terralive destroy` ended with {code}"))
    left = _left(access)
    detail(
        f"left in the account: {', '.join(f'{len(found)} {kind}' for kind, found in left.items())}"
    )
    if any(left.values()):
        raise DemoError(f"something is left: {left}")


@dataclass
class _Command:
    """One `terralive … --output json` in a process of its own."""

    process: subprocess.Popen[str]
    words: str
    tell_progress: bool = False
    _events: list[Event] = field(default_factory=list)
    _looked_at: int = 0
    _news: threading.Condition = field(
        default_factory=threading.Condition
    )  # guards the two above and _over
    _over: bool = False
    _dots: int = 0

    def read(self) -> None:
        """Collect its events; runs in a thread of its own until the process closes its output."""
        for line in self.process.stdout or ():
            event = parse_object(line)
            if self.tell_progress:
                self._tell(event)
            with self._news:
                self._events.append(event)
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def wait(self, kind: str, wanted: Callable[[Event], bool] = lambda _: True) -> Event:
        """Give the next event of a kind."""
        until = time.monotonic() + _WAIT_SECONDS
        with self._news:
            while True:
                while self._looked_at < len(self._events):
                    event = self._events[self._looked_at]
                    self._looked_at += 1
                    if event.get("type") == kind and wanted(event):
                        return event
                if self._over or not self._news.wait(until - time.monotonic()):
                    break
        raise DemoError(self.why(f"no `{kind}` came from `{self.words}`"))

    def find(self, kind: str, **values: str) -> Event:
        """Give an event of a kind with these values, whether it has come or is still to come."""
        until = time.monotonic() + _END_SECONDS
        with self._news:
            while True:
                for event in self._events:
                    if event.get("type") == kind and all(
                        event.get(key) == value for key, value in values.items()
                    ):
                        return event
                if self._over or not self._news.wait(until - time.monotonic()):
                    break
        raise DemoError(self.why(f"no `{kind}` with {values} came from `{self.words}`"))

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.ended()

    def ended(self) -> int:
        try:
            return self.process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(f"`{self.words}` did not end") from None

    def why(self, what: str) -> str:
        """Add what the command itself said went wrong."""
        with self._news:
            errors = [event for event in self._events if event.get("type") == "error"]
        said = "".join(f"\n{text(error, 'message')}\n{text(error, 'hint')}" for error in errors)
        return f"{what}{said}"

    def _tell(self, event: Event) -> None:
        if event.get("type") != "stack":
            return
        action, state, phase = text(event, "action"), text(event, "state"), text(event, "phase")
        if action == "synth" and state == "started":
            sys.stdout.write(f"   {phase.replace('-', ' ')} ")
        elif action in {"complete", "unchanged"}:
            elapsed = event.get("elapsed_s")
            took = f" ({elapsed:.0f} s)" if isinstance(elapsed, float) else ""
            sys.stdout.write(f" {text(event, 'message')}{took}\n")
        elif state == "done":
            sys.stdout.write(".")
        sys.stdout.flush()


@contextmanager
def _running(project: Path, *words: str) -> Iterator[_Command]:
    typed = ["--project", str(project), "--stage", STAGE, "--output", "json", *words]
    process = subprocess.Popen(
        [sys.executable, "-m", "terralive_cli", *typed],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TERRALIVE_USER": os.environ.get("TERRALIVE_USER", "demo")},
    )
    command = _Command(process, " ".join(["terralive", *words]))
    reader = threading.Thread(target=command.read, daemon=True)
    reader.start()
    try:
        yield command
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join(_END_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


def _get(url: str, expected: str) -> None:
    detail(f"GET {url}")
    answer, status = _fetch(url)
    detail(f"  -> {status} {answer}")
    if (status, answer) != (_OK, expected):
        raise DemoError(f"expected 200 {expected}")


def _fetch(url: str) -> tuple[str, int]:
    try:
        with urllib.request.urlopen(url, timeout=_END_SECONDS) as answer:  # noqa: S310  # the sandbox's own address
            return answer.read().decode(), answer.status
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace"), error.code


def _tell_invocation(relay: _Command, function: str, meaning: str) -> None:
    begun = relay.find("invocation", function=function)
    request_id = text(begun, "request_id")
    ended = relay.find("result", request_id=request_id)
    if ended.get("ok") is not True:
        raise DemoError(
            f"{function} failed: {text(ended, 'error_type')} {text(ended, 'error_message')}"
        )
    detail(f"{meaning} ({number(ended, 'handler_ms'):.1f} ms)")
    detail(f"  it printed: {text(relay.find('log', request_id=request_id), 'line')}")


def _objects(event: Event, name: str) -> list[Event]:
    return [item for item in items(event, name) if isinstance(item, dict)]


def _session(access: Event) -> boto3.Session:
    import boto3  # noqa: PLC0415  # heavy, and the story begins without it

    return boto3.Session(
        aws_access_key_id=text(access, "access_key_id"),
        aws_secret_access_key=text(access, "secret_access_key"),
        region_name=text(access, "region"),
    )


def _code_hash(access: Event, function: str) -> str:
    client = _session(access).client("lambda", endpoint_url=text(access, "endpoint"))
    return str(client.get_function_configuration(FunctionName=function)["CodeSha256"])


def _left(access: Event) -> dict[str, list[str]]:
    """Ask the sandbox what exists in it."""
    session, endpoint = _session(access), text(access, "endpoint")
    functions = session.client("lambda", endpoint_url=endpoint).list_functions()["Functions"]
    apis = session.client("apigatewayv2", endpoint_url=endpoint).get_apis()["Items"]
    roles = session.client("iam", endpoint_url=endpoint).list_roles()["Roles"]
    topics = session.client("sns", endpoint_url=endpoint).list_topics()["Topics"]
    return {
        "functions": [item["FunctionName"] for item in functions],
        "APIs": [item["Name"] for item in apis],
        "tables": session.client("dynamodb", endpoint_url=endpoint).list_tables()["TableNames"],
        "topics": [item["TopicArn"] for item in topics],
        "roles": [item["RoleName"] for item in roles],
    }


def chapter(number: str, title: str) -> None:
    say(f"\n{number}  {title}")


def detail(line: str) -> None:
    say(f"   {line}")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # this program's output is its purpose


if __name__ == "__main__":
    sys.exit(main())
