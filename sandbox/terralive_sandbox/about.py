"""The text that the sandbox shows when it starts. Light imports only: the command line shows it."""

from __future__ import annotations

import sys


def banner() -> str:
    """Return what a user must know, above all what is not emulated."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        "terralive sandbox on loopback. State is in memory and lost at the end.\n"
        "Python functions run on the version that they name where this machine has it, and on "
        f"Python {python} otherwise. Node.js functions run on the `node` of your PATH, whatever "
        "version they name; the AWS SDK for JavaScript is not included.\n"
        "Not emulated (answered by a named error): other runtimes, images, layers of other "
        "accounts, extensions, REST APIs that stream responses, Kafka as an event source, "
        "executions of Step Functions, Cognito authorizers of REST APIs, tokens of issuers "
        "elsewhere, permissions boundaries of users.\n"
        "More about it, and where it differs from AWS: docs/SANDBOX.md."
    )
