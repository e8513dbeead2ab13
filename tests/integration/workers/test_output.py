from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from terralive_workers.output import Output


class Streams:
    """The writing ends of a worker's pipes, and the lines that its output publishes."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []
        out_read, self.stdout = os.pipe()
        err_read, self.stderr = os.pipe()
        self.output = Output(out_read, err_read, lambda *line: self.lines.append(line))

    def close(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)
        self.output.close()


@pytest.fixture
def streams() -> Iterator[Streams]:
    streams = Streams()
    yield streams
    streams.close()


def test_what_was_written_before_an_answer_belongs_to_its_invocation(streams: Streams) -> None:
    os.write(streams.stdout, b"importing\n")
    streams.output.begin("r-1")
    os.write(streams.stdout, b"one\ntwo")
    os.write(streams.stderr, b"careful\r\n")
    streams.output.begin("")
    os.write(streams.stdout, b"between\n")
    streams.output.begin("r-2")
    os.write(streams.stdout, b"three\n")
    streams.output.begin("")
    by_stdout = [(request, line) for request, line, stream in streams.lines if stream == "stdout"]
    assert by_stdout == [
        ("", "importing"),
        ("r-1", "one"),
        ("r-1", "two"),
        ("", "between"),
        ("r-2", "three"),
    ]
    assert ("r-1", "careful", "stderr") in streams.lines


@pytest.mark.parametrize("text", ["x" * 700_000, "€" * 250_000, "😀" * 150_000])
def test_a_line_longer_than_cloudwatch_takes_is_cut_between_characters(
    streams: Streams, text: str
) -> None:
    data = text.encode()
    written = 0
    while written < len(data):
        written += os.write(streams.stdout, data[written : written + 65_536])
    streams.output.begin("")
    lines = [line for _, line, _ in streams.lines]
    assert "".join(lines) == text
    assert all(len(line.encode()) <= 256 * 1024 for line in lines)
    assert len(lines) == -(-len(data) // (256 * 1024))


def test_bytes_that_are_no_text_are_shown_as_such(streams: Streams) -> None:
    os.write(streams.stderr, b"\xff\xfe\n")
    streams.output.begin("")
    assert streams.lines == [("", "��", "stderr")]
