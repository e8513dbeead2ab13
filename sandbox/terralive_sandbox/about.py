"""The text that the sandbox shows when it starts. Light imports only: the command line shows it."""

from __future__ import annotations

import sys


def banner() -> str:
    """Return what a user must know, above all what is not emulated."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        "terralive sandbox on loopback. State is in memory and lost at the end.\n"
        f"Functions run on Python {python}, whatever python3.x they name.\n"
        "Not emulated (answered by a named error): other runtimes, images, layers, response "
        "streaming, EventBridge Scheduler, Kinesis and Kafka as event sources, JWT and Cognito "
        "authorizers, permissions boundaries.\n"
        "More about it, and where it differs from AWS: docs/SANDBOX.md."
    )
