"""The report of a self-test: a Markdown page to attach to an issue. Pure.

It names no account, no person, no folder and no key, unless the user wants that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.doctor.findings import CheckDone
from terralive_cli.doctor.self_test.results import Measured, SelfTestStep

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
_ACCESS_KEY: Final = re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b")
_ACCOUNT: Final = re.compile(r"(?<![0-9.])[0-9]{12}(?![0-9])")
_ARN_NAME: Final = re.compile(r"(arn:[a-z-]+:(?:iam|sts)::[^:]*:(?:user|assumed-role|role))/\S+")
_API: Final = re.compile(r"\b[a-z0-9]{8,}(?=\.execute-api\.)")


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a report about the place of a self-test.

    Attributes:
        when: its day and time (UTC).
        place: `AWS` or `the sandbox`.
        region: the region.
        is_quick: true if it has left out what takes minutes.
    """

    when: str
    place: str
    region: str
    is_quick: bool


def report(
    facts: Facts,
    checks: Sequence[CheckDone],
    steps: Sequence[SelfTestStep],
    problems: Sequence[str],
) -> str:
    """Return the page.

    Args:
        facts: where and when.
        checks: the checks before it.
        steps: its steps.
        problems: warnings and errors of the commands that it has run.
    """
    kind = "full"
    if facts.is_quick:
        kind = "quick"
    lines = [
        "# terralive self-test",
        "",
        f"{facts.when}, {facts.place}, {facts.region}, {kind} form.",
        "",
        "## Checks",
        "",
        "| check | state | result |",
        "|---|---|---|",
    ]
    for check in checks:
        lines.append(f"| {check.check} | {check.state} | {_cell(check.message)} |")
    lines += _findings(checks)
    lines += ["", "## Steps", "", "| step | result | seconds | |", "|---|---|---|---|"]
    for step in steps:
        result = "ok"
        if not step.ok:
            result = "failed"
        lines.append(f"| {step.step} | {result} | {step.elapsed_s:.1f} | {_cell(step.message)} |")
    lines += _measurements([item for step in steps for item in step.measured])
    if problems:
        lines += ["", "## Warnings and errors", ""]
        lines += [f"- {_cell(problem)}" for problem in problems]
    return "\n".join(lines) + "\n"


def redacted(text: str, private: Iterable[str]) -> str:
    """Return a text without account ids, access keys, names of users and roles, and ids of APIs.

    Args:
        text: the text.
        private: further words and paths that it must not contain; none of them is empty.
    """
    for word in sorted(private, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "…", text)
    text = _ACCESS_KEY.sub("KEY", text)
    text = _ARN_NAME.sub(r"\1/NAME", text)
    text = _ACCOUNT.sub("ACCOUNT", text)
    return _API.sub("API", text)


def _findings(checks: Sequence[CheckDone]) -> list[str]:
    lines: list[str] = []
    for check in checks:
        for finding in check.findings:
            lines.append(f"- `{finding.reference}` ({check.check}): {_cell(finding.message)}")
    if lines:
        lines.insert(0, "")
    return lines


def _measurements(times: Sequence[Measured]) -> list[str]:
    if not times:
        return []
    lines = [
        "",
        "## Times",
        "",
        "| | median ms | fastest | slowest | count |",
        "|---|---|---|---|---|",
    ]
    for item in times:
        lines.append(
            f"| {item.name} | {item.median_ms:.1f} | {item.fastest_ms:.1f} | "
            f"{item.slowest_ms:.1f} | {item.count} |"
        )
    return lines


def _cell(text: str) -> str:
    """Return a text that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
