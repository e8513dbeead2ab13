"""An exception that ends a thread is shown as an error, and once."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from terralive_cli.output.events import Failed
from terralive_cli.output.thread_failures import reported
from terralive_relay.events import Event


def _end_a_thread_with(error: BaseException) -> None:
    def fail() -> None:
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def _details_stay_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_an_exception_that_ends_a_thread_is_shown_once_as_an_error_with_its_details() -> None:
    shown: list[Event] = []
    with reported(lambda *events: shown.extend(events)):
        _end_a_thread_with(KeyError("a defect"))
        _end_a_thread_with(KeyError("a defect"))
        _end_a_thread_with(KeyError("another one"))
        _end_a_thread_with(SystemExit())

    assert [type(event) for event in shown] == [Failed, Failed]
    first = shown[0]
    assert isinstance(first, Failed)
    assert first.reference == "internal-error"
    assert "KeyError: 'a defect'" in first.message
    details = Path(first.hint.partition("The details are in ")[2].partition(".txt")[0] + ".txt")
    assert "in fail" in details.read_text("utf-8")


def test_afterwards_a_thread_ends_as_before() -> None:
    before = threading.excepthook
    with reported(lambda *_: None):
        assert threading.excepthook is not before
    assert threading.excepthook is before
