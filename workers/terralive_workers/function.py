"""A function that runs on this machine.

What the project's configuration maps, and nothing that came over a wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Build:
    """A shell command that makes functions' code, and the absolute folder in which it runs."""

    command: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Debugger:
    """How a function's workers are debugged: one at a time, behind one port.

    Attributes:
        port: where debuggers attach, on 127.0.0.1.
        wait: a worker imports its handler's module only once a debugger is attached.
        freeze_time: no deadline is enforced here, and the remaining time stays what it was at an
            invocation's start.
        debugpy: the package's folder, for a Python function.
    """

    port: int
    wait: bool = False
    freeze_time: bool = False
    debugpy: Path | None = None


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """One Lambda function and the local code that stands behind it.

    Attributes:
        name: the deployed function's name.
        address: its Terraform address (`aws_lambda_function.api`), or its name where there is none.
        runtime: the runtime its configuration names (`python3.12`), not the stub's.
        handler: the handler its configuration names (`app.handler`), not the stub's.
        path: the absolute local code root; becomes the worker's working directory and
            `LAMBDA_TASK_ROOT`.
        python: the interpreter that runs a Python handler.
        node: the interpreter that runs a Node.js handler.
        command: a program that speaks the Runtime API, and its arguments, to run instead of
            terralive's bootstraps.
        watch: globs, relative to `path`, whose change makes workers stale; without one below
            `path`, everything there.
        build: what makes the code before its first use and after a change; None where it is used as
            it stands.
        max_workers: how many invocations may run at once; under a debugger it is one.
        debugger: None where nobody debugs it.
    """

    name: str
    address: str
    runtime: str
    handler: str
    path: Path
    python: Path
    watch: tuple[str, ...] = ()
    max_workers: int = 16
    node: Path = Path("node")
    command: tuple[str, ...] = ()
    build: Build | None = None
    debugger: Debugger | None = None
