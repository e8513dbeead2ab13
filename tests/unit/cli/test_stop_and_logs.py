"""`stop` and `logs`, where the session is one of this process."""

from __future__ import annotations

import io
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from terralive_cli.commands.live import start
from terralive_cli.commands.sessions import logs, stop
from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config, OnExit, Output
from terralive_cli.output.events import Failed, LiveFunction, Message, Ready, Stopped
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_cli.sessions import folders, stopping
from terralive_cli.sessions.others import wait_until_live, warn_of_session
from terralive_cli.sessions.own import OwnSession
from terralive_cli.sessions.stopping import StopRequests
from terralive_cli.sessions.texts import SessionRunningError
from terralive_relay.events import Event, LogLine
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.output_schema import faults

REQUEST = "8f0cb0a1-7d0c-4c43-8a4e-0d7c2d5f9a11"
ORDERS = LiveFunction("shop-orders", "aws_lambda_function.orders", "python3.12", "a.b", "/orders")
LINE = LogLine(REQUEST, "shop-orders", "hello")
KEPT = Stopped("dev-ana", live=True, message="1 function keeps its stub.")


def config(
    folder: Path,
    *,
    sandbox: bool = False,
    on_exit: OnExit | None = None,
    output: Output | None = None,
) -> Config:
    return Config(
        folder,
        "shop",
        "dev-ana",
        "ana",
        TerraformConfig(folder),
        sandbox=sandbox,
        on_exit=on_exit,
        output=output,
    )


@dataclass
class Screen:
    """What a command has shown as JSON, and asked."""

    lines: io.StringIO
    questions: io.StringIO

    @property
    def events(self) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.lines.getvalue().splitlines()]
        assert faults(found) == []
        return found

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


@contextmanager
def user(answers: str = "") -> Iterator[tuple[Ui, Screen]]:
    """A user, who answers questions if there are answers."""
    screen = Screen(io.StringIO(), io.StringIO())
    with Renderer.start(Output.JSON, screen.lines) as renderer:
        yield (
            Ui(
                renderer,
                questions=screen.questions,
                answers=io.StringIO(answers),
                interactive=bool(answers),
                assume_yes=False,
            ),
            screen,
        )


class Running:
    """A session that runs: it ends when it is asked to, and shows its last events then."""

    def __init__(self, settings: Config, *last: Event) -> None:
        self._last = last
        self._project = settings.project
        self._renderer = Renderer.start(Output.PLAIN, io.StringIO(), io.StringIO())
        self.ui = Ui(
            self._renderer,
            questions=io.StringIO(),
            answers=io.StringIO(),
            interactive=False,
            assume_yes=False,
        )
        self.session = OwnSession.begin(
            settings, self.ui, None, takeover=False, interrupt=self._end
        )
        self.asked: list[OnExit | None] = []
        # Whether it ends when it is asked to.
        self.ends = True

    @property
    def asked_file(self) -> Path:
        """The file by which it is asked to end."""
        return next(self._project.glob(".terralive/sessions/*")) / "stop.json"

    def _end(self) -> None:
        self.asked.append(self.session.asked_on_exit)
        if not self.ends:
            return
        self.ui.emit(*self._last)
        # Another thread ends it: this one looks for requests.
        threading.Thread(target=self.close).start()

    def go_live(self) -> None:
        self.ui.emit(Ready("dev-ana", (ORDERS,)))
        self.session.go_live(1)

    def close(self) -> None:
        self._renderer.close()
        self.session.release()


def run_stop(settings: Config, answers: str = "") -> tuple[int, Screen]:
    with user(answers) as (ui, screen):
        code = stop.run(settings, ui)
    return code, screen


def run_logs(settings: Config, wanted: str | None = None, *, follow: bool = False) -> Screen:
    with user() as (ui, screen):
        assert (
            logs.run(replace(settings, output=Output.JSON), ui, wanted=wanted, follow=follow) == 0
        )
    return screen


def test_stop_without_a_session_says_so_and_names_the_one_elsewhere(tmp_path: Path) -> None:
    on_aws, in_sandbox = config(tmp_path), config(tmp_path, sandbox=True)
    code, screen = run_stop(on_aws)
    assert code == 0
    (said,) = screen.of_type("session")
    assert said["state"] == "none"
    assert "on AWS" in said["message"]
    running = Running(on_aws, KEPT)

    code, screen = run_stop(in_sandbox)

    assert code == 0
    assert "leave `--sandbox` out" in screen.of_type("session")[0]["message"]
    _, screen = run_stop(config(tmp_path, sandbox=True, on_exit=OnExit.RESTORE))
    assert "`terralive restore --stage dev-ana --sandbox`" in screen.events[0]["message"]
    assert running.asked == []
    assert folders.running_session(tmp_path, "dev-ana", is_sandbox=False) is not None
    running.close()


@pytest.mark.parametrize(
    ("of_stop", "of_start", "answers", "expected"),
    [
        (None, None, "", OnExit.KEEP),
        (None, OnExit.RESTORE, "", OnExit.RESTORE),
        (OnExit.KEEP, OnExit.RESTORE, "", OnExit.KEEP),
        (OnExit.RESTORE, None, "", OnExit.RESTORE),
        (None, None, "what?\nr\n", OnExit.RESTORE),
        (None, None, "k\n", OnExit.KEEP),
        (None, OnExit.RESTORE, "k\n", OnExit.RESTORE),
    ],
)
def test_stop_ends_the_session_as_it_is_set_or_answered(
    tmp_path: Path,
    of_stop: OnExit | None,
    of_start: OnExit | None,
    answers: str,
    expected: OnExit,
) -> None:
    running = Running(config(tmp_path, on_exit=of_start), LINE, KEPT)
    running.go_live()

    code, screen = run_stop(config(tmp_path, on_exit=of_stop), answers)

    assert code == 0
    assert running.asked == [expected]
    assert [event["message"] for event in screen.of_type("stopped")] == [KEPT.message]
    (ended,) = screen.of_type("session")
    assert ended["state"] == "ended"
    assert screen.of_type("log") == screen.of_type("ready") == []
    is_asked = bool(answers) and of_start is None
    assert ("Restore 1 function now" in screen.questions.getvalue()) == is_asked
    assert folders.running_session(tmp_path, "dev-ana", is_sandbox=False) is None
    assert run_stop(config(tmp_path))[0] == 0, "once more does nothing"


def test_stop_fails_where_the_restore_fails(tmp_path: Path) -> None:
    Running(config(tmp_path), Failed("restore-failed", "It did not work."), KEPT)

    code, screen = run_stop(config(tmp_path))

    assert code == 1
    assert screen.of_type("error")[0]["reference"] == "restore-failed"


def test_stop_says_where_a_session_does_not_answer(tmp_path: Path) -> None:
    running = Running(config(tmp_path))
    running.session.requests.close()
    running.session.requests.join()

    with user() as (ui, _), pytest.raises(TerraliveError) as caught:
        stop.run(config(tmp_path), ui, taken_s=0)

    assert caught.value.reference == "session-does-not-answer"
    assert "kill -CONT" in caught.value.hint
    (folder,) = (found.folder for found in folders.sessions(tmp_path, "dev-ana", is_sandbox=False))
    assert not (folder / "stop.json").exists(), "it does not end later, when nobody expects it"
    running.close()


def test_stop_says_that_a_session_was_killed_before_its_end(tmp_path: Path) -> None:
    running = Running(config(tmp_path))
    # The kernel releases the lock of a process that is killed, and nothing more is written.
    running.close = running.session.release  # type: ignore[method-assign]

    code, screen = run_stop(replace(config(tmp_path), on_exit=OnExit.RESTORE))

    assert code == 1, "a script must not take its functions for restored"
    assert "was cut off" in screen.of_type("session")[-1]["message"]


def test_ctrl_c_at_stop_leaves_the_session_to_its_end(tmp_path: Path) -> None:
    running = Running(config(tmp_path))
    requests = running.session.requests

    def press_ctrl_c() -> None:
        eventually(lambda: requests.on_exit is not None and not running.asked_file.exists(), "it")
        signal.raise_signal(signal.SIGINT)

    running.ends = False
    pressing = threading.Thread(target=press_ctrl_c)
    pressing.start()
    code, screen = run_stop(config(tmp_path))
    pressing.join(30)

    assert code == 130
    (said,) = screen.of_type("session")
    assert (said["state"], "was asked to end" in said["message"]) == ("running", True)
    running.close()


def test_a_session_is_ended_once_however_often_it_is_asked(tmp_path: Path) -> None:
    ended: list[OnExit | None] = []
    requests = StopRequests(tmp_path, lambda: ended.append(requests.on_exit))
    for wanted in (OnExit.RESTORE, OnExit.KEEP):
        stopping.ask_to_stop(tmp_path, wanted)
        eventually(lambda: stopping.is_taken(tmp_path), "the request is taken")
    eventually(lambda: ended, "the end")
    requests.close()
    requests.join()

    assert ended == [OnExit.RESTORE]


def test_a_second_start_of_the_same_user_is_refused_and_says_how_to_stop_the_first(
    tmp_path: Path,
) -> None:
    running = Running(config(tmp_path), KEPT)

    def begin(settings: Config, *, takeover: bool = False) -> None:
        with user() as (ui, _):
            OwnSession.begin(settings, ui, None, takeover=takeover).release()

    with pytest.raises(ConfigurationError) as caught:
        begin(config(tmp_path))
    assert (caught.value.reference, caught.value.exit_code) == ("session-running", 2)
    assert "terralive stop --stage dev-ana" in caught.value.hint
    # The debug stack decides about these.
    begin(config(tmp_path), takeover=True)
    begin(replace(config(tmp_path), user="ben"))
    begin(replace(config(tmp_path), stage="dev-2"))
    begin(config(tmp_path, sandbox=True))
    running.close()
    begin(config(tmp_path))


def test_until_ready_waits_for_the_session_that_runs(tmp_path: Path) -> None:
    running = Running(config(tmp_path))
    found = folders.running(tmp_path, "dev-ana", is_sandbox=False)
    assert found is not None
    with user() as (ui, screen):
        waiting = threading.Thread(target=wait_until_live, args=(found, ui))
        waiting.start()
        eventually(lambda: screen.of_type("session"), "it says that it runs")
        running.go_live()
        waiting.join(30)
    assert screen.of_type("ready")[0]["functions"][0]["name"] == "shop-orders"
    running.close()

    # Two scripts at the same moment: this one has seen no session before it began its own.
    first = Running(config(tmp_path))
    first.go_live()
    with user() as (ui, screen):
        assert start.run(config(tmp_path), ui, until_ready=True) == 0
        with pytest.raises(SessionRunningError):
            start.run(config(tmp_path), ui)
    assert screen.of_type("ready")
    first.close()

    ended = Running(config(tmp_path))
    found = folders.running(tmp_path, "dev-ana", is_sandbox=False)
    assert found is not None
    ended.close()
    with user() as (ui, _), pytest.raises(TerraliveError) as caught:
        wait_until_live(found, ui)
    assert caught.value.reference == "session-ended"


def test_a_restore_warns_of_a_session_that_goes_on(tmp_path: Path) -> None:
    running = Running(config(tmp_path))
    with user() as (ui, screen):
        warn_of_session(config(tmp_path), ui)
        warn_of_session(config(tmp_path, sandbox=True), ui)
    (warning,) = screen.of_type("warning")
    assert "`terralive stop --stage dev-ana` ends it" in warning["message"]
    running.close()


def test_logs_show_the_newest_session_whole_or_in_part(tmp_path: Path) -> None:
    (none,) = run_logs(config(tmp_path)).of_type("session")
    assert none["state"] == "none"
    first = Running(config(tmp_path))
    first.ui.emit(LINE)
    first.close()
    second = Running(config(tmp_path))
    second.go_live()
    second.ui.emit(LogLine("1234-5", "shop-orders", "bye"), KEPT)
    second.ui.flush()

    assert [event["type"] for event in run_logs(config(tmp_path)).events] == [
        *("ready", "log", "stopped")
    ]
    (none,) = run_logs(config(tmp_path, sandbox=True)).of_type("session")
    assert "One on AWS has" in none["message"]
    for wanted in ("orders", "shop-*", "1234"):
        (line,) = run_logs(config(tmp_path), wanted).events
        assert line["line"] == "bye", wanted
    (line,) = run_logs(config(tmp_path), REQUEST).events
    assert line["line"] == "hello", "of the session before"
    second.close()
    for wanted, reference in (("other", "no-such-function"), ("abcd", "no-such-invocation")):
        with pytest.raises(ConfigurationError) as caught:
            run_logs(config(tmp_path), wanted)
        assert caught.value.reference == reference


def test_logs_follow_a_session_to_its_end(tmp_path: Path) -> None:
    running = Running(config(tmp_path))
    running.go_live()
    running.ui.flush()
    with user() as (ui, screen):
        settings = config(tmp_path, output=Output.JSON)
        follow = threading.Thread(target=logs.run, args=(settings, ui), kwargs={"follow": True})
        follow.start()
        eventually(lambda: screen.of_type("ready"), "what was before")
        running.ui.emit(LINE, KEPT)
        eventually(lambda: screen.of_type("log"), "what comes")
        running.close()
        follow.join(30)
        assert not follow.is_alive()

    assert [event["type"] for event in screen.events] == ["ready", "log", "stopped"]


@pytest.mark.parametrize("ends", [True, False], ids=["ends by itself", "is killed"])
def test_logs_say_where_a_session_was_cut_off(tmp_path: Path, *, ends: bool) -> None:
    running = Running(config(tmp_path))
    running.ui.emit(Message("Nothing is changed."))
    running.ui.flush()
    running.close()
    if not ends:
        (ended,) = folders.sessions(tmp_path, "dev-ana", is_sandbox=False)
        folders.describe(ended.folder, replace(ended.session, is_over=False))

    said = run_logs(config(tmp_path)).of_type("session")

    assert [event["state"] for event in said] == ([] if ends else ["ended"])


def test_a_text_of_the_past_does_not_promise_that_ctrl_c_stops_the_session(tmp_path: Path) -> None:
    running = Running(config(tmp_path))
    running.go_live()
    running.close()
    screen = io.StringIO()
    with Renderer.start(Output.PLAIN, screen) as renderer:
        ui = Ui(
            renderer,
            questions=io.StringIO(),
            answers=io.StringIO(),
            interactive=False,
            assume_yes=False,
        )
        logs.run(config(tmp_path), ui)

    assert "These functions run on this machine" in screen.getvalue()
    assert "Ctrl-C" not in screen.getvalue()
