"""The stub of a live function is replaced: while `terralive start` runs, and between two starts.

The tests run in order, on one stage.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator

import pytest

from terralive_terraform.artifacts import write_zip
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import SECOND, SECOND_SETTINGS, left, plain_project, start
from terralive_testing.drivers.project import Project
from terralive_testing.drivers.terminal import Terminal
from terralive_testing.machine.processes import descendants, running
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.screen import Screen

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The app, whose functions are looked at every second."""
    made = plain_project(tmp_path_factory.mktemp("replaced") / "plain")
    settings = made.root / "terralive.toml"
    text = settings.read_text("utf-8")
    settings.write_text(f"stub_check_seconds = 1\n{text}{SECOND_SETTINGS}", "utf-8")
    with Command(["sandbox"], made.root) as command:
        made.sandbox = command.wait_for_type("ready")["sandbox"]
        yield made


def invoke(project: Project, name: str = "plain-greet") -> object:
    answer = project.client("lambda").invoke(FunctionName=name)
    return json.loads(answer["Payload"].read())


def test_a_pipelines_apply_is_named_and_so_is_the_return_of_the_stub(project: Project) -> None:
    (project.root / "functions" / "greet" / "app.py").write_text(
        'def handler(event, context):\n    return "local"\n', "utf-8"
    )
    client = project.client("lambda")
    with start(project, "--on-exit", "restore") as live:
        live.wait_for_type("ready", timeout_s=300)
        assert invoke(project) == "local"
        stub = client.get_function(FunctionName="plain-greet")["Configuration"]

        # What a pipeline does, with the code that it has built.
        restored = run(["restore", "--sandbox", "--yes"], project.root, timeout_s=300)
        assert restored.process.returncode == 0, restored.story()
        warning = live.wait_for(
            lambda event: event.get("reference") == "stub-replaced", "the warning"
        )
        assert warning["function"] == "plain-greet"
        assert "a pipeline or a colleague" in warning["message"]
        assert invoke(project) == "deployed"
        own = client.get_function(FunctionName="plain-greet")["Configuration"]

        again = run(["apply", "--sandbox", "--yes"], project.root, timeout_s=300)
        assert again.process.returncode == 0, again.story()
        back = live.wait_for(lambda event: event.get("reference") == "stub-back", "the warning")
        assert back["function"] == "plain-greet"
        now = client.get_function(FunctionName="plain-greet")["Configuration"]
        assert now["CodeSha256"] == stub["CodeSha256"]
        eventually(lambda: invoke(project) == "local", "the local answer")
        said = [event["reference"] for event in live.of_type("warning")]
        assert said.count("stub-replaced") == said.count("stub-back") == 1

        # A build that nobody has deployed.
        built = project.root / "greet.zip"
        deployed = built.read_bytes()
        write_zip({"app.py": b"nobody deploys this"}, built)
        # As a runner of CI ends it.
        live.process.terminate()
        assert live.finish(300) == 130, live.story()
        built.write_bytes(deployed)

    (stopped,) = live.of_type("stopped")
    assert not stopped["live"], live.story()
    assert invoke(project) == "deployed"
    now = client.get_function(FunctionName="plain-greet")["Configuration"]
    for name in ("CodeSha256", "Handler", "Runtime", "Description", "Timeout"):
        assert now[name] == own[name], name
    nothing = run(["restore", "--sandbox", "--yes"], project.root, timeout_s=300)
    assert "Nothing to restore" in nothing.of_type("note")[-1]["message"], nothing.story()


def phases(command: Command) -> set[str]:
    """Return the steps of Terraform that a start has run."""
    actions = {event["action"] for event in command.of_type("stack")}
    return actions & {"init", "synth", "evaluate", "plan", "apply"}


def reason(command: Command) -> str:
    """Return why a start plans, and end it while Terraform runs."""
    note = command.wait_for(
        lambda event: str(event.get("message", "")).startswith("planned again: "), "the reason"
    )
    command.wait_for(lambda event: event.get("action") == "evaluate", "Terraform")
    command.interrupt()
    command.finish()
    return str(note["message"]).removeprefix("planned again: ")


def test_an_unchanged_start_runs_no_terraform_and_shows_what_another_one_shows(
    project: Project,
) -> None:
    with start(project, "--refresh") as planned:
        ready = planned.wait_for_type("ready", timeout_s=300)
        assert "plan" in phases(planned)
    with start(project) as again:
        shown = again.wait_for_type("ready")
        assert shown | {"at": ready["at"]} == ready
        assert phases(again) == set()
        assert invoke(project) == "local"
        finished = [event["action"] for event in again.of_type("stack")]
        assert finished == ["unchanged"]

    # The code of a live function is no input of a plan.
    handler = project.root / "functions" / "greet" / "app.py"
    handler.write_text('def handler(event, context):\n    return "edited"\n', "utf-8")
    with Terminal.opened() as terminal:
        words = ["start", "--sandbox"]
        with Command(words, project.root, terminal=terminal.theirs) as edited:
            edited.wait_for_type("ready")
            assert phases(edited) == set()
            assert invoke(project) == "edited"
            _changes_while_live(project, edited, terminal)
            edited.process.terminate()
            edited.finish()
        assert terminal.takes_lines()


def _changes_while_live(project: Project, session: Command, terminal: Terminal) -> None:
    """Add a function while another one is live, whose memory changes, and remove it again."""
    main = project.root / "main.tf"
    text = main.read_text("utf-8")
    before = _version(project)

    main.write_text(text.replace("timeout ", "memory_size = 256\n  timeout ") + SECOND, "utf-8")
    live = _applied(project, session, terminal)
    # The version that answers where nobody is connected has the memory of now.
    assert _version(project) == {**before, "MemorySize": 256}
    assert live == {"plain-greet", "plain-second"}
    assert (invoke(project), invoke(project, "plain-second")) == ("edited", "edited")

    main.write_text(text, "utf-8")
    live = _applied(project, session, terminal)
    assert live == {"plain-greet"}
    assert invoke(project) == "edited"
    # Neither an init nor a plan of the debug stack was needed.
    steps = session.of_type("stack")
    assert {step["phase"] for step in steps if step["action"] == "plan"} == {"app"}
    assert not any("terraform init" in step["message"] for step in steps)
    assert "plain-second" not in left(project)["functions"]


def _version(project: Project) -> dict[str, object]:
    """Return the only published version of the function."""
    client = project.client("lambda")
    versions = client.list_versions_by_function(FunctionName="plain-greet")["Versions"]
    (found,) = [item for item in versions if item["Version"] != "$LATEST"]
    return {name: found[name] for name in ("MemorySize", "CodeSha256", "Handler")}


def _applied(project: Project, session: Command, terminal: Terminal) -> set[str]:
    """Apply what was saved, by the key. Return the functions that are live then."""
    saved = session.wait_for_type("configuration-changed")
    assert (saved["files"], saved["key"]) == (["main.tf"], "a")
    eventually(lambda: not terminal.takes_lines(), "single keys")
    # The second key comes while Terraform plans, and is no answer.
    terminal.type("a\n")
    for _ in range(2):
        terminal.wait_for("[y/N]")
        assert invoke(project) == "edited"
        terminal.type("y\n")
    ready = session.wait_for_type("ready")
    return {item["name"] for item in ready["functions"]}


def test_the_first_ctrl_c_in_a_terminal_asks_and_serves_meanwhile(project: Project) -> None:
    words = ["start", "--sandbox", "--output", "plain"]
    with (
        Terminal.opened() as terminal,
        Command(words, project.root, terminal=terminal.theirs) as asked,
    ):
        eventually(lambda: "Press Ctrl-C to stop" in " ".join(asked.noise), "the start", seconds=90)
        asked.interrupt()
        terminal.wait_for("Restore 1 function now")
        assert invoke(project) == "edited"
        terminal.type("k\n")
        assert asked.finish() == 130, asked.story()
        assert "1 function of stage dev-ana keeps its stub" in " ".join(asked.noise)


# Reads its standard input, as `input()` and a debugger in the handler do.
READS_STDIN = """
import os, sys

def handler(event, context):
    print("the words", event["words"])
    return [os.getpid(), sys.stdin.read()]
"""


def called(project: Project, words: str) -> object:
    payload = json.dumps({"words": words})
    answer = project.client("lambda").invoke(FunctionName="plain-greet", Payload=payload)
    return json.loads(answer["Payload"].read())


def test_the_live_view_shows_counts_and_obeys_keys_until_ctrl_c_twice(project: Project) -> None:
    handler = project.root / "functions" / "greet" / "app.py"
    before = handler.read_text("utf-8")
    handler.write_text(READS_STDIN, "utf-8")
    command = shlex.join([sys.executable, "-m", "terralive_cli", "start", "--sandbox"])
    with Terminal.opened() as terminal, terminal.shell(project.root):
        screen = Screen(terminal)
        # How many of two modes of the terminal are not the usual ones.
        modes = "$(stty -a | grep -c -e -icanon -e '-echo ')"
        # A terminal of a person, also where the tests run in CI.
        terminal.type(
            f"env -u COLUMNS CI= TERM=xterm {command}; echo ended with $?, other modes {modes}\n"
        )
        screen.wait_for("Connected  0 running  0 answered")
        screen.wait_for("q leave  ? keys")
        eventually(lambda: not terminal.takes_lines(), "single keys")
        # A key is not an input of the handler, and the handler takes none.
        terminal.type("x")
        first = called(project, "one")
        assert isinstance(first, list)
        assert first[1] == ""
        screen.wait_for("1 answered")

        terminal.type("ftwo\r")
        screen.wait_for("filter: two")
        called(project, "one")
        called(project, "two")
        screen.wait_for("3 answered")
        screen.wait_for("the words two")
        shown = "\n".join(screen.rows)
        assert (shown.count("the words one"), shown.count("the words two")) == (1, 1)
        terminal.type("\x1br")
        screen.wait_for("Workers restart")
        assert called(project, "three") != first
        screen.wait_for("the words three")

        terminal.type("\x1a")
        screen.wait_for("Stopped")
        screen.wait_for("ended with 148, other modes 0")
        assert "q leave" not in "\n".join(screen.rows)
        terminal.type("fg\n")
        screen.resize(60, 24)
        screen.wait_until(lambda rows: any(row.endswith("? keys") for row in rows), "the footer")
        assert called(project, "four") != first
        screen.wait_for("5 answered")

        terminal.type("\x03")
        screen.wait_for("[R]estore")
        assert terminal.takes_lines()
        assert called(project, "five") != first
        terminal.type("\x03")
        screen.wait_for("1 function of stage dev-ana keeps its stub")
        terminal.type(f"echo in the end {modes}\n")
        screen.wait_for("in the end 0")
        assert screen.shows_cursor
        assert "q leave" not in "\n".join(screen.rows)
    handler.write_text(before, "utf-8")


def test_a_start_says_why_it_plans_and_one_that_changes_nothing_leaves_the_record(
    project: Project,
) -> None:
    (record,) = (project.root / ".terralive" / "sandbox").glob("*/*/unchanged.json")
    last_start = record.read_bytes()
    main = project.root / "main.tf"
    text = main.read_bytes()

    main.write_bytes(text + b'\noutput "more" { value = 1 }\n')
    with start(project) as command:
        assert reason(command) == "main.tf has changed"
    main.write_bytes(text)

    with start(project, "--only", "plain-gret") as command:
        command.finish(300)
    (failed,) = command.of_type("error")
    assert failed["reference"] == "function-unknown"
    assert 'Did you mean "plain-greet"?' in failed["message"]
    assert record.read_bytes() == last_start

    with start(project, environment={"TF_VAR_size": "1"}) as command:
        assert reason(command) == "the environment variable TF_VAR_size has changed"

    code = (project.root / "greet.zip").read_bytes()
    project.client("lambda").update_function_code(FunctionName="plain-greet", ZipFile=code)
    with start(project) as command:
        assert reason(command) == "plain-greet does not carry this stage's stub"

    record.unlink()
    with start(project) as command:
        assert reason(command) == "the last command did not finish"


def test_a_terminal_that_is_closed_restores_where_the_user_wants_that(project: Project) -> None:
    """Its shell passes SIGHUP on. Nothing can be read or written in it any more."""
    words = [sys.executable, "-m", "terralive_cli", "start", "--sandbox", "--yes"]
    with Terminal.opened() as terminal, terminal.shell(project.root) as process:
        terminal.type(f"{shlex.join([*words, '--on-exit', 'restore'])}\n")
        terminal.wait_for("Press Ctrl-C to stop", timeout_s=300)
        children = descendants(process.pid)
        assert invoke(project) == "edited"
        terminal.close()
        process.wait(60)
        eventually(lambda: not running(children), "the end of the restore", seconds=120)
    assert invoke(project) == "deployed"
    nothing = run(["restore", "--sandbox", "--yes"], project.root, timeout_s=300)
    assert "Nothing to restore" in nothing.of_type("note")[-1]["message"], nothing.story()
