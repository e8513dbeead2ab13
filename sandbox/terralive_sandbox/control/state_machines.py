"""Definitions of state machines: the mistakes for which Step Functions refuses one. No I/O.

It checks the structure: states, their required fields, and transitions. It does not check paths,
expressions and the arguments of service integrations, because no state ever runs here.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

# Type of a state -> the fields that it needs. Of the fields in one group, it needs one.
_REQUIRED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "Task": (("Resource",),),
    "Pass": (),
    "Choice": (("Choices",),),
    "Wait": (("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),),
    "Succeed": (),
    "Fail": (),
    "Parallel": (("Branches",),),
    "Map": (("ItemProcessor", "Iterator"),),
}
# States of these types have no `Next` and no `End`.
_WITHOUT_NEXT: Final = frozenset({"Choice", "Succeed", "Fail"})
_SCHEMA: Final = "SCHEMA_VALIDATION_FAILED"
_TARGET: Final = "MISSING_TRANSITION_TARGET"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake, as Step Functions reports it.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinitionDiagnostic.html

    Attributes:
        code: its kind.
        message: the sandbox's own words; AWS promises none.
        location: the path of the state or field.
    """

    code: str
    message: str
    location: str = "/"


def diagnose(definition: str) -> list[Diagnostic]:
    """Return the mistakes of a definition."""
    if not definition.strip():
        return [Diagnostic("MISSING_DESCRIPTION", "The definition is empty.")]
    try:
        document: object = json.loads(definition)
    except ValueError as error:
        return [Diagnostic("INVALID_JSON_DESCRIPTION", str(error))]
    return list(_of_workflow(document, ""))


def _of_workflow(workflow: object, at: str) -> Iterator[Diagnostic]:
    """Yield the mistakes of a state machine, a branch or an item processor."""
    if not isinstance(workflow, dict):
        yield Diagnostic(_SCHEMA, "It has to be a JSON object", at or "/")
        return
    missing = [field for field in ("StartAt", "States") if not workflow.get(field)]
    if missing:
        yield Diagnostic(_SCHEMA, _required(missing), at or "/")
        return
    start, states = workflow["StartAt"], workflow["States"]
    if not isinstance(start, str) or not isinstance(states, dict):
        yield Diagnostic(_SCHEMA, "StartAt is a string and States an object", at or "/")
        return
    targets = {f"{at}/StartAt": start}
    for name, state in states.items():
        here = f"{at}/States/{name}"
        if not isinstance(state, dict):
            yield Diagnostic(_SCHEMA, "A state has to be a JSON object", here)
            continue
        yield from _of_state(state, here)
        targets |= dict(_transitions(state, here))
    yield from _of_transitions(states, targets, at)


def _of_transitions(
    states: Iterable[str], targets: Mapping[str, str], at: str
) -> Iterator[Diagnostic]:
    """Yield the mistakes of the transitions of a workflow.

    Args:
        states: the names of its states.
        targets: the name of the state that follows, by the location that says so.
        at: the location of the workflow.
    """
    for location, target in targets.items():
        if target not in states:
            yield Diagnostic(_TARGET, f"Missing 'Next' target: {target}", location)
    for name in states:
        if name not in targets.values():
            yield Diagnostic(_TARGET, f'State "{name}" is not reachable.', f"{at}/States/{name}")


def _of_state(state: Mapping[str, object], at: str) -> Iterator[Diagnostic]:
    """Yield the mistakes of one state, without the targets of its transitions."""
    kind = state.get("Type")
    if not isinstance(kind, str) or kind not in _REQUIRED:
        yield Diagnostic(_SCHEMA, f"Type has to be one of: {', '.join(_REQUIRED)}", at)
        return
    missing = [" or ".join(group) for group in _REQUIRED[kind] if not _has_one(state, group)]
    if missing:
        yield Diagnostic(_SCHEMA, _required(missing), at)
    ends = [field for field in ("Next", "End") if field in state]
    if kind in _WITHOUT_NEXT:
        if ends:
            yield Diagnostic(_SCHEMA, f"Field is not supported: {ends[0]}", at)
    elif len(ends) != 1:
        yield Diagnostic(_SCHEMA, "A state needs either Next or End", at)
    if kind == "Choice":
        yield from _of_choices(state, at)
    for location, workflow in _workflows_in(state, at):
        yield from _of_workflow(workflow, location)


def _workflows_in(state: Mapping[str, object], at: str) -> Iterator[tuple[str, object]]:
    """Yield the locations and definitions of a state's branches and item processors."""
    for number, branch in enumerate(_items(state.get("Branches"))):
        yield f"{at}/Branches[{number}]", branch
    for field in ("ItemProcessor", "Iterator"):
        if field in state:
            yield f"{at}/{field}", state[field]


def _of_choices(state: Mapping[str, object], at: str) -> Iterator[Diagnostic]:
    """Yield the mistakes of the rules of a Choice state."""
    for number, rule in enumerate(_items(state.get("Choices"))):
        if not isinstance(rule, dict) or "Next" not in rule:
            yield Diagnostic(_SCHEMA, _required(["Next"]), f"{at}/Choices[{number}]")


def _has_one(state: Mapping[str, object], fields: tuple[str, ...]) -> bool:
    """Return true if one of these fields has a value."""
    return any(state.get(field) not in (None, "", [], {}) for field in fields)


def _transitions(state: Mapping[str, object], at: str) -> Iterator[tuple[str, str]]:
    """Yield the locations and names of the states that may follow a state."""
    for field in ("Next", "Default"):
        if field in state:
            yield f"{at}/{field}", str(state[field])
    for field in ("Choices", "Catch"):
        for number, rule in enumerate(_items(state.get(field))):
            if isinstance(rule, dict) and "Next" in rule:
                yield f"{at}/{field}[{number}]/Next", str(rule["Next"])


def _items(value: object) -> list[object]:
    """Return a list, and an empty one for everything else."""
    if isinstance(value, list):
        return value
    return []


def _required(fields: list[str]) -> str:
    return f"These fields are required: [{', '.join(fields)}]"
