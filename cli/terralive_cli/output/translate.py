"""Turns what the parts report (the relay's events, Terraform's progress) into the command line's events. Pure."""

from __future__ import annotations

from terralive_cli.output.events import (
    Connection,
    Event,
    InvocationEvent,
    Log,
    Reload,
    Result,
    Stack,
    StackState,
    Warning_,
)
from terralive_relay.events import (
    ConnectionChanged,
    InvocationFinished,
    InvocationStarted,
    LogLine,
    RelayEvent,
    Reloaded,
    Warned,
)
from terralive_terraform.runs.progress import (
    Diagnostic,
    Note,
    PlannedChange,
    Progress,
    ResourceCompleted,
    ResourceFailed,
    ResourceProgressed,
    ResourceStarted,
    Summary,
)


def from_relay(event: RelayEvent) -> Event:
    """Give the event that the relay's event is to a user."""
    match event:
        case ConnectionChanged():
            return Connection(
                state=event.state.value, reason=event.reason, retry_in_s=event.retry_in_s
            )
        case InvocationStarted():
            return InvocationEvent(
                request_id=event.request_id,
                function=event.function,
                trigger=event.trigger,
                summary=event.summary,
                attempt=event.attempt,
                age_s=event.age_s,
            )
        case LogLine():
            return Log(
                request_id=event.request_id,
                function=event.function,
                line=event.line,
                stream=event.stream,
            )
        case InvocationFinished():
            return Result(
                request_id=event.request_id,
                function=event.function,
                ok=event.ok,
                error_type=event.error_type,
                handler_ms=event.handler_ms,
                error_message=event.error_message,
                stack=event.stack,
                waited_ms=event.waited_ms,
            )
        case Reloaded():
            return Reload(function=event.function, paths=event.paths)
        case Warned():
            return Warning_(
                reference=event.reference, message=event.message, function=event.function
            )


def from_terraform(phase: str, progress: Progress) -> Event | None:  # noqa: PLR0911 - one case per kind
    """Give the event of one line of Terraform's; None for what is said elsewhere.

    Errors among the diagnostics are None: the runner raises them, and a user should read them once.
    """
    match progress:
        case PlannedChange():
            return None
        case ResourceStarted():
            return _resource(phase, progress, StackState.STARTED)
        case ResourceProgressed():
            return _resource(phase, progress, StackState.PROGRESS, progress.elapsed_s)
        case ResourceCompleted():
            return _resource(phase, progress, StackState.DONE, progress.elapsed_s)
        case ResourceFailed():
            return _resource(phase, progress, StackState.FAILED, progress.elapsed_s)
        case Diagnostic():
            if progress.severity == "error":
                return None
            said = ". ".join(
                part for part in (progress.summary, progress.detail.partition("\n")[0]) if part
            )
            return Warning_(reference="terraform-warning", message=f"Terraform: {said}")
        case Summary():
            return _summary(phase, progress)
        case Note():
            return Stack(phase=phase, action="note", message=progress.text)


def _summary(phase: str, summary: Summary) -> Stack:
    total = summary.add + summary.change + summary.remove
    counts = ((summary.add, "add"), (summary.change, "change"), (summary.remove, "remove"))
    if summary.operation == "plan":
        to_do = ", ".join(f"{count} to {word}" for count, word in counts if count)
        return Stack(phase=phase, action="plan", total=total, message=to_do or "nothing to change")
    past = ((summary.add, "added"), (summary.change, "changed"), (summary.remove, "removed"))
    done = ", ".join(f"{count} {word}" for count, word in past if count)
    return Stack(
        phase=phase,
        action="complete" if total else "unchanged",
        message=done or "nothing to change",
    )


def _resource(
    phase: str,
    progress: ResourceStarted | ResourceProgressed | ResourceCompleted | ResourceFailed,
    state: StackState,
    elapsed_s: float | None = None,
) -> Stack:
    return Stack(
        phase=phase,
        action=progress.action,
        state=state,
        address=progress.address,
        elapsed_s=elapsed_s,
    )
