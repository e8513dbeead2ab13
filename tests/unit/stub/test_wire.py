"""Every message survives the wire, and a malformed one raises nothing but ProtocolError."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terralive_stub.protocol.limits import MESSAGE_BYTES
from terralive_stub.protocol.messages import (
    Ack,
    Hello,
    Kind,
    Message,
    Missing,
    NoRelay,
    ProtocolError,
)
from terralive_stub.protocol.wire import decode, encode
from terralive_testing.fakes.messages import MESSAGES, SPOILED, TEXTS, UNREADABLE


def survives(text: str) -> None:
    try:
        decode(text)
    except ProtocolError:
        return


@given(MESSAGES)
def test_every_message_arrives_as_it_was_sent(message: Message) -> None:
    assert decode(encode(message)) == message


@given(MESSAGES)
def test_a_later_versions_further_fields_are_ignored(message: Message) -> None:
    assert decode(json.dumps(json.loads(encode(message)) | {"later": [1]})) == message


@settings(max_examples=300)
@given(SPOILED)
def test_a_message_with_one_field_spoiled_or_missing_is_refused_or_read(text: str) -> None:
    survives(text)


@given(TEXTS)
def test_what_could_be_read_can_be_passed_on(text: str) -> None:
    """A message within API Gateway's limit must not grow beyond it at the next sender.

    That sender's session would end.
    """
    try:
        message = decode(text)
    except ProtocolError:
        return
    assert decode(encode(message)) == message


@given(MESSAGES, st.integers(0, 400))
def test_a_truncated_message_is_refused(message: Message, length: int) -> None:
    text = encode(message)
    with pytest.raises(ProtocolError):
        decode(text[: min(length, len(text) - 1)])


@given(st.text(max_size=300))
def test_any_text_is_survived(text: str) -> None:
    survives(text)


@pytest.mark.parametrize("text", UNREADABLE)
def test_hostile_messages_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode(text)


@pytest.mark.parametrize(
    "message",
    [
        Ack("r" * 36, "f" * 140, "p" * 40),
        Missing(Kind.INVOKE, "r" * 36, "f" * 140, tuple(range(100)), "p" * 40),
        NoRelay("r" * 36, "ö" * 256, "𝔪" * 256, 2**52, 2**52, 1000, "unreachable"),
        Hello("l" * 36, tuple("f" * 64 for _ in range(1000)), "ö" * 256, "𝔪" * 256),
    ],
)
def test_the_largest_messages_that_aws_can_cause_fit(message: Message) -> None:
    assert len(encode(message)) <= MESSAGE_BYTES


def test_a_message_too_large_for_api_gateway_is_never_sent() -> None:
    with pytest.raises(ProtocolError):
        encode(Hello("l", tuple("f" * 140 for _ in range(1000)), "o", "m"))
