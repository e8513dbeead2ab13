"""Helpers that all benchmarks share: a line of output, and a summary of durations."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

ALLOW_EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@dataclass(frozen=True)
class Summary:
    """The median and the 95th percentile of some durations, in milliseconds."""

    median_ms: float
    late_ms: float


def summarize(seconds: Sequence[float]) -> Summary:
    """Summarize durations that are given in seconds."""
    percentiles = statistics.quantiles(seconds, n=20)
    return Summary(statistics.median(seconds) * 1000, percentiles[-1] * 1000)


def show_title(title: str) -> None:
    """Print what is measured, and on which machine."""
    python = sys.version.split()[0]
    print(f"{title}, on {os.cpu_count()} processors, Python {python}", flush=True)


def show(name: str, figure: str, beside: str = "") -> None:
    """Print one figure: its name, its value, and what stands beside it to compare it with."""
    print(f"  {name:<42} {figure:>14}   {beside}", flush=True)
