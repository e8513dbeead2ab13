from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.faults import (
    PASSES,
    ConnectionChoice,
    Direction,
    Fate,
    FaultRule,
    FaultRules,
    InvalidRuleError,
    Kind,
)

IN, OUT = Direction.IN, Direction.OUT


def rules(*given_rules: FaultRule) -> FaultRules:
    made = FaultRules(lambda seed: Random(seed).random)
    for rule in given_rules:
        made.set(rule)
    return made


def test_without_rules_everything_passes() -> None:
    assert rules().on_message(IN, "a", "live") is PASSES
    assert rules().on_invoke("broker") is None


def test_a_rule_meets_the_messages_of_its_api_stage_and_direction_only() -> None:
    made = rules(FaultRule(kind=Kind.DROP, api="a", stage="re*", direction=OUT))
    assert made.on_message(OUT, "a", "relay") == Fate(copies=0)
    for other in ((IN, "a", "relay"), (OUT, "b", "relay"), (OUT, "a", "stub")):
        assert made.on_message(*other) == PASSES
    assert made.on_invoke("a") is None


def test_several_rules_make_one_fate() -> None:
    made = rules(
        FaultRule(kind=Kind.DELAY, seconds=2), FaultRule(kind=Kind.DELAY, seconds=0.5), FaultRule(kind=Kind.DUPLICATE),
        FaultRule(kind=Kind.REORDER, seconds=3), FaultRule(kind=Kind.REFUSE, direction=IN),
    )  # fmt: skip
    assert made.on_message(OUT, "a", "s") == Fate(copies=2, delay=2.5, held=3)
    assert made.on_message(IN, "a", "s").refused


def test_a_rule_for_the_next_few_is_over_after_them() -> None:
    made = rules(FaultRule(kind=Kind.THROTTLE, function="orders-*", times=2))
    assert made.on_invoke("other") is None
    faults = [made.on_invoke("orders-broker") for _ in range(3)]
    assert [fault and (fault.status, fault.code) for fault in faults] == [(429, "TooManyRequestsException")] * 2 + [
        None
    ]
    (listed,) = made.listed()
    assert listed.acts == 2


def test_a_failure_is_the_functions_own_error_or_lambdas() -> None:
    failed = rules(FaultRule(kind=Kind.FAIL, function="f")).on_invoke("f")
    assert failed is not None
    assert failed.is_function_error
    assert json.loads(failed.body)["errorType"] == "Sandbox.FaultInjected"
    refused = rules(FaultRule(kind=Kind.UNAVAILABLE, function="*")).on_invoke("f")
    assert refused is not None
    assert (refused.is_function_error, refused.status, refused.code) == (False, 500, "ServiceException")


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[int]:
        made = rules(FaultRule(kind=Kind.DROP, probability=0.5, seed=seed))
        return [made.on_message(IN, "a", "s").copies for _ in range(64)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 0 < sum(run(1)) < 64


def test_rules_can_be_cleared_one_by_one_or_all_at_once() -> None:
    made = rules(FaultRule(kind=Kind.DROP), FaultRule(kind=Kind.DELAY))
    first = made.listed()[0].id
    assert (made.clear(first), made.clear(first)) == (1, 0)
    assert [listed.rule.kind for listed in made.listed()] == [Kind.DELAY]
    assert (made.clear(), made.clear()) == (1, 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "The body is"),
        ("[]", "The body is"),
        ("[" * 100_000, "The body is"),
        ('{"kind": "explode"}', "one of delay"),
        ('{"function": "f"}', "The body is"),
        ('{"kind": "drop", "what": 1}', "The body is"),
        ('{"kind": "fail"}', "needs `function`"),
        ('{"kind": "drop", "function": "f"}', "takes no `function`"),
        ('{"kind": "fail", "function": "f", "api": "a"}', "takes no `api`"),
        ('{"kind": "drop", "probability": 2}', "from 0 to 1"),
        ('{"kind": "drop", "probability": NaN}', "from 0 to 1"),
        ('{"kind": "drop", "probability": true}', "wrong type"),
        ('{"kind": "delay", "seconds": Infinity}', "`seconds` is"),
        ('{"kind": "delay", "seconds": "1"}', "wrong type"),
        ('{"kind": "drop", "times": 0}', "`times` is"),
        ('{"kind": "drop", "direction": "up"}', "The body is"),
    ],
)
def test_a_bad_rule_is_refused_with_what_is_expected(text: str, says: str) -> None:
    with pytest.raises(InvalidRuleError, match=says):
        FaultRule.from_json(text)


@given(
    st.builds(
        FaultRule,
        kind=st.sampled_from([Kind.DELAY, Kind.DUPLICATE, Kind.REORDER, Kind.DROP, Kind.REFUSE]),
        api=st.text(), stage=st.text(), direction=st.none() | st.sampled_from(Direction),
        probability=st.floats(0, 1), times=st.none() | st.integers(1), seconds=st.floats(0, 3600), seed=st.integers(),
    )
)  # fmt: skip
def test_a_rule_survives_its_json(rule: FaultRule) -> None:
    assert FaultRule.from_json(json.dumps(rule.to_json())) == rule


def test_connections_are_chosen_by_id_api_and_stage() -> None:
    everything = ConnectionChoice.from_json("")
    assert everything.is_everything
    assert everything.includes("c", "a", "s")
    some = ConnectionChoice.from_json('{"connections": ["c"], "stage": "re*"}')
    assert not some.is_everything
    assert [some.includes(*c) for c in (("c", "a", "relay"), ("d", "a", "relay"), ("c", "a", "stub"))] == [
        True,
        False,
        False,
    ]
    assert ConnectionChoice.from_json(json.dumps(some.to_json())) == some
    assert not ConnectionChoice.from_json('{"connections": []}').includes("c", "a", "s")
    for bad in ("[]", "{", '{"what": 1}', '{"connections": "c"}', '{"stage": null}'):
        with pytest.raises(InvalidRuleError, match="The body is"):
            ConnectionChoice.from_json(bad)
