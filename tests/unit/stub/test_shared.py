"""The helpers that every part uses: JSON readers, atomic writes, timestamps."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from terralive_stub.shared import json_documents, timestamps
from terralive_stub.shared.atomic_files import write_atomically


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "3", "[" * 200_000, b"\xff\xfe{"])
def test_anything_that_is_no_json_object_parses_as_an_empty_one(content: str | bytes) -> None:
    assert json_documents.parse_object(content) == {}


def test_a_json_object_is_parsed_from_text_and_bytes() -> None:
    assert json_documents.parse_object('{"a": 1}') == {"a": 1}
    assert json_documents.parse_object(b'{"a": 1}') == {"a": 1}


def test_a_missing_or_unreadable_file_reads_as_an_empty_object(tmp_path: Path) -> None:
    file = tmp_path / "document.json"
    assert json_documents.read_object(file) == {}
    file.write_bytes(b"\xff")
    assert json_documents.read_object(file) == {}
    file.write_text('{"a": []}')
    assert json_documents.read_object(file) == {"a": []}


def test_a_value_of_another_type_reads_as_an_empty_one() -> None:
    document = {"section": {"a": 1}, "items": [1], "text": "t", "number": 1.5}
    assert json_documents.section(document, "section") == {"a": 1}
    assert json_documents.items(document, "items") == [1]
    assert json_documents.text(document, "text") == "t"
    assert json_documents.number(document, "number") == 1.5
    for no_number in (b"NaN", b"Infinity", b"-1e999"):
        read = json_documents.parse_object(b'{"number": ' + no_number + b"}")
        assert json_documents.number(read, "number") == 0, "int() would fail"
    for name in document:
        others = {other: value for other, value in document.items() if other != name}
        for value in (None, *others.values()):
            wrong = {name: value}
            assert json_documents.section(wrong, "section") == {}
            assert json_documents.items(wrong, "items") == []
            assert json_documents.text(wrong, "text") == ""
            assert json_documents.number(wrong, "number") == 0


def test_a_file_is_written_with_its_folder_and_for_the_owner_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_leaves_the_target_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(target, b"a file cannot replace a folder")
    assert list(tmp_path.iterdir()) == [target]


def test_timestamps_are_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 29, 13, 36, 48, 123_999, UTC)
    assert timestamps.format_datetime(moment) == "2026-11-29T13:36:48.123Z"
    elsewhere = moment.astimezone(timezone(timedelta(hours=-3)))
    assert timestamps.format_datetime(elsewhere) == "2026-11-29T13:36:48.123Z"
    assert timestamps.format_epoch_seconds(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 29 Nov 2026 13:36:48 GMT", 1795959408.0),
        ("Sun, 29 Nov 2026 13:36:48 -0000", 1795959408.0),
        ("", None),
        ("yesterday", None),
        ("Sun, 99 Nov 2026 13:36:48 GMT", None),
    ],
)
def test_the_date_of_an_answer_is_read_and_anything_else_is_none(
    text: str, seconds: float | None
) -> None:
    assert timestamps.parse_date_header(text) == seconds
