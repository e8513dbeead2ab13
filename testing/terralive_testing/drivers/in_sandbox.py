"""A project in a sandbox of its own: its commands, and invocations of its functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import start
from terralive_testing.drivers.project import Project


@dataclass
class InSandbox:
    """A project in a running sandbox.

    Attributes:
        project: the project.
        environment: variables of its commands beside those of `clean_environment()`.
    """

    project: Project
    environment: Mapping[str, str] | None = None

    @classmethod
    @contextmanager
    def opened(cls, root: Path, environment: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Run a sandbox for the project in a folder while the context lasts."""
        made = cls(Project(root), environment)
        with Command(["sandbox"], root, environment) as command:
            made.project.sandbox = command.wait_for_type("ready")["sandbox"]
            yield made

    def run(self, *words: str) -> Command:
        """Run a command to its end."""
        return run([*words, "--sandbox", "--yes"], self.project.root, self.environment, 400)

    def start(self) -> Command:
        """Run `terralive start`."""
        return start(self.project, environment=self.environment)

    def invoke(self, name: str) -> Any:  # noqa: ANN401  # whatever the handler returns
        """Invoke a function, which must not fail."""
        client = self.project.client("lambda")
        answer = client.invoke(FunctionName=name, Payload=b"{}")
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload
