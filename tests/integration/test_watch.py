from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from support.workers import PYTHON, Recorder, invocation, local_function
from terralive_relay.functions import LocalFunction
from terralive_relay.pool import Pool
from terralive_relay.runtime_api import RuntimeApi
from terralive_relay.watch import Watcher, affected, follow


class Seen:
    """What a watcher called back with, and a way to wait for it."""

    def __init__(self) -> None:
        # Guards the changes.
        self._more = threading.Condition()
        self._changes: list[tuple[str, str]] = []

    def __call__(self, function: str, paths: tuple[str, ...]) -> None:
        with self._more:
            self._changes += [(function, path) for path in paths]
            self._more.notify_all()

    def until(self, function: str, path: str) -> set[tuple[str, str]]:
        """Wait until this change was seen; returns all that were."""
        with self._more:
            assert self._more.wait_for(lambda: (function, path) in self._changes, 20), f"{path}: not in {self._changes}"
            return set(self._changes)


def function(name: str, path: Path, *watch: str) -> LocalFunction:
    path.mkdir(parents=True, exist_ok=True)
    return LocalFunction(name, name, "python3.12", "app.handler", path, PYTHON, watch)


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


def test_a_saved_file_is_told_to_its_function_only(watch: Watch, tmp_path: Path) -> None:
    seen = watch(function("api", tmp_path / "api"), function("worker", tmp_path / "worker"))
    (tmp_path / "api" / "app.py").write_text("x = 1")
    assert seen.until("api", "app.py") == {("api", "app.py")}


def test_functions_that_share_code_hear_of_it_each(watch: Watch, tmp_path: Path) -> None:
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


def test_a_code_root_behind_a_link_is_watched(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    seen = watch(function("api", tmp_path / "link"))
    (tmp_path / "real" / "app.py").write_text("x = 1")
    assert seen.until("api", "app.py") == {("api", "app.py")}


def test_a_code_root_that_is_not_there_does_no_harm(watch: Watch, tmp_path: Path) -> None:
    gone = LocalFunction("gone", "gone", "python3.12", "app.handler", tmp_path / "gone", PYTHON)
    watch(gone)
    seen = watch(gone, function("api", tmp_path / "api"))
    (tmp_path / "api" / "app.py").write_text("x = 1")
    seen.until("api", "app.py")


def test_a_callback_that_fails_is_called_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    called = threading.Event()

    def changed(name: str, paths: tuple[str, ...]) -> None:
        calls.append(name)
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


def test_where_the_system_does_not_let_us_watch_the_code_is_polled_and_the_user_told(tmp_path: Path) -> None:
    told: list[str] = []

    def source(roots: Sequence[Path], stop: threading.Event, polling: bool) -> Iterator[Iterable[Path]]:
        if not polling:
            raise FileNotFoundError("OS file watch limit reached.")
        yield from follow(roots, stop, polling)

    seen = Seen()
    watcher = Watcher((function("api", tmp_path),), seen, trouble=told.append, source=source)
    watcher.start()
    assert watcher.wait_ready(20)
    (tmp_path / "app.py").write_text("x = 1")
    seen.until("api", "app.py")
    watcher.close()
    assert len(told) == 1
    assert "max_user_watches" in told[0]


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
        "terralive_override.tf.json",
        ".terraform/modules/modules.json",
    ],
)
def test_what_tools_write_beside_the_code_is_no_change(tmp_path: Path, path: str) -> None:
    assert affected([function("api", tmp_path)], [tmp_path / path]) == ()


def test_globs_narrow_what_counts(tmp_path: Path) -> None:
    narrowed = function("api", tmp_path, "src/**", "package.json", "lib/**/*.sql")
    paths = ["src/a.py", "src/deep/b.py", "package.json", "other/package.json", "README.md", "lib/x.sql", "lib/y/z.sql"]
    ((_, mine),) = affected([narrowed], [tmp_path / path for path in paths])
    assert mine == ("lib/x.sql", "lib/y/z.sql", "package.json", "src/a.py", "src/deep/b.py")


def test_a_folder_above_the_code_root_may_have_any_name(tmp_path: Path) -> None:
    inside = function("api", tmp_path / "node_modules" / "venv" / "api")
    assert affected([inside], [inside.path / "app.py"]) == ((inside, ("app.py",)),)


def test_an_edit_is_live_at_the_next_invocation(tmp_path: Path) -> None:
    api, sink = RuntimeApi(), Recorder()
    local = local_function(tmp_path, "print('old is ready')\ndef handler(event, context): return 'old'")
    pool = Pool(local, api, sink)
    watcher = Watcher((local,), lambda _name, _paths: pool.mark_stale())
    watcher.start()
    try:
        assert watcher.wait_ready(20)
        assert pool.submit(invocation()).result(30).outcome.body == b'"old"'
        (tmp_path / "app.py").write_text("print('new is ready')\ndef handler(event, context): return 'new'")
        sink.wait_for("new is ready")
        assert pool.submit(invocation()).result(30).outcome.body == b'"new"'
    finally:
        watcher.close()
        pool.close()
        api.close()
