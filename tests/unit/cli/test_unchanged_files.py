"""The files that an unchanged start depends on: whatever changes in them is noticed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_cli.unchanged import files
from terralive_cli.unchanged.files import FileInputs, first_difference, take, touched_since
from terralive_cli.unchanged.inputs import Configuration, file_inputs
from terralive_terraform.inputs.calls import Kind, Read, Undecided

LONG_AFTER = 4_000_000_000_000_000_000  # nanoseconds since the Unix epoch
PATHS = (
    "infra/main.tf",
    "infra/nested/deep/policy.json",
    "infra/dev.auto.tfvars",
    "modules/queue/main.tf",
    "modules/queue/vars.json",
    "shared/read.json",
    "shared/many/a.json",
    "src/api/template.json",
)
CODE = ("src/api/app.py", "src/api/lib/more.py")


def made(root: Path) -> FileInputs:
    """Write a configuration, its modules and its code, and return what a plan depends on."""
    for path in (*PATHS, *CODE, "infra/.terraform/x", "infra/node_modules/y.js", "other/z"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path, "utf-8")
    found = inputs(
        root,
        Read("../shared/read.json", Kind.CONTENT, is_file=True),
        Read("../shared/many", Kind.CONTENT, is_file=False),
        Read("../src/api/template.json", Kind.TEMPLATE, is_file=True),
        Read("../src", Kind.HASH, is_file=False),
        Read("../src/api", Kind.HASH, is_file=False),
        Read("../src/api/app.py", Kind.HASH, is_file=True),
    )
    assert isinstance(found, FileInputs)
    return found


def inputs(root: Path, *reads: Read | Undecided) -> FileInputs | Undecided:
    configuration = Configuration(
        root=root / "infra",
        modules=frozenset({root / "infra", root / "modules" / "queue"}),
        files=frozenset({root / "infra" / ".terraform.lock.hcl"}),
        code=frozenset({root / "src" / "api"}),
        packages=frozenset({root / "infra" / "api.zip"}),
    )
    return file_inputs(configuration, reads)


def difference(root: Path, wanted: FileInputs, change: Callable[[], object]) -> str:
    """Return what two looks differ in, with a change between them; "" for nothing."""
    before = take(wanted, LONG_AFTER)
    change()
    found = first_difference(before, take(wanted, LONG_AFTER, before))
    if found is None:
        return ""
    path, happened = found
    return f"{path.relative_to(root)} {happened}"


@pytest.mark.parametrize("path", PATHS)
def test_a_file_that_has_changed_is_named(tmp_path: Path, path: str) -> None:
    wanted = made(tmp_path)
    text = (tmp_path / path).read_text("utf-8")
    # Of the same size, so that only its content and its times differ.
    changed = difference(
        tmp_path, wanted, lambda: (tmp_path / path).write_text(text.upper(), "utf-8")
    )
    assert changed == f"{path} has changed"


@pytest.mark.parametrize("path", PATHS)
def test_a_file_that_is_gone_is_named(tmp_path: Path, path: str) -> None:
    wanted = made(tmp_path)
    assert difference(tmp_path, wanted, (tmp_path / path).unlink) == f"{path} is gone"


@pytest.mark.parametrize(
    "path",
    [
        "infra/more.tf",
        "infra/x/y",
        "modules/queue/a.json",
        "shared/many/b.json",
        "infra/.terraform.lock.hcl",
    ],
)
def test_a_new_file_is_named(tmp_path: Path, path: str) -> None:
    wanted = made(tmp_path)

    def add() -> None:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("", "utf-8")

    assert difference(tmp_path, wanted, add) == f"{path} is new"


@pytest.mark.parametrize(
    "path",
    [
        *CODE,
        "infra/.terraform/x",
        "infra/node_modules/y.js",
        "other/z",
        "src/api/new.py",
        "infra/api.zip",
    ],
)
def test_code_of_live_functions_and_what_tools_make_is_no_matter(tmp_path: Path, path: str) -> None:
    wanted = made(tmp_path)
    assert difference(tmp_path, wanted, lambda: (tmp_path / path).write_text("new")) == ""


def test_a_file_that_was_changed_and_changed_back_is_no_matter(tmp_path: Path) -> None:
    wanted = made(tmp_path)
    main = tmp_path / "infra" / "main.tf"

    def and_back() -> None:
        text = main.read_text("utf-8")
        main.write_text("resource", "utf-8")
        main.write_text(text, "utf-8")

    assert difference(tmp_path, wanted, and_back) == ""


@given(content=st.binary(max_size=64), path=st.sampled_from(PATHS))
def test_any_change_of_any_input_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, path: str
) -> None:
    root = tmp_path_factory.mktemp("any")
    wanted = made(root)
    file = root / path
    differs = file.read_bytes() != content
    found = difference(root, wanted, lambda: file.write_bytes(content))
    assert found == (f"{path} has changed" if differs else "")
    shutil.rmtree(root)


def test_a_write_with_the_size_and_the_time_of_before_is_noticed(tmp_path: Path) -> None:
    wanted = made(tmp_path)
    before = take(wanted, LONG_AFTER)
    main = tmp_path / "infra" / "main.tf"
    status = main.stat()
    # It changes another time, which no program can set.
    main.write_text("infra/MAIN.tf", "utf-8")
    os.utime(main, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert first_difference(before, take(wanted, LONG_AFTER, before)) == (main, "has changed")


def test_a_file_that_was_written_just_before_the_first_look_is_read_again(tmp_path: Path) -> None:
    wanted = made(tmp_path)
    main = tmp_path / "infra" / "main.tf"
    taken_ns = main.stat().st_ctime_ns + 1
    mark = take(wanted, taken_ns).marks[main]
    assert not mark.is_untouched(mark, taken_ns)
    assert mark.is_untouched(mark, LONG_AFTER)


def test_a_file_that_was_written_while_terraform_ran_is_found(tmp_path: Path) -> None:
    snapshot = take(made(tmp_path), LONG_AFTER)
    written_ns = max(mark.changed_ns for mark in snapshot.marks.values())
    assert touched_since(snapshot, written_ns) is not None
    assert touched_since(snapshot, written_ns + 1) is None


def test_names_count_where_only_names_are_read(tmp_path: Path) -> None:
    made(tmp_path)
    wanted = inputs(tmp_path, Read("../src", Kind.NAMES, is_file=False))
    assert isinstance(wanted, FileInputs)
    code = tmp_path / "src" / "api" / "app.py"
    assert difference(tmp_path, wanted, lambda: code.write_text("changed", "utf-8")) == ""
    new = tmp_path / "src" / "api" / "new.py"
    assert difference(tmp_path, wanted, lambda: new.write_text("", "utf-8")) == (
        "src has other files"
    )


@pytest.mark.parametrize("folder", ["../src", "../src/api", "../src/api/lib"])
def test_code_counts_where_an_expression_reads_its_content(tmp_path: Path, folder: str) -> None:
    made(tmp_path)
    wanted = inputs(tmp_path, Read(folder, Kind.CONTENT, is_file=False))
    assert isinstance(wanted, FileInputs)
    code = tmp_path / "src" / "api" / "lib" / "more.py"
    changed = difference(tmp_path, wanted, lambda: code.write_text("changed", "utf-8"))
    assert changed == "src/api/lib/more.py has changed"


def test_code_beside_the_configuration_is_no_matter_and_the_configuration_is(
    tmp_path: Path,
) -> None:
    (tmp_path / "main.tf").write_text("", "utf-8")
    (tmp_path / "app.py").write_text("", "utf-8")
    configuration = Configuration(
        tmp_path, frozenset({tmp_path}), frozenset(), code=frozenset({tmp_path})
    )
    wanted = file_inputs(configuration, ())
    assert isinstance(wanted, FileInputs)
    code, main = tmp_path / "app.py", tmp_path / "main.tf"
    assert difference(tmp_path, wanted, lambda: code.write_text("new", "utf-8")) == ""
    assert difference(tmp_path, wanted, lambda: main.write_text("new")) == "main.tf has changed"


def test_what_is_undecided_stays_so(tmp_path: Path) -> None:
    known = Read("a.json", Kind.CONTENT, is_file=True)
    undecided = Undecided("timestamp() has another value in every plan")
    assert inputs(tmp_path, known, undecided) == undecided


def test_a_folder_with_too_many_files_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST_FILES", 3)
    for number in range(4):
        (tmp_path / str(number)).write_text("", "utf-8")
    with pytest.raises(files.TooManyFilesError):
        take(FileInputs(trees=frozenset({tmp_path})), LONG_AFTER)


def test_a_virtual_environment_is_no_matter(tmp_path: Path) -> None:
    package = tmp_path / "env" / "lib" / "x.py"
    package.parent.mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").write_text("", "utf-8")
    wanted = FileInputs(trees=frozenset({tmp_path}))
    assert difference(tmp_path, wanted, lambda: package.write_text("x", "utf-8")) == ""


def test_of_a_large_file_the_size_and_the_time_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST_BYTES", 3)
    large = tmp_path / "model.bin"
    large.write_bytes(b"12345")
    wanted = FileInputs(trees=frozenset({tmp_path}))
    assert difference(tmp_path, wanted, lambda: None) == ""
    later_ns = large.stat().st_mtime_ns + 1
    changed = difference(tmp_path, wanted, lambda: os.utime(large, ns=(later_ns, later_ns)))
    assert changed == "model.bin has changed"
