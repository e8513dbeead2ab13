"""Refusals that the sandbox keeps for `terralive start`."""

from __future__ import annotations

import pytest

from terralive_sandbox.refusals import Refusals


def texts(refusals: Refusals, after: int = 0) -> list[str]:
    listed = refusals.to_json(after)["refusals"]
    assert isinstance(listed, list)
    return [refusal["text"] for refusal in listed]


def test_a_reader_gets_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    refusals = Refusals()
    assert refusals.to_json(0) == {"last": 0, "refusals": []}
    refusals.add("one")
    refusals.add("two")
    assert refusals.to_json(1) == {"last": 2, "refusals": [{"number": 2, "text": "two"}]}
    assert texts(refusals, 2) == []
    assert capsys.readouterr().err == "one\ntwo\n", "the log has them, too"


def test_a_refusal_that_comes_every_second_is_reported_once_a_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    refusals = Refusals()
    for _ in range(3):
        refusals.add("again")
        refusals.add("other")
    assert texts(refusals) == ["again", "other"]
    assert capsys.readouterr().err.count("again") == 3, "the log has every one"


def test_only_the_latest_refusals_are_kept() -> None:
    refusals = Refusals()
    for number in range(1000):
        refusals.add(str(number))
    assert texts(refusals)[-1] == "999"
    assert len(texts(refusals)) == 200
