"""What the sandbox says of itself. Light imports only: the command line shows it."""

from __future__ import annotations

import sys


def banner() -> str:
    """Say what a user must know, above all what is not emulated."""
    return (
        "terralive sandbox on loopback. State is in memory and lost at the end.\n"
        f"Functions run on Python {sys.version_info.major}.{sys.version_info.minor}, whatever python3.x they name.\n"
        "Not emulated (answered by a named error): other runtimes, images, layers, response streaming, EventBridge\n"
        "Scheduler, Kinesis and Kafka as event sources, authorizers other than AWS_IAM, permissions boundaries.\n"
        "More about it, and where it differs from AWS: docs/SANDBOX.md."
    )
