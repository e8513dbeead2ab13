from __future__ import annotations

import pytest

from terralive_sandbox.faults import (
    NO_FAULT,
    ConnectionChoice,
    Direction,
    FaultKind,
    FaultRule,
    FaultRules,
    InvalidRuleError,
    MessageFault,
)

IN, OUT = Direction.IN, Direction.OUT


def rules(*given_rules: FaultRule) -> FaultRules:
    made = FaultRules()
    for rule in given_rules:
        made.set(rule)
    return made


def test_without_rules_everything_passes() -> None:
    assert rules().on_message(IN, "a", "live") is NO_FAULT
    assert rules().on_invoke("broker") is None


def test_a_rule_meets_the_messages_of_its_api_stage_and_direction_only() -> None:
    made = rules(FaultRule(kind=FaultKind.DROP, api="a", stage="re*", direction=OUT))
    assert made.on_message(OUT, "a", "relay") == MessageFault(copies=0)
    for other in ((IN, "a", "relay"), (OUT, "b", "relay"), (OUT, "a", "stub")):
        assert made.on_message(*other) == NO_FAULT
    assert made.on_invoke("a") is None


def test_several_rules_act_on_one_message() -> None:
    made = rules(
        FaultRule(kind=FaultKind.DELAY, seconds=2), FaultRule(kind=FaultKind.DELAY, seconds=0.5), FaultRule(kind=FaultKind.DUPLICATE),
        FaultRule(kind=FaultKind.REORDER, seconds=3), FaultRule(kind=FaultKind.DROP, direction=IN),
    )  # fmt: skip
    assert made.on_message(OUT, "a", "s") == MessageFault(copies=2, delay=2.5, held=3)
    assert made.on_message(IN, "a", "s").copies == 0


def test_a_rule_for_the_next_few_is_over_after_them() -> None:
    made = rules(FaultRule(kind=FaultKind.THROTTLE, function="orders-*", times=2))
    assert made.on_invoke("other") is None
    faults = [made.on_invoke("orders-broker") for _ in range(3)]
    assert faults == [FaultKind.THROTTLE, FaultKind.THROTTLE, None]
    (listed,) = made.listed()
    assert listed["acts"] == 2


def test_rules_can_be_cleared_one_by_one_or_all_at_once() -> None:
    made = rules(FaultRule(kind=FaultKind.DROP), FaultRule(kind=FaultKind.DELAY))
    first = str(made.listed()[0]["id"])
    assert (made.clear(first), made.clear(first)) == (1, 0)
    assert [listed["kind"] for listed in made.listed()] == [FaultKind.DELAY]
    assert (made.clear(), made.clear()) == (1, 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "The body is"),
        ("[]", "The body is"),
        ("[" * 100_000, "The body is"),
        ('{"kind": "explode"}', "one of delay"),
        ('{"kind": "refuse"}', "one of delay"),
        ('{"kind": []}', "one of delay"),
        ('{"kind": null}', "one of delay"),
        ('{"function": "f"}', "one of delay"),
        ('{"kind": "drop", "what": 1}', "The body is"),
        ('{"kind": "fail"}', "needs `function`"),
        ('{"kind": "drop", "function": "f"}', "takes no `function`"),
        ('{"kind": "fail", "function": "f", "api": "a"}', "takes no `api`"),
        ('{"kind": "drop", "probability": 0.5}', "The body is"),
        ('{"kind": "delay", "seconds": NaN}', "`seconds` is a number"),
        ('{"kind": "delay", "seconds": true}', "`seconds` is a number"),
        ('{"kind": "drop", "times": 1.5}', "`times` is"),
        ('{"kind": "delay", "seconds": Infinity}', "`seconds` is a number"),
        ('{"kind": "delay", "seconds": "1"}', "The body is"),
        ('{"kind": "drop", "times": 0}', "`times` is"),
        ('{"kind": "drop", "direction": "up"}', "The body is"),
    ],
)
def test_a_bad_rule_is_refused_with_what_is_expected(text: str, says: str) -> None:
    with pytest.raises(InvalidRuleError, match=says):
        FaultRule.from_json(text)


def test_a_rule_is_what_its_json_says() -> None:
    text = '{"kind": "delay", "api": "a", "stage": null, "direction": "in", "times": 2, "seconds": 0.5}'
    rule = FaultRule(kind=FaultKind.DELAY, api="a", direction=IN, times=2, seconds=0.5)
    assert FaultRule.from_json(text) == rule


def test_connections_are_chosen_by_id_api_and_stage() -> None:
    everything = ConnectionChoice.from_json("")
    assert everything.includes("c", "a", "s")
    some = ConnectionChoice.from_json('{"connections": ["c"], "stage": "re*"}')
    assert [
        some.includes(*c) for c in (("c", "a", "relay"), ("d", "a", "relay"), ("c", "a", "stub"))
    ] == [
        True,
        False,
        False,
    ]
    assert not ConnectionChoice.from_json('{"connections": []}').includes("c", "a", "s")
    for bad in ("[]", "{", '{"what": 1}', '{"connections": "c"}', '{"stage": 1}'):
        with pytest.raises(InvalidRuleError, match="The body is"):
            ConnectionChoice.from_json(bad)
