from __future__ import annotations

import functools
import itertools
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from terralive_relay.code.changes import changed_code
from terralive_relay.code.watch import Watcher, follow
from terralive_relay.pool.pool import Pool
from terralive_testing.drivers.workers import PYTHON, Recorder, invocation, local_function
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi


class Seen:
    """The changes that a watcher has reported, and a way to wait for one."""

    def __init__(self) -> None:
        # Guards the changes.
        self._more = threading.Condition()
        self._changes: list[tuple[str, str]] = []

    def __call__(self, function: LocalFunction, paths: tuple[str, ...]) -> None:
        with self._more:
            self._changes += [(function.name, path) for path in paths]
            self._more.notify_all()

    def has(self, function: str, path: str) -> bool:
        with self._more:
            return (function, path) in self._changes

    def until(self, function: str, path: str) -> set[tuple[str, str]]:
        """Wait until this change was seen; returns all that were."""
        with self._more:
            assert self._more.wait_for(lambda: (function, path) in self._changes, 20), (
                f"{path}: not in {self._changes}"
            )
            return set(self._changes)


def function(name: str, path: Path, *watch: str) -> LocalFunction:
    path.mkdir(parents=True, exist_ok=True)
    return LocalFunction(
        name=name,
        arn=name,
        address=name,
        runtime="python3.12",
        handler="app.handler",
        path=path,
        python=PYTHON,
        watch=watch,
    )


Watch = Callable[..., Seen]


@pytest.fixture
def watch() -> Iterator[Watch]:
    watchers = []

    def start(*functions: LocalFunction) -> Seen:
        seen = Seen()
        watcher = Watcher(functions, seen)
        watchers.append(watcher)
        watcher.start()
        assert watcher.wait_ready(20)
        return seen

    yield start
    for watcher in watchers:
        watcher.close()


def test_a_saved_file_is_reported_for_its_function_only(watch: Watch, tmp_path: Path) -> None:
    seen = watch(function("api", tmp_path / "api"), function("worker", tmp_path / "worker"))
    (tmp_path / "api" / "app.py").write_text("x = 1")
    assert seen.until("api", "app.py") == {("api", "app.py")}


def test_a_change_of_shared_code_is_reported_for_each_function(
    watch: Watch, tmp_path: Path
) -> None:
    seen = watch(function("a", tmp_path), function("b", tmp_path), function("c", tmp_path / "c"))
    (tmp_path / "c" / "app.py").write_text("x = 1")
    seen.until("a", "c/app.py")
    seen.until("b", "c/app.py")
    assert seen.until("c", "app.py") == {("a", "c/app.py"), ("b", "c/app.py"), ("c", "app.py")}


def test_new_folders_renamed_and_removed_files_count(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("")
    seen = watch(function("api", tmp_path))
    (tmp_path / "new").mkdir()
    seen.until("api", "new")
    (tmp_path / "new" / "app.py").write_text("")
    seen.until("api", "new/app.py")
    (tmp_path / "old.py").rename(tmp_path / "renamed.py")
    seen.until("api", "renamed.py")
    (tmp_path / "renamed.py").unlink()
    seen.until("api", "old.py")


def test_files_of_a_folder_that_is_moved_into_the_code_count(watch: Watch, tmp_path: Path) -> None:
    """The system reports the folder only."""
    (tmp_path / "prepared" / "package").mkdir(parents=True)
    (tmp_path / "prepared" / "package" / "app.py").write_text("x = 1")
    seen = watch(function("api", tmp_path / "api", "dist/**"))
    (tmp_path / "prepared").rename(tmp_path / "api" / "dist")
    assert seen.until("api", "dist/package/app.py") == {("api", "dist/package/app.py")}


def test_a_code_root_behind_a_link_is_watched(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    seen = watch(function("api", tmp_path / "link"))
    (tmp_path / "real" / "app.py").write_text("x = 1")
    assert seen.until("api", "app.py") == {("api", "app.py")}


def test_shared_code_behind_links_is_reported_under_each_functions_own_name(
    watch: Watch, tmp_path: Path
) -> None:
    (tmp_path / "shared" / "deep").mkdir(parents=True)
    functions = [function(name, tmp_path / name) for name in ("a", "b")]
    for each in functions:
        (each.path / "lib").symlink_to(tmp_path / "shared")
        (each.path / "loop").symlink_to(each.path.parent)
    seen = watch(*functions)
    (tmp_path / "shared" / "deep" / "x.py").write_text("x = 1")
    seen.until("a", "lib/deep/x.py")
    assert seen.until("b", "lib/deep/x.py") == {("a", "lib/deep/x.py"), ("b", "lib/deep/x.py")}


def test_a_link_that_is_made_later_is_followed(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    api = function("api", tmp_path / "api")
    seen = watch(api)
    (api.path / "lib").symlink_to(tmp_path / "shared")
    seen.until("api", "lib")
    numbers = itertools.count()

    def reported() -> bool:  # until it is watched, nothing is reported
        (tmp_path / "shared" / "x.py").write_text(f"x = {next(numbers)}")
        return seen.has("api", "lib/x.py")

    eventually(reported, "a change behind the new link was reported")


def test_globs_may_lead_out_of_the_code_root_to_code_that_functions_share(
    watch: Watch, tmp_path: Path
) -> None:
    (tmp_path / "packages" / "shared").mkdir(parents=True)
    (tmp_path / "packages" / "other").mkdir()
    seen = watch(
        function("a", tmp_path / "a", "../packages/shared/**"),
        function("b", tmp_path / "b", "src/**", "../packages/shared/*.py"),
        function("c", tmp_path / "c"),
    )
    (tmp_path / "packages" / "other" / "x.py").write_text("x = 1")
    (tmp_path / "b" / "README.md").write_text("")
    (tmp_path / "packages" / "shared" / "x.py").write_text("x = 1")
    seen.until("b", "../packages/shared/x.py")
    (tmp_path / "a" / "app.py").write_text("")
    assert seen.until("a", "app.py") == {
        ("a", "../packages/shared/x.py"),
        ("b", "../packages/shared/x.py"),
        ("a", "app.py"),
    }


def test_a_checkout_of_many_files_is_reported_in_a_few_bursts(tmp_path: Path) -> None:
    git = functools.partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    identity = ("-c", "user.name=dev", "-c", "user.email=dev@example.com")
    git(["git", "init", "--quiet", "--initial-branch=main"])
    folder = tmp_path / "api"
    for name, text in (("main", "old"), ("other", "new")):
        git(["git", "checkout", "--quiet", "-B", name])
        for number in range(2000):
            file = folder / f"pkg{number % 40}" / f"m{number}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"x = '{text}'")
        git(["git", "add", "--all"])
        git(["git", *identity, "commit", "--quiet", "--message", text])
    bursts: list[int] = []
    files: set[str] = set()
    done = threading.Event()

    def changed(_function: LocalFunction, paths: tuple[str, ...]) -> None:
        bursts.append(len(paths))
        files.update(path for path in paths if path.endswith(".py"))
        if len(files) == 2000:
            done.set()

    watcher = Watcher((function("api", folder),), changed)
    watcher.start()
    try:
        assert watcher.wait_ready(20)
        git(["git", "checkout", "--quiet", "main"])
        assert done.wait(60), f"{len(files)} files were reported"
    finally:
        watcher.close()
    assert len(bursts) < 100, bursts


def test_a_code_root_that_is_not_there_does_no_harm(watch: Watch, tmp_path: Path) -> None:
    gone = LocalFunction(
        name="gone",
        arn="gone",
        address="gone",
        runtime="python3.12",
        handler="app.handler",
        path=tmp_path / "gone",
        python=PYTHON,
    )
    watch(gone)
    seen = watch(gone, function("api", tmp_path / "api"))
    (tmp_path / "api" / "app.py").write_text("x = 1")
    seen.until("api", "app.py")


def test_a_callback_that_fails_is_called_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    called = threading.Event()

    def changed(changed_function: LocalFunction, paths: tuple[str, ...]) -> None:
        calls.append(changed_function.name)
        called.set()
        raise RuntimeError(paths[0])

    watcher = Watcher((function("api", tmp_path),), changed)
    watcher.start()
    assert watcher.wait_ready(20)
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("")
        assert called.wait(20)
        called.clear()
    watcher.close()
    assert "could not be handled" in caplog.text


def test_where_the_system_cannot_watch_the_code_is_polled_and_the_user_is_warned(
    tmp_path: Path,
) -> None:
    reported: list[str] = []

    def source(
        roots: Sequence[Path], stop: threading.Event, polling: bool
    ) -> Iterator[Iterable[Path]]:
        if not polling:
            raise FileNotFoundError("OS file watch limit reached.")
        yield from follow(roots, stop, polling)

    seen = Seen()
    watcher = Watcher((function("api", tmp_path),), seen, trouble=reported.append, source=source)
    watcher.start()
    assert watcher.wait_ready(20)
    (tmp_path / "app.py").write_text("x = 1")
    seen.until("api", "app.py")
    watcher.close()
    assert len(reported) == 1
    assert "max_user_watches" in reported[0]


def test_closing_ends_the_thread_at_once_and_twice_is_fine(tmp_path: Path) -> None:
    watcher = Watcher((function("api", tmp_path),), Seen())
    watcher.close()
    watcher.start()
    watcher.close()
    watcher.close()
    assert not any(thread.name == "watch" for thread in threading.enumerate())


@pytest.mark.parametrize(
    "path",
    [
        ".git/index",
        "__pycache__/app.cpython-312.pyc",
        "pkg/__pycache__/x.pyc",
        ".terralive/state.json",
        ".venv/lib/x.py",
        "node_modules/a/index.js",
        ".app.py.swp",
        "4913",
        "app.py~",
        ".#app.py",
        "~terralive_override.tf.json",
        ".terraform/modules/modules.json",
    ],
)
def test_files_that_tools_write_beside_the_code_are_no_change(tmp_path: Path, path: str) -> None:
    assert changed_code(function("api", tmp_path), [tmp_path / path]) == ()


def test_globs_narrow_which_files_count(tmp_path: Path) -> None:
    narrowed = function("api", tmp_path, "src/**", "package.json", "lib/**/*.sql")
    paths = [
        "src/a.py",
        "src/deep/b.py",
        "package.json",
        "other/package.json",
        "README.md",
        "lib/x.sql",
        "lib/y/z.sql",
    ]
    mine = changed_code(narrowed, [tmp_path / path for path in paths])
    assert mine == ("lib/x.sql", "lib/y/z.sql", "package.json", "src/a.py", "src/deep/b.py")


def test_a_folder_above_the_code_root_may_have_any_name(tmp_path: Path) -> None:
    inside = function("api", tmp_path / "node_modules" / "venv" / "api")
    assert changed_code(inside, [inside.path / "app.py"]) == ("app.py",)


def test_an_edit_is_live_at_the_next_invocation(tmp_path: Path) -> None:
    api, sink = RuntimeApi(), Recorder()
    local = local_function(
        tmp_path, "print('old is ready')\ndef handler(event, context): return 'old'"
    )
    pool = Pool(local, api, sink)
    watcher = Watcher((local,), lambda _name, _paths: pool.mark_stale())
    watcher.start()
    try:
        assert watcher.wait_ready(20)
        assert pool.submit(invocation()).result(30).outcome.body == b'"old"'
        (tmp_path / "app.py").write_text(
            "print('new is ready')\ndef handler(event, context): return 'new'"
        )
        sink.wait_for("new is ready")
        assert pool.submit(invocation()).result(30).outcome.body == b'"new"'
    finally:
        watcher.close()
        pool.close()
        api.close()
