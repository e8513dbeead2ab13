"""Fault rules: which messages and invocations they act on, and how they are read."""

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


def rules(*given: FaultRule) -> FaultRules:
    """Return fault rules with these rules set."""
    fault_rules = FaultRules()
    for rule in given:
        fault_rules.set(rule)
    return fault_rules


def test_without_rules_everything_passes() -> None:
    assert rules().on_message(IN, "a", "live") is NO_FAULT
    assert rules().on_invoke("broker") is None


def test_a_rule_acts_only_on_messages_of_its_api_stage_and_direction() -> None:
    fault_rules = rules(FaultRule(kind=FaultKind.DROP, api="a", stage="re*", direction=OUT))
    assert fault_rules.on_message(OUT, "a", "relay") == MessageFault(copies=0)
    for other in ((IN, "a", "relay"), (OUT, "b", "relay"), (OUT, "a", "stub")):
        assert fault_rules.on_message(*other) == NO_FAULT
    assert fault_rules.on_invoke("a") is None


def test_several_rules_act_on_one_message() -> None:
    fault_rules = rules(
        FaultRule(kind=FaultKind.DELAY, seconds=2),
        FaultRule(kind=FaultKind.DELAY, seconds=0.5),
        FaultRule(kind=FaultKind.DUPLICATE),
        FaultRule(kind=FaultKind.REORDER, seconds=3),
        FaultRule(kind=FaultKind.DROP, direction=IN),
    )
    assert fault_rules.on_message(OUT, "a", "s") == MessageFault(copies=2, delay=2.5, held=3)
    assert fault_rules.on_message(IN, "a", "s").copies == 0


def test_a_rule_for_the_next_invocations_ends_after_them() -> None:
    fault_rules = rules(FaultRule(kind=FaultKind.THROTTLE, function="orders-*", times=2))
    assert fault_rules.on_invoke("other") is None
    faults = [fault_rules.on_invoke("orders-broker") for _ in range(3)]
    assert faults == [FaultKind.THROTTLE, FaultKind.THROTTLE, None]
    (listed,) = fault_rules.listed()
    assert listed["acts"] == 2


def test_rules_can_be_cleared_one_by_one_or_all_at_once() -> None:
    fault_rules = rules(FaultRule(kind=FaultKind.DROP), FaultRule(kind=FaultKind.DELAY))
    first = str(fault_rules.listed()[0]["id"])
    assert (fault_rules.clear(first), fault_rules.clear(first)) == (1, 0)
    assert [listed["kind"] for listed in fault_rules.listed()] == [FaultKind.DELAY]
    assert (fault_rules.clear(), fault_rules.clear()) == (1, 0)


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


def test_a_rule_is_read_from_json() -> None:
    text = (
        '{"kind": "delay", "api": "a", "stage": null, "direction": "in", "times": 2, '
        '"seconds": 0.5}'
    )
    rule = FaultRule(kind=FaultKind.DELAY, api="a", direction=IN, times=2, seconds=0.5)
    assert FaultRule.from_json(text) == rule


def test_connections_are_chosen_by_id_api_and_stage() -> None:
    everything = ConnectionChoice.from_json("")
    assert everything.includes("c", "a", "s")
    some = ConnectionChoice.from_json('{"connections": ["c"], "stage": "re*"}')
    assert some.includes("c", "a", "relay")
    assert not some.includes("d", "a", "relay")
    assert not some.includes("c", "a", "stub")
    assert not ConnectionChoice.from_json('{"connections": []}').includes("c", "a", "s")
    for bad in ("[]", "{", '{"what": 1}', '{"connections": "c"}', '{"stage": 1}'):
        with pytest.raises(InvalidRuleError, match="The body is"):
            ConnectionChoice.from_json(bad)
