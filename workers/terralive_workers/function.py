"""Functions and code that run on this machine, as the project's configuration maps them.

Nothing here comes from a message of the relay's connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from terralive_stub.shared.arns import place_of


@dataclass(frozen=True, slots=True)
class Build:
    """A shell command that makes the code of functions, and the absolute folder that it runs in."""

    command: str
    folder: Path


@dataclass(frozen=True, slots=True)
class LayerPart:
    """A local file or folder of a function's layers.

    Attributes:
        local: the file or folder, absolute.
        target: its path below `/opt` in Lambda; "" for a folder whose content is at the top.
        arn: the ARN of the layer version that is downloaded into it; "" for the team's own files.
    """

    local: Path
    target: str = ""
    arn: str = ""


@dataclass(frozen=True, slots=True)
class Debugger:
    """Debugger settings of a function, whose one worker accepts debuggers on one port.

    Attributes:
        port: where debuggers attach, on 127.0.0.1.
        wait: a worker imports its handler's module only after a debugger is attached.
        freeze_time: no deadline is enforced here, and the remaining time does not go down during
            an invocation.
        debugpy: the folder of the package debugpy, for a Python function.
    """

    port: int
    wait: bool = False
    freeze_time: bool = False
    debugpy: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCode:
    """Local code that a Lambda function of the configuration runs on this machine.

    Attributes:
        address: the function's Terraform address (`aws_lambda_function.api`), or its name where it
            has none. With `count` or `for_each` it may stand for several instances.
        runtime: the runtime that its configuration names (`python3.12`), not the stub's.
        handler: the handler that its configuration names (`app.handler`), not the stub's.
        path: the absolute local code root. It becomes the worker's working directory and
            `LAMBDA_TASK_ROOT`.
        python: the interpreter that runs a Python handler.
        node: the interpreter that runs a Node.js handler.
        command: a program that speaks the Runtime API, and its arguments, which runs instead of
            terralive's bootstraps.
        watch: globs, relative to `path`. A change of what they match makes workers stale. Without
            a glob below `path`, every file there counts.
        build: the command that makes the code before its first use and after a change; None where
            the code is used as it is.
        max_workers: how many invocations may run at once.
        allow_variables: environment variables of the function in Lambda that are taken over,
            although they can make programs run code here.
        variables: names and values of environment variables that only exist here, or that have
            another value here.
        roots: folders that a Python handler also imports modules from.
        layers: what its layers are made of, in their order.
        also_watched: folders and files outside `path` whose changes make workers stale.
    """

    address: str
    runtime: str
    handler: str
    path: Path
    python: Path
    node: Path = Path("node")
    command: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    build: Build | None = None
    max_workers: int = 16
    allow_variables: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    roots: tuple[Path, ...] = ()
    layers: tuple[LayerPart, ...] = ()
    also_watched: tuple[Path, ...] = ()

    def deployed_as(
        self, name: str, address: str, *, arn: str, reserved: int | None = None
    ) -> LocalFunction:
        """Return the deployed function, or the instance of one, that this code stands behind.

        Args:
            name: the deployed function's name.
            address: its Terraform address, with the key of the instance.
            arn: its ARN, without a qualifier.
            reserved: its reserved concurrency in Lambda, None where it has none. No more
                invocations run at once here than there.
        """
        values = {item.name: getattr(self, item.name) for item in fields(LocalCode)}
        values["address"] = address
        if reserved is not None:
            values["max_workers"] = max(1, min(self.max_workers, reserved))
        return LocalFunction(name=name, arn=arn, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFunction(LocalCode):
    """A deployed Lambda function, and the local code that runs in its place.

    Attributes:
        name: the deployed function's name.
        arn: its ARN, without a qualifier. It is its identity in messages.
        label: its name in events, where another live function has the same name in another region
            or account; "" otherwise. See `with_labels`.
        debugger: None where the function is not debugged. A debugged function has one worker.
    """

    name: str
    arn: str
    label: str = ""
    debugger: Debugger | None = None

    @property
    def shown_name(self) -> str:
        """Return its name in events, which no other live function has."""
        return self.label or self.name


def with_labels(functions: Sequence[LocalFunction]) -> tuple[LocalFunction, ...]:
    """Give functions of the same name a label with their region, or else with their account, too.

    Names of functions are unique in one region of one account:
    https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
    """
    by_name = Counter(function.name for function in functions)
    by_region = Counter((item.name, place_of(item.arn).region) for item in functions)
    labelled: list[LocalFunction] = []
    for function in functions:
        place = place_of(function.arn)
        label = ""
        if by_name[function.name] > 1:
            label = f"{function.name} ({place.region})"
        if by_region[function.name, place.region] > 1:
            label = f"{function.name} ({place.account}, {place.region})"
        labelled.append(replace(function, label=label))
    return tuple(labelled)
