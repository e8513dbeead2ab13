"""The lines of a handler that go to CloudWatch, and the number of those left out."""

from __future__ import annotations

from terralive_relay.events import LogLine
from terralive_relay.session.forwarding import BYTES_A_SECOND, Forwarding
from terralive_stub.protocol.chunks import CHUNK_BYTES
from terralive_stub.protocol.invocation import Printed
from terralive_stub.protocol.payloads import pack_logs


def printed(*lines: str, request_id: str = "r1") -> Forwarding:
    forwarding = Forwarding()
    for line in lines:
        forwarding.add(LogLine(request_id, "fn", line))
    return forwarding


def test_lines_are_given_in_order_and_the_result_repeats_the_last_message() -> None:
    forwarding = printed("one", "zwölf", "\ud800")
    assert forwarding.next_messages() == {"r1": Printed(0, "one\nzwölf\n?\n")}
    assert forwarding.next_messages() == {}
    forwarding.add(LogLine("r1", "fn", "four"))
    assert forwarding.next_messages() == {"r1": Printed(12, "four\n")}
    forwarding.add(LogLine("r1", "fn", "five"))
    assert forwarding.end("r1") == Printed(12, "four\nfive\n")
    assert forwarding.end("r1") == Printed(0, "")


def test_invocations_are_kept_apart() -> None:
    forwarding = printed("one")
    forwarding.add(LogLine("r2", "fn", "two"))
    assert forwarding.next_messages() == {"r1": Printed(0, "one\n"), "r2": Printed(0, "two\n")}


def test_lines_outside_an_invocation_are_not_forwarded() -> None:
    assert printed("importing", request_id="").next_messages() == {}


def test_ten_megabytes_are_cut_to_one_message_that_says_so() -> None:
    message = printed(*["x" * 99] * 100_000).next_messages()["r1"]
    assert len(pack_logs(message)) <= CHUNK_BYTES
    assert message.text.startswith("x" * 99 + "\n")
    left_out = 100_000 - BYTES_A_SECOND // 100
    said = f"terralive: {left_out} lines ({left_out * 100} bytes) are left out here"
    assert message.text.splitlines()[-1].startswith(said)


def test_after_a_gap_the_next_second_is_forwarded_again() -> None:
    forwarding = printed("x" * BYTES_A_SECOND, "short")
    first = forwarding.next_messages()["r1"].text
    assert first.startswith("terralive: 2 lines")
    forwarding.add(LogLine("r1", "fn", "again"))
    assert forwarding.next_messages() == {"r1": Printed(len(first), "again\n")}
