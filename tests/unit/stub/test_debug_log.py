from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.debug_log import start_log

RELAY = logging.getLogger("terralive.relay")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger("terralive")
    level, propagate = root.level, root.propagate
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    root.propagate = propagate


def test_a_line_has_time_level_logger_and_thread() -> None:
    stream = io.StringIO()
    start_log({"TERRALIVE_LOG": "debug"}, stream)

    thread = threading.Thread(target=lambda: RELAY.debug("lease granted to %s", 1), name="relay-1")
    thread.start()
    thread.join()

    at = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    line = rf"{at} DEBUG terralive\.relay \[relay-1\] lease granted to 1\n"
    assert re.fullmatch(line, stream.getvalue())


def test_without_the_variable_nothing_is_written() -> None:
    stream = io.StringIO()
    start_log({}, stream)
    RELAY.debug("lease granted")

    assert stream.getvalue() == ""


def test_the_level_is_obeyed() -> None:
    stream = io.StringIO()
    start_log({"TERRALIVE_LOG": "WARNING"}, stream)
    RELAY.debug("lease granted")
    RELAY.warning("lease lost")

    assert "lease granted" not in stream.getvalue()
    assert "WARNING terralive.relay" in stream.getvalue()


def test_a_second_start_does_not_write_lines_twice() -> None:
    stream = io.StringIO()
    start_log({"TERRALIVE_LOG": "debug"}, stream)
    start_log({"TERRALIVE_LOG": "debug"}, stream)
    RELAY.debug("lease granted")

    assert stream.getvalue().count("lease granted") == 1


def test_a_file_is_appended_to_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "debug.log"
    for text in ("first", "second"):
        start_log({"TERRALIVE_LOG": "debug", "TERRALIVE_LOG_FILE": str(file)}, io.StringIO())
        RELAY.debug(text)

    assert [line.rpartition("] ")[2] for line in file.read_text().splitlines()] == [
        "first",
        "second",
    ]
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("environ", "reference"),
    [
        ({"TERRALIVE_LOG": "loud"}, "log-level-unknown"),
        ({"TERRALIVE_LOG": "debug", "TERRALIVE_LOG_FILE": "/nowhere/x"}, "log-file-unwritable"),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], reference: str) -> None:
    with pytest.raises(ConfigurationError, match="TERRALIVE_LOG") as caught:
        start_log(environ, io.StringIO())
    assert caught.value.reference == reference
