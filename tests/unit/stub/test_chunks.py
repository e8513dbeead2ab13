"""Payloads survive any order and repetition of their chunks.

No peer makes a session hold more than its bound.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terralive_stub.protocol.chunks import CHUNK_BYTES, PAYLOAD_BYTES, ZLIB, Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.limits import MESSAGE_BYTES, SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.protocol.messages import Chunk, Kind, ProtocolError
from terralive_stub.protocol.payloads import (
    pack_invocation,
    pack_outcome,
    unpack_invocation,
    unpack_outcome,
)
from terralive_stub.protocol.wire import decode, encode


def payload_of(size: int, seed: int, *, noisy: bool) -> bytes:
    return random.Random(seed).randbytes(size) if noisy else b'{"key":"value"},' * (size // 16 + 1)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 400_000),
    seed=st.integers(0, 999),
    noisy=st.booleans(),
    repeats=st.integers(0, 5),
)
def test_a_payload_arrives_whole_in_any_order_and_with_repeats(
    size: int, seed: int, noisy: bool, repeats: int
) -> None:
    payload = payload_of(size, seed, noisy=noisy)
    chunks = list(split(Kind.INVOKE, "id", "fn", payload))
    dice = random.Random(seed)
    early = chunks[:-1]
    order = [*early, *dice.choices(early, k=repeats if early else 0)]
    dice.shuffle(order)
    assembler = Assembler()
    assert [assembler.add(chunk, 0.0) for chunk in order] == [None] * len(order)
    assert assembler.add(chunks[-1], 0.0) == payload


def test_a_tenant_travels_and_a_stub_of_a_former_version_has_none() -> None:
    invocation = Invocation("r1", "fn", "arn", Deadline(1.0), b"{}", tenant_id="blue")
    payload = pack_invocation(invocation, now=0.0)
    assert unpack_invocation(payload, now=0.0).tenant_id == "blue"
    former = payload.replace(b', "tenant_id": "blue"', b"").replace(b',"tenant_id":"blue"', b"")
    assert former != payload
    assert unpack_invocation(former, now=0.0).tenant_id == ""


@pytest.mark.parametrize("noisy", [True, False])
def test_events_at_lambdas_limit_fit_api_gateways_messages(*, noisy: bool) -> None:
    event = payload_of(SYNCHRONOUS_PAYLOAD_BYTES, 1, noisy=noisy)[:SYNCHRONOUS_PAYLOAD_BYTES]
    invocation = Invocation(
        "r" * 36, "f" * 140, "a" * 200, Deadline(1.0), event, {"KEY": "v" * 4000}
    )
    payload = pack_invocation(invocation, now=0.0)
    assembler, whole = Assembler(), None
    for chunk in split(Kind.INVOKE, "r" * 36, "f" * 140, payload, peer="p" * 40):
        text = encode(chunk)
        assert len(text) <= MESSAGE_BYTES
        received = decode(text)
        assert isinstance(received, Chunk)
        whole = assembler.add(received, 0.0)
    assert whole is not None
    assert unpack_invocation(whole, now=5.0).event == event


@pytest.mark.parametrize("extra", [0, 1])
def test_a_compressed_payload_may_be_as_large_as_the_limit_and_not_a_byte_larger(
    extra: int,
) -> None:
    data = zlib.compress(bytes(PAYLOAD_BYTES + extra), 9)
    assert len(data) < CHUNK_BYTES
    chunk = Chunk(Kind.RESULT, "id", "fn", 0, 1, len(data), ZLIB, data)
    if extra:
        with pytest.raises(ProtocolError):
            Assembler().add(chunk, 0.0)
    else:
        assert Assembler().add(chunk, 0.0) == bytes(PAYLOAD_BYTES)


@pytest.mark.parametrize(
    "data", [b"no zlib", zlib.compress(b"x")[:-1], zlib.compress(b"x") + b"more"]
)
def test_damaged_compressed_data_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Assembler().add(Chunk(Kind.RESULT, "id", "fn", 0, 1, len(data), ZLIB, data), 0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"part": 9},
        {"parts": 9},
        {"size": 10},
        {"size": PAYLOAD_BYTES + 1},
        {"encoding": "lzma"},
        {"data": b""},
    ],
)
def test_a_chunk_that_contradicts_itself_is_refused_and_changes_nothing(
    change: dict[str, object],
) -> None:
    first, second = split(Kind.INVOKE, "id", "fn", payload_of(CHUNK_BYTES + 7, 1, noisy=True))
    assembler = Assembler()
    assembler.add(first, 0.0)
    with pytest.raises(ProtocolError):
        assembler.add(replace(second, **change), 0.0)  # type: ignore[arg-type]  # one field at a time
    assert assembler.add(second, 0.0) is not None


def test_a_payload_packed_anew_counts_from_its_first_chunk() -> None:
    old = split(Kind.INVOKE, "id", "fn", payload_of(CHUNK_BYTES + 7, 1, noisy=True))
    payload = payload_of(CHUNK_BYTES + 8, 2, noisy=True)
    new = split(Kind.INVOKE, "id", "fn", payload)
    assembler = Assembler()
    assert [assembler.add(chunk, 0.0) for chunk in (old[0], new[1])] == [None, None]
    assert assembler.add(new[0], 0.0) == payload


def test_no_announcement_makes_the_assembler_hold_more_than_its_bound() -> None:
    def chunk(number: int, size: int) -> Chunk:
        return Chunk(
            Kind.INVOKE,
            f"id{number}",
            "fn",
            0,
            -(-size // CHUNK_BYTES),
            size,
            "raw",
            bytes(CHUNK_BYTES),
        )

    assembler = Assembler(most_bytes=1_000_000)
    for size in (
        CHUNK_BYTES + 1,
        400_000,
    ):  # small at first, then the same ones "packed anew", larger
        for number in range(50):
            assembler.add(chunk(number, size), float(number))
            assert assembler.stats().announced_bytes <= 1_000_000


def test_payloads_that_find_no_room_wait_and_finish_one_after_the_other() -> None:
    """As when many functions send megabytes at once: none of them pushes another out."""
    payloads = [payload_of(4 * CHUNK_BYTES, number, noisy=True) for number in range(8)]
    sent = [
        split(Kind.INVOKE, f"id{number}", "fn", payload) for number, payload in enumerate(payloads)
    ]
    assembler, now, finished = Assembler(most_bytes=9 * CHUNK_BYTES), 0.0, dict[str, bytes]()
    to_send = [
        chunk for parts in zip(*sent, strict=True) for chunk in parts
    ]  # all of them side by side
    told_to_wait = 0
    while to_send:
        for chunk in to_send:
            payload = assembler.add(chunk, now)
            if payload is not None:
                finished[chunk.request_id] = payload
        now += 1.0
        asked = list(assembler.stalled(now, after=1.0))
        told_to_wait += sum(not parts for _, parts in asked)
        to_send = [
            sent[int(first.request_id[2:])][part] for first, parts in asked for part in parts
        ]
    assert told_to_wait
    assert finished == {f"id{number}": payload for number, payload in enumerate(payloads)}


def test_a_payload_that_stands_still_gives_way() -> None:
    dead, alive = (
        split(Kind.INVOKE, name, "fn", payload_of(2 * CHUNK_BYTES, 1, noisy=True)) for name in "ab"
    )
    assembler = Assembler(most_bytes=3 * CHUNK_BYTES)
    assembler.add(dead[0], 0.0)
    assembler.add(alive[0], 1.0)
    assert ("b", ()) in [
        (first.request_id, parts) for first, parts in assembler.stalled(2.0, after=1.0)
    ]
    assert ("b", (0, 1)) in [
        (first.request_id, parts) for first, parts in assembler.stalled(6.0, after=1.0)
    ]


def test_what_is_unfinished_is_bounded_in_number_too() -> None:
    assembler = Assembler(most_bytes=0)
    (first, *_) = split(Kind.INVOKE, "id", "fn", payload_of(2 * CHUNK_BYTES, 1, noisy=True))
    flood = (
        assembler.add(replace(first, request_id=str(number)), 0.0) for number in range(100_000)
    )
    with pytest.raises(ProtocolError, match="unfinished"):
        list(flood)


def test_missing_parts_are_named_and_unfinished_payloads_are_forgotten() -> None:
    chunks = split(Kind.INVOKE, "id", "fn", payload_of(3 * CHUNK_BYTES, 1, noisy=True))
    assembler = Assembler()
    assembler.add(chunks[1], 0.0)
    assert list(assembler.stalled(0.5, after=1.0)) == []
    assert [parts for _, parts in assembler.stalled(1.0, after=1.0)] == [(0, 2)]
    assert assembler.expire(31.0, after=30.0) == ("id",)


@given(body=st.binary(max_size=300), error_type=st.text(max_size=30))
def test_outcomes_arrive_as_they_were(body: bytes, error_type: str) -> None:
    assert unpack_outcome(pack_outcome(Outcome(body, error_type))) == Outcome(body, error_type)


@given(payload=st.binary(max_size=200))
def test_a_hostile_payload_raises_nothing_but_a_protocol_error(payload: bytes) -> None:
    for read in (unpack_outcome, lambda data: unpack_invocation(data, now=0.0)):
        try:
            read(payload)
        except ProtocolError:
            continue


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]\n", b"{\n", b"{}\n", b"\xff\n", b"[" * 9999])
def test_a_payload_without_a_whole_header_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_outcome(payload)
    with pytest.raises(ProtocolError):
        unpack_invocation(payload, now=0.0)
