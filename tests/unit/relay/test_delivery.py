"""An event's age and attempts, and the request ids that are remembered over restarts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_relay.describe.events import EventDescription, describe_event
from terralive_relay.session.journal import KEEP_MS, Journal, Seen

NOW_MS = 1_700_000_000_000


def delivery(event: EventDescription) -> tuple[int, int]:
    return event.attempt, event.sent_ms


def test_a_queues_message_has_its_number_of_receives_and_its_time() -> None:
    event = json.dumps(
        {
            "Records": [
                {"attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"}},
                {"attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1545082640000"}},
            ]
        }
    ).encode()
    assert delivery(describe_event(event, "")) == (3, 1545082640000)


def test_a_streams_record_has_its_time() -> None:
    event = b'{"Records": [{"dynamodb": {"ApproximateCreationDateTime": 1545082640.0}}]}'
    assert delivery(describe_event(event, "")) == (1, 1545082640000)


@pytest.mark.parametrize("trace", ["", "Root=1-zz", "Sampled=0", "Root=2-6554b0c0-0"])
def test_without_any_sign_nothing_is_claimed(trace: str) -> None:
    assert delivery(describe_event(b"{}", trace)) == (1, 0)


@given(
    value=st.recursive(
        st.none() | st.floats() | st.text() | st.integers(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["attributes", "dynamodb", "ApproximateReceiveCount", "SentTimestamp"]
                ),
                x,
            )
        ),
    )
)
def test_no_record_of_any_shape_raises(value: object) -> None:
    describe_event(json.dumps({"Records": [value]}).encode(), "Root=1-ffffffff-x")


def test_a_journal_remembers_over_restarts_survives_damage_and_forgets_in_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "work" / "invocations"
    first = Journal(path, NOW_MS)
    first.add("a", Seen(1, NOW_MS))
    first.add("a", Seen(2, NOW_MS))
    first.add("old", Seen(1, NOW_MS - KEEP_MS - 1))
    first.close()
    with path.open("a") as file:
        file.write("cut sho")
    for _ in range(2):
        again = Journal(path, NOW_MS)
        again.close()
        assert again.seen == {"a": Seen(2, NOW_MS)}


def test_a_journal_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "invocations", NOW_MS)
    journal.add("a", Seen(1, NOW_MS))
    journal.close()
    assert journal.seen == {}
