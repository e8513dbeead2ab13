"""Decides an access request by policy documents, the way IAM does: pure, no lookups.

moto's own evaluation ignores resources for most services and answers a condition that does not hold
with a denial, so the sandbox decides itself. Supported: Effect, Action/NotAction,
Resource/NotResource, Principal and the condition operators of `_OPERATORS` (with `IfExists`). A
condition operator it does not know never holds for an Allow and always
holds for a Deny: never a made-up permission.

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


class Decision(Enum):
    """What the documents together say; NEUTRAL means that none of them speaks about the request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One action on one resource.

    Attributes:
        action: `service:Action`.
        resources: the ARNs that name the resource (one of them has to match); empty where the
            sandbox cannot tell, and then any Resource matches.
        principals: what a resource policy's Principal may name (a service, an ARN); identity
            policies have none.
        context: condition keys and their value.
    """

    action: str
    resources: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)


def decide(documents: Iterable[str], request: AccessRequest) -> Decision:
    """An explicit denial anywhere wins; then any permission; then nothing."""
    context = {key.lower(): value for key, value in request.context.items()}
    decision = Decision.NEUTRAL
    for document in documents:
        for statement in _statements(document):
            denies = statement.get("Effect") == "Deny"
            if not _speaks_about(statement, request) or not _conditions_hold(
                statement, context, unknown=denies
            ):
                continue
            if denies:
                return Decision.DENIED
            decision = Decision.ALLOWED
    return decision


@lru_cache(maxsize=512)
def _statements(document: str) -> tuple[Mapping[str, object], ...]:
    parsed = json.loads(document)
    statements = parsed.get("Statement", []) if isinstance(parsed, dict) else []
    return tuple(
        s
        for s in (statements if isinstance(statements, list) else [statements])
        if isinstance(s, dict)
    )


def _speaks_about(statement: Mapping[str, object], request: AccessRequest) -> bool:
    if "NotAction" in statement:
        if _any_matches(statement["NotAction"], (request.action,), ignore_case=True):
            return False
    elif not _any_matches(statement.get("Action"), (request.action,), ignore_case=True):
        return False
    if request.resources:
        if "NotResource" in statement:
            if _any_matches(statement["NotResource"], request.resources):
                return False
        elif "Resource" in statement and not _any_matches(statement["Resource"], request.resources):
            return False
    return not request.principals or _principal_matches(
        statement.get("Principal"), request.principals
    )


def _principal_matches(principal: object, names: tuple[str, ...]) -> bool:
    if principal == "*":
        return True
    if isinstance(principal, str):
        return principal in names
    if isinstance(principal, dict):
        return any(_any_matches(value, names) for value in principal.values())
    return False


def _any_matches(patterns: object, values: Iterable[str], *, ignore_case: bool = False) -> bool:
    return any(
        _pattern(pattern, ignore_case).fullmatch(value)
        for pattern in _strings(patterns)
        for value in values
    )


@lru_cache(maxsize=4096)
def _pattern(glob: str, ignore_case: bool) -> re.Pattern[str]:
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in glob)
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return () if value is None else (str(value).lower() if isinstance(value, bool) else str(value),)


def _equals(expected: str, actual: str) -> bool:
    return expected == actual


def _like(expected: str, actual: str) -> bool:
    return _pattern(expected, False).fullmatch(actual) is not None


def _same_text(expected: str, actual: str) -> bool:
    return expected.lower() == actual.lower()


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
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


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "stringequals": _equals,
    "stringequalsignorecase": _same_text,
    "stringlike": _like,
    "arnequals": _like,
    "arnlike": _like,
    "bool": _same_text,
    "numericequals": _number(eq),
    "numericlessthan": _number(lt),
    "numericlessthanequals": _number(le),
    "numericgreaterthan": _number(gt),
    "numericgreaterthanequals": _number(ge),
    "ipaddress": _in_network,
}


def _conditions_hold(
    statement: Mapping[str, object], context: Mapping[str, str], *, unknown: bool
) -> bool:
    conditions = statement.get("Condition")
    if not isinstance(conditions, dict):
        return True
    return all(
        _condition_holds(
            operator.lower(), key.lower(), _strings(expected), context, unknown=unknown
        )
        for operator, pairs in conditions.items()
        if isinstance(pairs, dict)
        for key, expected in pairs.items()
    )


def _condition_holds(
    operator: str, key: str, expected: tuple[str, ...], context: Mapping[str, str], *, unknown: bool
) -> bool:
    if operator == "null":
        return (key not in context) == (expected == ("true",))
    if_exists = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    negated = (
        operator.removeprefix("string")
        .removeprefix("arn")
        .removeprefix("numeric")
        .startswith("not")
    )
    compare = _OPERATORS.get(operator.replace("not", "", 1) if negated else operator)
    if compare is None:
        return unknown
    if key not in context:
        return if_exists or negated
    return any(compare(value, context[key]) for value in expected) != negated
