"""Every message survives the wire, and nothing that anybody can send does more than raise ProtocolError."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terralive_stub.limits import MESSAGE_BYTES
from terralive_stub.wire import _TYPES, Ack, Hello, Kind, Message, Missing, NoRelay, ProtocolError, decode, encode

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
_VALUES: dict[str, st.SearchStrategy[object]] = {
    "str": _TEXT,
    "int": st.integers(0, 2**53 - 1),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=200),
    "Kind": st.sampled_from(Kind),
    "tuple[str, ...]": st.lists(_TEXT, max_size=5).map(tuple),
    "tuple[int, ...]": st.lists(st.integers(0, 100), max_size=5).map(tuple),
}
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    [st.builds(kind, **{item.name: _VALUES[str(item.type)] for item in fields(kind)}) for kind in _TYPES.values()]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


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
@given(message=MESSAGES, data=st.data())
def test_a_message_with_one_field_spoiled_or_missing_is_refused_or_read(message: Message, data: st.DataObject) -> None:
    document = json.loads(encode(message))
    name = data.draw(st.sampled_from(sorted(document)))
    survives(json.dumps(document | {name: data.draw(_JSON)}))
    del document[name]
    survives(json.dumps(document))


@given(MESSAGES, st.integers(0, 400))
def test_a_truncated_message_is_refused(message: Message, length: int) -> None:
    text = encode(message)
    with pytest.raises(ProtocolError):
        decode(text[: min(length, len(text) - 1)])


@given(st.text(max_size=300))
def test_any_text_is_survived(text: str) -> None:
    survives(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"v":' + "[" * 500 + "]" * 500 + "}",
        '{"v":1,"action":' + '{"a":' * 400 + "1" + "}" * 400 + "}",
        '{"v":' + "1" * 5000 + "}",
        '{"v":true,"action":"ack","request_id":"a","function":"b"}',
        '{"v":1.0,"action":"ack","request_id":"a","function":"b"}',
        '{"v":1,"action":"ack","request_id":"\\ud800","function":"b"}',
        '{"v":1,"action":"missing","kind":"invoke","request_id":"a","function":"b","parts":[-1]}',
        '{"v":1,"action":"missing","kind":"other","request_id":"a","function":"b","parts":[]}',
        json.dumps({"v": 1, "action": "ack", "request_id": "a" * 5000, "function": "b"}),
        " " * (MESSAGE_BYTES + 1),
        '{"message": "Internal server error", "connectionId":"a", "requestId":"b"}',
    ],
)
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
