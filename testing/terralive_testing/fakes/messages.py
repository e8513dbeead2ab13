"""Hypothesis strategies of the wire protocol.

Every message with arbitrary values, and texts that are no messages.
"""

from __future__ import annotations

import json
from dataclasses import fields

from hypothesis import strategies as st

from terralive_stub.protocol.limits import MESSAGE_BYTES
from terralive_stub.protocol.messages import Kind, Message
from terralive_stub.protocol.wire import MESSAGE_TYPES, encode

# The words that the tests' sessions know, so that a message now and then is about something that
# exists.
WORDS = (
    "",
    "life",
    "fn",
    "other",
    "running",
    "c1",
    "stub1",
    "relay1",
    "raw",
    "zlib",
    "no-lease",
    "not-served",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50) | st.sampled_from(
    ["\x00", "\x1b]52;c;aGk=\x07", "\u202eevil", "ana\r\nError: gone", "\U0001f4a3" * 4096]
)
NAMES = st.sampled_from(WORDS) | st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=256
)
NUMBERS = (
    st.integers(0, 3)
    | st.sampled_from([96_000, 96_001, 7_340_032, 7_340_033, 2**53 - 1])
    | st.integers(0, 2**53 - 1)
)
_VALUES: dict[str, st.SearchStrategy[object]] = {
    "str": TEXT,
    "Name": NAMES,
    "int": NUMBERS,
    "bool": st.booleans(),
    "bytes": st.binary(max_size=200),
    "Kind": st.sampled_from(Kind),
    "Mapping[Name, Name]": st.dictionaries(NAMES, NAMES, max_size=3),
    "tuple[Name, ...]": st.lists(NAMES, max_size=5).map(tuple),
    "tuple[int, ...]": st.lists(NUMBERS, max_size=5, unique=True).map(tuple)
    | st.integers(0, 4096).map(range).map(tuple),
}
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    [
        st.builds(kind, **{item.name: _VALUES[str(item.type)] for item in fields(kind)})
        for kind in MESSAGE_TYPES.values()
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def _spoiled(draw: st.DrawFn) -> str:
    """A message with one field of another value, or without it."""
    document = json.loads(encode(draw(MESSAGES)))
    name = draw(st.sampled_from(sorted(document)))
    if draw(st.booleans()):
        return json.dumps(document | {name: draw(JSON)})
    del document[name]
    return json.dumps(document)


SPOILED: st.SearchStrategy[str] = _spoiled()
UNREADABLE = (
    "",
    "{",
    "null",
    "[" * 100_000,
    '{"v":' + "[" * 500 + "]" * 500 + "}",
    '{"v":2,"action":' + '{"a":' * 400 + "1" + "}" * 400 + "}",
    '{"v":' + "1" * 5000 + "}",
    '{"v":3,"action":"ack"}',
    '{"v":2,"action":[[]]}',
    '{"v":true,"action":"ack","request_id":"a","function":"b"}',
    '{"v":2.0,"action":"ack","request_id":"a","function":"b"}',
    '{"v":2,"action":"ack","request_id":"\\ud800","function":"b"}',
    '{"v":2,"action":"ack","request_id":"a\\r\\nb: c","function":"b"}',
    '{"v":2,"action":"ack","request_id":"a\\u0000","function":"b"}',
    '{"v":2,"action":"taken-over","owner":"\\ud800","machine":"b"}',
    '{"v":2,"action":"missing","kind":"invoke","request_id":"a","function":"b","parts":[-1]}',
    '{"v":2,"action":"missing","kind":"invoke","request_id":"a","function":"b","parts":[0,1,0]}',
    '{"v":2,"action":"missing","kind":"other","request_id":"a","function":"b","parts":[]}',
    json.dumps({"v": 2, "action": "ack", "request_id": "a" * 257, "function": "b"}),
    json.dumps({"v": 2, "action": "taken-over", "owner": "a" * 4097, "machine": "b"}),
    " " * (MESSAGE_BYTES + 1),
    '{"message": "Internal server error", "connectionId":"a", "requestId":"b"}',
)
TEXTS: st.SearchStrategy[str] = (
    MESSAGES.map(encode) | SPOILED | st.sampled_from(UNREADABLE) | st.text(max_size=300)
)
