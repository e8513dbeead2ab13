"""A project under test, and what a developer does with it: edit a handler, request a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import boto3
import httpx

from terralive_testing.drivers.command import Command, Event, run
from terralive_testing.drivers.workers import save
from terralive_testing.machine.waiting import eventually

EXAMPLE = Path(__file__).parents[3] / "examples" / "sns_demo"


@dataclass
class Project:
    root: Path
    sandbox: dict[str, str] = field(default_factory=dict)

    def write_handler(self, function: str, source: str) -> None:
        """Save a handler as an editor does."""
        save(self.root / "functions" / function / "app.py", source)

    def read_handler(self, function: str) -> str:
        return (self.root / "functions" / function / "app.py").read_text("utf-8")

    def client(self, service: str) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        """Return an AWS client with the developer's keys for the sandbox."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.sandbox["endpoint"],
            region_name=self.sandbox["region"],
            aws_access_key_id=self.sandbox["access_key_id"],
            aws_secret_access_key=self.sandbox["secret_access_key"],
        )


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
        words = ["start", "--sandbox", "--yes"]
        return Command(words, self.project.root, self.environment)

    def invoke(self, name: str) -> Any:  # noqa: ANN401  # whatever the handler returns
        """Invoke a function, which must not fail."""
        client = self.project.client("lambda")
        answer = client.invoke(FunctionName=name, Payload=b"{}")
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload


@dataclass
class Live:
    """A live stage."""

    project: Project
    command: Command
    ready: Event

    @property
    def url(self) -> str:
        return str(self.ready["urls"]["ApiEndpoint"])

    def name_of(self, function: str) -> str:
        """Return the deployed name of `api` or `sns`."""
        names = [
            item["name"] for item in self.ready["functions"] if Path(item["path"]).name == function
        ]
        assert len(names) == 1, self.ready["functions"]
        return str(names[0])

    def edit(self, function: str, source: str) -> None:
        """Edit a handler and wait until terralive has seen it."""
        self.project.write_handler(function, source)
        name = self.name_of(function)
        self.command.wait_for(
            lambda event: event["type"] == "reload" and event["function"] == name,
            f"`reload` of {name}",
        )

    def get(self) -> httpx.Response:
        return httpx.get(self.url, timeout=30)

    def log_lines(self, request_id: str) -> list[str]:
        return [
            event["line"]
            for event in self.command.of_type("log")
            if event["request_id"] == request_id
        ]

    def eventually(self, kind: str, **fields: object) -> Event:
        """Wait for an event with these fields. It may have arrived already."""

        def find() -> Event | None:
            for event in self.command.of_type(kind):
                if all(event.get(name) == value for name, value in fields.items()):
                    return event
            return None

        try:
            found = eventually(find, f"a `{kind}` event with {fields}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.command.story()}") from None
        assert found is not None
        return found
