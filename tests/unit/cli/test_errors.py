from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from terralive_cli.command_line.group import BODIES
from terralive_cli.configuration.options import Typed
from terralive_cli.configuration.values import Output
from terralive_cli.main import cli, main
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_stub.errors import (
    ConfigurationError,
    CredentialsError,
    StageHeldError,
    TerraformError,
    TerraliveError,
)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TERRALIVE_OUTPUT", "TERRALIVE_PROJECT", "TERRALIVE_STAGE", "TERRALIVE_YES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


CLOSED = """
import os, sys
for number in map(int, sys.argv[1:]):
    os.close(number)
code = os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-P", "-m", "terralive_cli", "strat")
os._exit(code)
"""


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1", "0 1 2"])
def test_a_closed_standard_stream_is_no_failure(closed: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", CLOSED, *closed.split()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == failures.USAGE
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ("No such command" in ended.stderr) == ("2" not in closed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["strat"], "No such command 'strat'"),
        (["start", "--stgae", "x"], "No such option"),
        (["--output", "xml", "start"], "'xml' is not one of"),
        (["start", "--stage"], "requires an argument"),
        (["start"], "No Terraform configuration in"),
        (["start", "--project", "nowhere"], "There is no folder"),
        (["plan", "--", "-out=x"], "does not pass -out on to Terraform"),
        (["start", "-y", "--", "-var", "a=b", "-target=module.a"], "does not pass -target on"),
        (["restore", "orders"], "does not pass orders on"),
        (["destroy", "-target=module.a"], "No such option"),
        (["start", "--", "-var", "a=b"], "No Terraform configuration in"),
        (["sandbox", "--", "-var", "a=b"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_to_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    shown = capsys.readouterr()
    assert said in shown.err
    assert "  → " in shown.err
    assert "Traceback" not in shown.err
    assert not shown.out


@pytest.mark.parametrize(
    "arguments",
    [["--output", "json", "strat"], ["--output=json", "start"], ["start", "--output=json"]],
)
def test_scripts_get_their_errors_as_json(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    shown = capsys.readouterr()
    assert not shown.err
    error = json.loads(shown.out)
    assert error["type"] == "error"
    assert {"reference", "message", "hint", "at"} <= set(error)


def test_the_broken_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "terralive.toml").write_text("stage = \n")

    assert main(["start"]) == 2
    assert f"{tmp_path / 'terralive.toml'} is not TOML" in capsys.readouterr().err


def test_a_protected_stage_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.tf").touch()

    assert main(["start", "--stage", "prod-eu"]) == 2
    assert "[stage-protected]" in capsys.readouterr().err


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert main(["--debug", "start"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_options_may_stand_before_and_behind_the_command() -> None:
    typed = Typed()
    typed.add(
        {"project": "a", "stage": "before", "region": "eu-west-1", "sandbox": True, "yes": None}
    )
    typed.add({"stack": ("a", "b"), "only": ()})
    typed.add({"project": None, "stage": "behind", "region": None, "sandbox": None, "yes": True})
    typed.add({"stack": (), "only": ("f",)})

    assert typed.flags == {
        "project": "a",
        "stage": "behind",
        "region": "eu-west-1",
        "sandbox": True,
        "yes": True,
        "stack": ("a", "b"),
        "only": ("f",),
    }


def test_every_command_takes_the_options_that_all_take() -> None:
    shared = {parameter.name for parameter in cli.params} - {"version"}
    for name in BODIES:
        command = cli.commands[name]
        own = {"debug"} if name == "start" else set()  # there it names functions to debug
        assert shared - own <= {parameter.name for parameter in command.params}, name


def test_every_command_that_help_lists_has_a_body() -> None:
    # A shell's completion has to work whatever the configuration says, and has no body.
    assert {*BODIES, "completion"} == set(cli.commands)
    for body in BODIES.values():
        assert find_spec(body.module), body


def test_help_and_version_end_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert main(["start", "--help"]) == 0
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("terralive ")


def test_every_commands_help_says_what_it_changes_and_has_an_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in cli.commands:
        assert main([name, "--help"]) == 0
        help_text = capsys.readouterr().out
        assert "This command changes" in help_text, name
        example = help_text.split("Example")[-1].split(":\n", 1)[1]
        assert example.startswith(("    terralive ", "    eval ")), name


def test_help_names_the_debug_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "TERRALIVE_LOG=debug" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (TerraliveError("x", "y"), 1),
        (ConfigurationError("x", "y"), 2),
        (TerraformError("x", "y"), 3),
        (CredentialsError("x", "y"), 4),
        (StageHeldError("x", "y"), 5),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
    ],
)
def test_exit_codes_are_the_documented_ones(failure: BaseException, code: int) -> None:
    assert failures.exit_code(failure) == code


def test_a_bug_names_the_file_with_its_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        Path(__file__).read_text("no-such-encoding")
    except LookupError as bug:
        error = failures.describe(bug)

    assert error.reference == "internal-error"
    (kept,) = tmp_path.iterdir()
    assert str(kept) in error.hint
    assert "LookupError" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def ask(answer: str, *, interactive: bool = True, yes: bool = False) -> tuple[bool, str]:
    screen, questions = io.StringIO(), io.StringIO()
    with Renderer.start(Output.PLAIN, screen) as renderer:
        ui = Ui(
            renderer,
            questions=questions,
            answers=io.StringIO(answer),
            interactive=interactive,
            assume_yes=yes,
        )
        ui.emit(Message("3 functions."))
        answered = ui.confirm("Make them live?")
        assert yes or screen.getvalue() == "3 functions.\n", "the story comes before the question"
    return answered, questions.getvalue()


@pytest.mark.parametrize(
    ("answer", "meant"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)],
)
def test_only_a_yes_is_a_yes(answer: str, meant: bool) -> None:
    assert ask(answer) == (meant, "Make them live? [y/N] ")


def test_a_question_keeps_its_words_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    question = f"Make {', '.join(f'module.orders-{n}.this' for n in range(9))} live in the sandbox?"
    screen, questions = io.StringIO(), io.StringIO()
    with Renderer.start(Output.PLAIN, screen) as renderer:
        ui = Ui(
            renderer,
            questions=questions,
            answers=io.StringIO("y\n"),
            interactive=True,
            assume_yes=False,
        )
        assert ui.confirm(question)

    rows = questions.getvalue().splitlines()
    assert max(map(len, rows)) <= 80
    assert len(rows) > 1
    assert " ".join(row.strip() for row in rows) == f"{question} [y/N]"


def test_yes_asks_nothing() -> None:
    assert ask("", interactive=False, yes=True) == (True, "")


def test_without_a_terminal_and_without_yes_nothing_is_changed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ask("y\n", interactive=False)
    assert (caught.value.reference, caught.value.exit_code) == ("confirmation-needed", 2)


@pytest.mark.parametrize(
    "refusal",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "/project/.terralive/logs"),
        FileExistsError(errno.EEXIST, "File exists", b"/project/.terralive"),
    ],
)
def test_a_file_that_the_system_refuses_is_no_bug_of_terralive(refusal: OSError) -> None:
    shown = failures.describe(refusal)

    assert shown.reference == "file-refused"
    assert str(refusal.strerror) in shown.message
    assert "/project" in shown.message or refusal.filename is None
    assert failures.exit_code(refusal) == failures.FAILED
    assert failures.describe(ConnectionResetError(errno.ECONNRESET, "x")).reference != (
        "file-refused"
    )
