"""Decide an access request by policy documents, as IAM does. No I/O and no lookups.

moto's own evaluation ignores resources for most services, and denies where a condition does not
hold, so the sandbox decides itself. It knows Effect, Action/NotAction, Resource/NotResource,
Principal and the condition operators of `_OPERATORS` (with `IfExists`). A condition operator that
it does not know never holds for an Allow and always holds for a Deny: no permission is made up.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address, ip_network
from operator import eq, ge, gt, le, lt
from typing import Final, TypeAlias

from terralive_stub.shared.json_documents import as_object, section


class Decision(Enum):
    """The decision of some documents. NEUTRAL: no statement in them is about the request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One action on one resource."""

    # `service:Action`
    action: str
    # The ARNs that name the resource: one of them has to match. Empty where the sandbox cannot
    # tell the resource; then any Resource matches.
    resources: tuple[str, ...] = ()
    # The names for a resource policy's Principal (a service, ARNs). Identity policies have none.
    principals: tuple[str, ...] = ()
    # Condition keys and their values.
    context: Mapping[str, str] = field(default_factory=dict)


def decide(documents: Iterable[str], request: AccessRequest) -> Decision:
    """Evaluate policy documents (JSON text): a Deny in any of them wins, then an Allow."""
    context = {key.lower(): value for key, value in request.context.items()}
    decision = Decision.NEUTRAL
    for document in documents:
        for statement in _statements(document):
            denies = statement.get("Effect") == "Deny"
            if not _is_about(statement, request):
                continue
            if not _conditions_hold(statement, context, unknown=denies):
                continue
            if denies:
                return Decision.DENIED
            decision = Decision.ALLOWED
    return decision


def within_boundary(by_identity: Decision, by_boundary: Decision) -> Decision:
    """Return the decision of a caller's own policies and of its permissions boundary together.

    A boundary allows nothing. What it does not allow, the caller's own policies cannot allow.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """
    if Decision.DENIED in {by_identity, by_boundary}:
        return Decision.DENIED
    if by_boundary is Decision.NEUTRAL:
        return Decision.NEUTRAL
    return by_identity


def is_permitted(by_identity: Decision, by_resource: Decision, *, same_account: bool) -> bool:
    """Combine the decision of the caller's policies with that of the resource's own policy.

    Neither may deny. Within one account one of them has to allow; across accounts, both.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
    """
    decisions = {by_identity, by_resource}
    if Decision.DENIED in decisions:
        return False
    if same_account:
        return Decision.ALLOWED in decisions
    return decisions == {Decision.ALLOWED}


@lru_cache(maxsize=512)
def _statements(document: str) -> tuple[Mapping[str, object], ...]:
    """Return the statements of a document. A single one may stand without a list."""
    statements: object = as_object(json.loads(document)).get("Statement", [])
    if not isinstance(statements, list):
        statements = [statements]
    return tuple(statement for statement in statements if isinstance(statement, dict))


def _is_about(statement: Mapping[str, object], request: AccessRequest) -> bool:
    if not _action_matches(statement, request.action):
        return False
    if request.resources and not _resource_matches(statement, request.resources):
        return False
    if request.principals:
        return _principal_matches(statement.get("Principal"), request.principals)
    return True


def _action_matches(statement: Mapping[str, object], action: str) -> bool:
    if "NotAction" in statement:
        return not _any_matches(statement["NotAction"], (action,), ignore_case=True)
    return _any_matches(statement.get("Action"), (action,), ignore_case=True)


def _resource_matches(statement: Mapping[str, object], resources: tuple[str, ...]) -> bool:
    if "NotResource" in statement:
        return not _any_matches(statement["NotResource"], resources)
    if "Resource" in statement:
        return _any_matches(statement["Resource"], resources)
    return True  # a trust policy


def _principal_matches(principal: object, names: tuple[str, ...]) -> bool:
    if principal == "*":
        return True
    if isinstance(principal, str):
        return principal in names
    if isinstance(principal, dict):
        return any(_any_matches(value, names) for value in principal.values())
    return False


def _any_matches(patterns: object, values: Iterable[str], *, ignore_case: bool = False) -> bool:
    """Return whether one of the values matches one of the patterns."""
    for text in _strings(patterns):
        pattern = _pattern(text, ignore_case=ignore_case)
        if any(pattern.fullmatch(value) for value in values):
            return True
    return False


@lru_cache(maxsize=4096)
def _pattern(text: str, *, ignore_case: bool) -> re.Pattern[str]:
    """Compile a pattern of IAM: `*` is any text, `?` is any character."""
    expression = re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")
    flags = re.DOTALL
    if ignore_case:
        flags |= re.IGNORECASE
    return re.compile(expression, flags)


def _strings(value: object) -> tuple[str, ...]:
    """Return a document's value, or its list of values, as texts."""
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    if isinstance(value, bool):
        return (str(value).lower(),)
    return (str(value),)


_Comparison: TypeAlias = Callable[[str, str], bool]


def _like(expected: str, actual: str) -> bool:
    return _pattern(expected, ignore_case=False).fullmatch(actual) is not None


def _equals_ignoring_case(expected: str, actual: str) -> bool:
    return expected.lower() == actual.lower()


def _number(compare: Callable[[float, float], bool]) -> _Comparison:
    def holds(expected: str, actual: str) -> bool:
        try:
            return compare(float(actual), float(expected))
        except ValueError:
            return False

    return holds


def _in_network(expected: str, actual: str) -> bool:
    with suppress(ValueError):
        return ip_address(actual) in ip_network(expected, strict=False)
    return False


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
_OPERATORS: Final[Mapping[str, _Comparison]] = {
    "stringequals": eq,
    "stringequalsignorecase": _equals_ignoring_case,
    "stringlike": _like,
    "arnequals": _like,
    "arnlike": _like,
    "bool": _equals_ignoring_case,
    "numericequals": _number(eq),
    "numericlessthan": _number(lt),
    "numericlessthanequals": _number(le),
    "numericgreaterthan": _number(gt),
    "numericgreaterthanequals": _number(ge),
    "ipaddress": _in_network,
}
_NEGATED: Final = re.compile("(string|arn|numeric|)not(.*)")


def _conditions_hold(
    statement: Mapping[str, object], context: Mapping[str, str], *, unknown: bool
) -> bool:
    """Return whether all conditions of a statement hold.

    `unknown` is the result for an operator that the sandbox does not know. Keys of the context are
    in lower case.
    """
    for name, pairs in section(statement, "Condition").items():
        for key, value in as_object(pairs).items():
            expected = _strings(value)
            if not _condition_holds(name.lower(), key.lower(), expected, context, unknown=unknown):
                return False
    return True


def _condition_holds(
    operator: str, key: str, expected: tuple[str, ...], context: Mapping[str, str], *, unknown: bool
) -> bool:
    if operator == "null":
        return (key not in context) == (expected == ("true",))
    if_exists = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    negated = _NEGATED.fullmatch(operator)
    if negated:
        operator = negated[1] + negated[2]
    compare = _OPERATORS.get(operator)
    if compare is None:
        return unknown
    if key not in context:
        return if_exists or negated is not None
    matches = any(compare(value, context[key]) for value in expected)
    return matches != (negated is not None)
