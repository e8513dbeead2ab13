"""Configuration that is saved while functions are live: the files that count, the line, the key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from terralive_cli.changes.saved_changes import KEY, SavedChanges
from terralive_cli.changes.watched import WatchedFiles, watched_files
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.live.stage_relay import StageRelay
from terralive_cli.output.events import ConfigurationChanged, Message
from terralive_cli.output.formats.text import TextLines
from terralive_cli.unchanged.files import FileInputs
from terralive_cli.view.pressing import Action
from terralive_cli.view.session_view import SessionView
from terralive_relay.events import Event
from terralive_testing.fakes.user import AnsweringUser
from terralive_workers.function import LocalFunction

LONG_AFTER = 4_000_000_000_000_000_000  # nanoseconds since the Unix epoch


@dataclass
class FakeKeys:
    """A terminal in which a test types."""

    typed: str = ""
    single: bool = False
    file: int | None = None

    def pressed(self) -> str:
        if not self.single:
            # What was typed before is dropped.
            self.single, self.typed = True, ""
        typed, self.typed = self.typed, ""
        return typed

    def release(self) -> None:
        self.single = False


def no_relay(outputs: DebugStackOutputs, functions: tuple[LocalFunction, ...]) -> NoReturn:
    del outputs, functions
    raise AssertionError("nothing is served")


@dataclass
class Session:
    """A session whose configuration is in a folder. Its clock is at a second of the test's."""

    root: Path
    keys: FakeKeys | None = field(default_factory=FakeKeys)
    began_ns: int = LONG_AFTER
    program: bool = False
    succeeds: bool = True
    events: list[Event] = field(default_factory=list)
    applies: int = 0
    second: float = 0
    modes: list[bool] = field(default_factory=list)
    during_apply: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.changes = SavedChanges(
            self.root,
            self.files,
            self.apply,
            self.emit,
            key="" if self.keys is None else KEY,
            again="terralive start --stage dev-ana",
            began_ns=self.began_ns,
            clock=lambda: self.second,
        )
        self.view = SessionView(
            AnsweringUser(self.root).ui,
            self.keys,
            self.changes,
            StageRelay(self.root, no_relay),
            wants_footer=False,
            is_in_foreground=lambda: True,
        )
        self.look()

    def files(self) -> WatchedFiles:
        settings = frozenset({self.root / "terralive.toml"})
        if self.program:
            left_out = frozenset({self.root / "functions", self.root / "cdktf.out"})
            return WatchedFiles(FileInputs(settings), self.root, left_out)
        modules = frozenset({self.root, self.root / "modules" / "queue"})
        read = frozenset({self.root / "policies" / ".own.json"})
        return WatchedFiles(FileInputs(settings | read, modules))

    def apply(self) -> bool:
        self.applies += 1
        if self.keys is not None:
            self.modes.append(self.keys.single)
        self.during_apply()
        return self.succeeds

    def emit(self, *events: Event) -> None:
        self.events += events

    def look(self, times: int = 3) -> None:
        for _ in range(times):
            self.second += 100
            action = self.view.look()
            self.changes.look()
            if action is Action.APPLY:
                self.changes.apply()

    def told(self) -> list[tuple[tuple[str, ...], str]]:
        """Look, and return what was told since the last time."""
        self.look()
        events, self.events = self.events, []
        return [
            (event.files, event.key) for event in events if isinstance(event, ConfigurationChanged)
        ]

    def press(self, keys: str) -> None:
        assert self.keys is not None
        self.keys.typed = keys
        self.look(1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "main.tf",
        "dev.auto.tfvars",
        "more.tf.json",
        "terralive.toml",
        "modules/queue/main.tf",
        "policies/.own.json",
        "program.py",
        "functions/app.py",
    ):
        save(tmp_path, name, "first")
    return tmp_path


def save(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def save_as_an_editor(root: Path, name: str, text: str) -> None:
    """Write a new file, and rename it to the old one."""
    save(root, f".{name}.swp", text)
    (root / f".{name}.swp").replace(root / name)


@pytest.mark.parametrize(
    "name",
    [
        *("main.tf", "dev.auto.tfvars", "more.tf.json", "new.tofu", "new.tf"),
        *("modules/queue/main.tf", "policies/.own.json", ".secret.auto.tfvars"),
    ],
)
def test_a_saved_configuration_file_is_told_with_the_key(root: Path, name: str) -> None:
    session = Session(root)
    save(root, name, "other")
    assert session.told() == [((name,), "a")]
    assert session.told() == []


@pytest.mark.parametrize(
    "name",
    [
        *(".terraform/modules/modules.json", ".terraform.lock.hcl", "terraform.tfstate"),
        *("~terralive_override.tf.json", ".main.tf.swp", "main.tf~", "#main.tf#", "4913"),
        *(".#main.tf", "._main.tf", "README.md", "functions/app.py", "greet.zip"),
        *("modules/other/main.tf", ".terralive/aws/x/main.tf", "program.py"),
    ],
)
def test_what_terraform_terralive_editors_and_builds_write_is_no_change(
    root: Path, name: str
) -> None:
    session = Session(root)
    save(root, name, "other")
    assert session.told() == []


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        *(("program.py", True), ("lib/stacks.py", True), ("cdktf.json", True), ("x.tf", True)),
        *(("functions/app.py", False), ("cdktf.out/stacks/a/cdk.tf.json", False)),
        *((".venv/x.py", False), ("node_modules/x/y.js", False), ("notes.md", False)),
        *(("lib/__pycache__/stacks.py", False),),
    ],
)
def test_of_a_cdktf_program_its_sources_count(root: Path, name: str, counts: bool) -> None:
    session = Session(root, program=True)
    save(root, name, "other")
    assert session.told() == ([((name,), "a")] if counts else [])


def test_a_save_with_the_same_content_is_no_change(root: Path) -> None:
    session = Session(root)
    save(root, "main.tf", "first")
    save_as_an_editor(root, "dev.auto.tfvars", "first")
    assert session.told() == []


def test_each_save_is_told_with_all_that_differs_and_so_is_the_return(root: Path) -> None:
    session = Session(root)
    save_as_an_editor(root, "main.tf", "other")
    assert session.told() == [(("main.tf",), "a")]
    (root / "modules" / "queue" / "main.tf").unlink()
    assert session.told() == [(("main.tf", "modules/queue/main.tf"), "a")]
    save(root, "main.tf", "first")
    save(root, "modules/queue/main.tf", "first")
    assert session.told() == [((), "")]
    assert session.keys == FakeKeys(), "the terminal has its own mode again"


def test_a_file_that_is_still_written_is_told_when_it_is_complete(root: Path) -> None:
    session = Session(root)
    for part in range(5):
        save(root, "main.tf", "x" * part)
        session.look(1)
    assert session.events == []
    assert session.told() == [(("main.tf",), "a")]


def test_a_file_that_was_saved_while_terraform_ran_is_told_at_once(root: Path) -> None:
    modified = (root / "main.tf").stat()
    session = Session(root, began_ns=max(modified.st_mtime_ns, modified.st_ctime_ns))
    assert "main.tf" in [name for names, _ in session.told() for name in names]


def test_without_a_terminal_there_is_no_key(root: Path) -> None:
    session = Session(root, keys=None)
    save(root, "main.tf", "other")
    assert session.told() == [(("main.tf",), "")]
    assert session.applies == 0


def test_the_settings_are_taken_by_the_next_start_only(root: Path) -> None:
    session = Session(root)
    save(root, "terralive.toml", "other")
    assert session.told() == [(("terralive.toml",), "")]
    session.press("a")
    assert session.applies == 0
    assert session.keys == FakeKeys(typed="a"), "nothing reads the terminal"


def test_an_apply_says_that_the_settings_need_a_new_start(root: Path) -> None:
    session = Session(root)
    save(root, "terralive.toml", "other")
    save(root, "main.tf", "other")
    session.told()
    session.press("a")
    assert session.events == [
        Message(
            message="terralive.toml has changed, but a session keeps its settings: leave with q, "
            "then type `terralive start --stage dev-ana`."
        )
    ]
    assert session.applies == 1


def test_the_key_applies_only_what_was_told_and_the_terminal_has_its_own_mode_then(
    root: Path,
) -> None:
    session = Session(root)
    session.press("a")
    assert session.applies == 0
    save(root, "main.tf", "other")
    session.told()
    session.press("xyz")
    assert session.applies == 0
    session.press("A")
    assert (session.applies, session.modes) == (1, [False])
    assert session.told() == [], "it is what was planned now"


def test_what_is_saved_during_the_apply_is_told_after_it(root: Path) -> None:
    def save_later() -> None:
        save(root, "new.tf", "later")
        # The times of files come from a clock that is some milliseconds behind.
        later = time.time_ns() + 10**9
        os.utime(root / "new.tf", ns=(later, later))

    session = Session(root, during_apply=save_later)
    save(root, "main.tf", "other")
    session.told()
    session.press("a")
    assert session.told() == [(("new.tf",), "a")]


def test_after_a_no_or_an_error_the_same_change_can_be_applied(root: Path) -> None:
    session = Session(root, succeeds=False)
    save(root, "main.tf", "other")
    session.told()
    session.press("a")
    assert session.told() == [], "the user knows"
    session.succeeds = True
    session.press("a")
    assert session.applies == 2


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_the_session_puts_the_terminals_mode_back(
    root: Path, failure: type[BaseException]
) -> None:
    def end() -> None:
        raise failure

    session = Session(root, during_apply=end)
    save(root, "main.tf", "other")
    session.told()
    with pytest.raises(failure):
        session.press("a")
    assert session.keys is not None
    assert not session.keys.single


def test_of_terraforms_folder_modules_variables_files_and_what_is_read_count(
    tmp_path: Path,
) -> None:
    made = {
        "main.tf": """
            module "queue" { source = "../modules/queue" }
            locals {
              policy = file("${path.module}/policy.json")
              page   = templatefile("../pages/page.tpl", {})
              all    = [for name in ["a", "b"] : file("../texts/${name}.txt")]
              code   = file("../src/app.py")
              other  = file("../src/schema.json")
              hash   = filebase64sha256("../dist/app.zip")
            }
        """,
        "../modules/queue/main.tf": 'locals { own = file("${path.module}/own.json") }',
        "../src/app.py": "",
        "../texts/a.txt": "",
        ".terraform/modules/other/main.tf": "",
    }
    root = tmp_path / "infra"
    for name, text in made.items():
        save(root, name, text)
    stage = AnsweringUser(root).stage

    found = watched_files(stage, [tmp_path / "src"]).inputs

    files = {os.path.relpath(path, root) for path in found.files}
    assert files == {
        *("terralive.toml", "policy.json", "../pages/page.tpl", "../src/schema.json"),
        "../modules/queue/own.json",
    }
    assert {os.path.relpath(path, root) for path in found.modules} == {".", "../modules/queue"}
    assert {os.path.relpath(path, root) for path in found.trees} == {"../texts"}


@pytest.mark.parametrize(
    ("files", "key", "text"),
    [
        (["main.tf"], "a", "main.tf has changed: press a to plan it, and to apply it after a"),
        (["a.tf", "b.tf"], "", "a.tf, b.tf have changed; the next `terralive start` takes it"),
        ([], "", "The configuration is again as it was planned."),
    ],
)
def test_the_line_says_what_to_do(files: Sequence[str], key: str, text: str) -> None:
    (line,) = TextLines().lines(ConfigurationChanged(tuple(files), key))
    assert line.text.startswith(text)
