"""What of a handler's output goes to CloudWatch, and what is left out and said."""

from __future__ import annotations

from terralive_relay.events import LogLine
from terralive_relay.forwarding import BYTES_A_SECOND, Forwarding
from terralive_stub.chunks import CHUNK_BYTES


def printed(*lines: str, request_id: str = "r1") -> Forwarding:
    forwarding = Forwarding()
    for line in lines:
        forwarding.add(LogLine(request_id, "fn", line))
    return forwarding


def test_lines_are_given_once_and_in_order() -> None:
    forwarding = printed("one", "zwölf", "\ud800")
    assert forwarding.take("r1") == "one\nzwölf\n?\n".encode()
    assert forwarding.take("r1") == b""


def test_invocations_are_kept_apart() -> None:
    forwarding = printed("one")
    forwarding.add(LogLine("r2", "fn", "two"))
    assert forwarding.take_all() == {"r1": b"one\n", "r2": b"two\n"}
    assert forwarding.take_all() == {}


def test_lines_outside_an_invocation_have_nobody_to_go_to() -> None:
    assert printed("importing", request_id="").take_all() == {}


def test_ten_megabytes_are_cut_to_one_message_that_says_so() -> None:
    taken = printed(*["x" * 99] * 100_000).take("r1")
    assert len(taken) <= CHUNK_BYTES
    assert taken.startswith(b"x" * 99 + b"\n")
    kept = BYTES_A_SECOND // 100
    assert taken.splitlines()[-1].startswith(
        f"terralive: {100_000 - kept} lines ({(100_000 - kept) * 100} bytes) are left out here".encode()
    )


def test_after_a_gap_the_next_second_has_room_again() -> None:
    forwarding = printed("x" * BYTES_A_SECOND, "short")
    assert forwarding.take("r1").startswith(b"terralive: 2 lines")
    forwarding.add(LogLine("r1", "fn", "again"))
    assert forwarding.take("r1") == b"again\n"
