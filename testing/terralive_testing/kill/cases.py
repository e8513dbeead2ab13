"""One case: a command is struck at a point, and everything is taken back after it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from terralive_sandbox.info import attach, environment
from terralive_stub.errors import TerraliveError
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_testing.deployers.terraform_account import actions, plan, terraform_in
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.project import Project
from terralive_testing.kill.account import Content, content, delete, differences
from terralive_testing.kill.points import Before, Point
from terralive_testing.machine.processes import descendants, running
from terralive_testing.machine.waiting import eventually

_SECONDS: Final = 600.0
_ORPHANS: Final = "resources-exist"
_TAINTED: Final = "would-destroy"
_BLOCK: Final = re.compile(
    r'^import \{\n  to = (?:.+\.)?(\w+)\.\S+\n  id = "(.+)"\n\}', re.MULTILINE
)
_NOTHING: Final[Mapping[str, Content]] = {}


class Way(StrEnum):
    """A way in which a command ends."""

    # `kill -9` of terralive alone. Terraform goes on to its end.
    KILL = "kill -9"
    # Ctrl-C in a terminal, once.
    CTRL_C = "Ctrl-C"
    # A `kill`, and a terminal that is closed.
    TERM = "SIGTERM"
    HUP = "SIGHUP"
    # Ctrl-C again and again: Terraform and its providers are killed in the end.
    CTRL_C_AGAIN = "Ctrl-C 3x"
    # `kill -9` of terralive and of everything that it has started, as if the machine stopped.
    POWER = "power off"


# The signals of the ways that only need one moment.
_SIGNALS: Final[Mapping[Way, tuple[signal.Signals, ...]]] = {
    Way.KILL: (signal.SIGKILL,),
    Way.CTRL_C: (signal.SIGINT,),
    Way.TERM: (signal.SIGTERM,),
    # The shell and the system may both send it.
    Way.HUP: (signal.SIGHUP, signal.SIGHUP),
}


@dataclass(slots=True)
class Result:
    """The end of a case.

    Attributes:
        wrong: what is not as it was before, or what has failed, one line each.
        imported: how many resources of the app had to be imported, as terralive has asked.
        deleted: how many had to be deleted, because others are tainted, and an apply would replace
            them.
        seconds: how long it took.
    """

    wrong: list[str] = field(default_factory=list)
    imported: int = 0
    deleted: int = 0
    seconds: float = 0.0


class App:
    """An app in a running sandbox, which is struck case by case.

    Args:
        root: its folder.
        sandbox: the access to the sandbox.
        variables: environment variables of its commands.
        is_program: whether it is a CDKTF program.
    """

    def __init__(
        self,
        root: Path,
        sandbox: dict[str, str],
        variables: Mapping[str, str],
        *,
        is_program: bool,
    ) -> None:
        self._project = Project(root, sandbox)
        self._variables = dict(variables)
        self._is_program = is_program
        # What the account has while the app is deployed with its own code; None before that.
        self._deployed: Mapping[str, Content] | None = None

    def strike(self, point: Point, way: Way) -> Result:
        """Strike a command at a point, take everything back, and compare."""
        began = time.monotonic()
        result = Result()
        try:
            before = self._prepared(point)
            self._struck(point, way)
            self._destroyed(result, removes_app=point.removes_app)
            result.wrong += differences(before, content(self._project))
            if self._deployed is not None and not self._is_program:
                result.wrong += [f"plan: {action} {at}" for action, at in self._planned()]
        except (AssertionError, TerraliveError) as error:
            result.wrong.append(str(error))
        result.seconds = time.monotonic() - began
        return result

    def clear(self) -> list[str]:
        """Remove what a case that went wrong has left, as far as terralive can."""
        self._deployed = None
        try:
            self._destroyed(Result(), removes_app=True)
        except AssertionError as error:
            return [str(error)]
        return []

    def _prepared(self, point: Point) -> Mapping[str, Content]:
        """Bring the stage to where the point needs it. Return the account before terralive."""
        if point.before is Before.NOTHING:
            return _NOTHING
        if point.before is Before.ALL:
            self._done("apply")
            return _NOTHING
        if self._deployed is None:
            self._deploy()
        assert self._deployed is not None
        if point.before is Before.LIVE:
            self._done("apply")
        return self._deployed

    def _deploy(self) -> None:
        """Deploy the app with its own code, as the team does."""
        if self._is_program:
            # In the sandbox, its state is terralive's.
            self._done("apply")
            self._done("destroy")
        else:
            terraform = self._terraform()
            terraform.apply(plan(terraform, self._project.root.parent).file)
        self._deployed = content(self._project)

    def _planned(self) -> list[tuple[str, str]]:
        """Return what the team's own plan would change."""
        return list(actions(plan(self._terraform(), self._project.root.parent)))

    def _terraform(self) -> Terraform:
        """Return Terraform as the team runs it, with its own state."""
        info = attach(self._project.root / ".terralive" / "sandbox.json")
        assert info is not None
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        work = self._project.root.parent
        variables = {**terraform_environment(own | self._variables, work), **environment(info)}
        terraform, _ = terraform_in(self._project.root, variables, None)
        return terraform

    def _struck(self, point: Point, way: Way) -> None:
        words = [*point.words, "--sandbox", "--yes"]
        with Command(words, self._project.root, self._variables) as command:
            command.wait_for(point.is_reached, point.name, _SECONDS)
            children = descendants(command.process.pid)
            _end(command, way, children)
            command.finish(_SECONDS)
            noise = [line for line in command.noise if "Traceback" in line]
            assert not noise, command.story()
        eventually(lambda: not running(children), "every child has ended", seconds=_SECONDS)

    def _destroyed(self, result: Result, *, removes_app: bool) -> None:
        """Destroy the stage. Do what terralive says where it knows of resources without a state."""
        words = ["destroy"]
        if removes_app:
            words.append("--app")
        command = self._run(*words)
        errors = command.of_type("error")
        if errors and errors[0]["reference"] == _ORPHANS and not self._is_program:
            self._take_in(errors[0]["message"], result)
            command = self._run(*words)
        assert command.process.returncode == 0, command.story()

    def _take_in(self, message: str, result: Result) -> None:
        """Do what terralive says of resources that the state lacks: import or delete them."""
        blocks = list(_BLOCK.finditer(message))
        file = self._project.root / "imports.tf"
        file.write_text("\n".join(block[0] for block in blocks), "utf-8")
        command = self._run("apply")
        file.unlink()
        if command.process.returncode == 0:
            result.imported = len(blocks)
            return
        assert [item["reference"] for item in command.of_type("error")] == [_TAINTED], (
            command.story()
        )
        for block in blocks:
            delete(self._project, kind=block[1], name=block[2])
        result.deleted = len(blocks)

    def _done(self, *words: str) -> None:
        command = self._run(*words)
        assert command.process.returncode == 0, command.story()

    def _run(self, *words: str) -> Command:
        arguments = [*words, "--sandbox", "--yes"]
        return run(arguments, self._project.root, self._variables, _SECONDS)


def _end(command: Command, way: Way, children: list[int]) -> None:
    """End a command in a way; its children, too, where the way says so."""
    pid = command.process.pid
    match way:
        case Way.POWER:
            for each in [pid, *children]:
                _signal(each, signal.SIGKILL)
        case Way.CTRL_C_AGAIN:
            for _ in range(3):
                command.interrupt()
                time.sleep(0.5)
                if command.process.poll() is not None:
                    break
        case _:
            for number in _SIGNALS[way]:
                _signal(pid, number)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
