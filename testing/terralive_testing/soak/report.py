"""A soak's figures as text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from terralive_testing.soak.judge import Promise, Violation
from terralive_testing.soak.ledger import Call, End, Run
from terralive_testing.soak.project import STREAM_PREFIX
from terralive_testing.soak.relays import Sample

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one soak.

    `left` lists what still runs or is open after everything was closed.
    """

    seed: int
    machine: str
    functions: int
    concurrency: int
    seconds: float
    calls: Sequence[Call]
    runs: Sequence[Run]
    start_seconds: Sequence[float]
    faults: Mapping[str, int]
    samples: Sequence[Sample]
    left: Sequence[str]
    violations: Sequence[Violation]


def lines(figures: Figures) -> Iterator[str]:
    calls = figures.calls
    counted = [
        call
        for call in calls
        if call.error_type != "Terralive.NoRelay" and call.end is not End.REFUSED
    ]
    yield f"seed            {figures.seed}, on {figures.machine}"
    rate = len(counted) / figures.seconds
    yield (
        f"invocations     {len(counted):,} over {figures.functions} functions, "
        f"{figures.concurrency} at once, in {figures.seconds:.0f} s ({rate:.1f}/s); "
        f"{len(calls) - len(counted):,} more that found no relay or were throttled"
    )
    yield from _kinds(calls)
    yield _handler_runs(figures.runs)
    yield (
        f"relay           killed {len(figures.start_seconds) - 1} times; starts took "
        + ", ".join(f"{seconds:.1f} s" for seconds in figures.start_seconds)
    )
    yield "faults          " + ", ".join(
        f"{name} {count:,}" for name, count in sorted(figures.faults.items())
    )
    yield "answers"
    for name, count in Counter(_how(call) for call in calls).most_common():
        yield f"  {count:>8,}  {name}"
    yield "the last relay, by invocations it has finished"
    yield from _memory(figures.samples)
    yield f"left behind     {'; '.join(figures.left) or 'nothing'}"
    kinds = Counter(violation.promise for violation in figures.violations)
    yield "violations      " + ", ".join(f"{kinds[promise]} {promise}" for promise in Promise)
    for violation in figures.violations[:_SHOWN]:
        yield f"  {violation.promise}: {violation.id} {violation.what}"


def _kinds(calls: Sequence[Call]) -> Iterator[str]:
    """Yield how many calls were asynchronous, and how many streamed."""
    yield f"asynchronous    {sum(call.asynchronous for call in calls):,} of them"
    streamed = sum(call.function.startswith(STREAM_PREFIX) for call in calls)
    yield f"streamed        {streamed:,} of them"


def _handler_runs(runs: Sequence[Run]) -> str:
    fallbacks = sum(run.is_fallback for run in runs)
    return f"handler runs    {len(runs):,}, of them {fallbacks:,} of the deployed code"


def _how(call: Call) -> str:
    if call.end is End.SUCCESS:
        return "success"
    return f"{call.end}: {call.error_type.partition(':')[0]}"


def _memory(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield a line for about ten moments."""
    step = max(50, -(-max((sample.invocations for sample in samples), default=0) // 500) * 50)
    shown = -1
    for sample in samples:
        if sample.invocations // step > shown:
            shown = sample.invocations // step
            memory = f"{sample.megabytes:6.1f} MB"
            yield f"  {sample.invocations:>8,}  {memory}  {sample.threads:>4} threads"
