"""Runs Terraform in one folder: init when needed, plan, apply, and what the state says.

It decides nothing about AWS and knows no stack. Terraform's own `-json` output goes to
`on_progress` as it comes; diagnostics become errors. It never leaves a plan file behind, and it
never ends before Terraform has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraformError
from terralive_terraform.documents import Json
from terralive_terraform.runs.process import private_directory, run_process
from terralive_terraform.runs.progress import (
    Change,
    Diagnostic,
    Note,
    PlannedChange,
    Progress,
    failure,
    needs_init,
    parse_line,
)

_LOCK_TIMEOUT: Final = "-lock-timeout=60s"
_CHANGES_PLANNED: Final = 2
_STAMP: Final = "terralive-init"
# What a run writes is for this user only; a team's own `.terraform` around it keeps its mode.
_SCRATCH: Final = "terralive"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan would do.

    `has_changes` also counts changed outputs, which are no resource's change.
    """

    changes: tuple[Change, ...]
    has_changes: bool
    file: Path


@dataclass(frozen=True, slots=True)
class OutputValue:
    """One output of the configuration; a sensitive one is for use, not for printing."""

    value: Json = field(repr=False)
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class DeployedFunction:
    """A Lambda function in the state.

    `reserved`: its reserved concurrency, None where it has none.
    """

    name: str
    reserved: int | None = None


class Terraform:
    """Terraform in one folder.

    Args:
        directory: the root module.
        binary: `terraform`, `tofu`, or a path.
        environment: the whole environment of every run (see `mirror.terraform_environment`).
        on_progress: gets every event, on the calling thread.
        data_dir: TF_DATA_DIR; None for Terraform's own default (`.terraform` in the folder).
    """

    def __init__(
        self,
        directory: Path,
        *,
        binary: str = "terraform",
        environment: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        data_dir: Path | None = None,
    ) -> None:
        self._directory = directory.resolve()
        self._binary = binary
        self._owns_data_dir = data_dir is not None
        own = environment.get("TF_DATA_DIR")
        self._data_dir = (data_dir or self._directory / (own or ".terraform")).resolve()
        self._environment = {**environment, "TF_DATA_DIR": str(self._data_dir)}
        self._on_progress = on_progress

    def ensure_init(self) -> None:
        """Run `terraform init` unless nothing it depends on has changed since the last one."""
        stamp = self._data_dir / _STAMP
        if stamp.is_file() and stamp.read_text() == init_fingerprint(self._directory):
            return
        self.init()

    def init(self) -> None:
        """Run `terraform init`.

        Raises:
            TerraformError: it failed.
        """
        self._on_progress(Note("Installing what the configuration requires (terraform init)"))
        (self._data_dir / _STAMP).unlink(missing_ok=True)
        lines: list[str] = []
        # The backend is ours to change only where the data folder is: a team's own state is never
        # silently left behind.
        arguments = [
            "init",
            "-input=false",
            "-no-color",
            *(["-reconfigure"] if self._owns_data_dir else []),
        ]
        code = self._run(arguments, lines.append)
        if code != 0:
            raise failure("init", (), _without_progress_lines(lines))
        (self._data_dir / _STAMP).write_text(init_fingerprint(self._directory))

    def plan(self, out: Path, *, destroy: bool = False, var_files: Sequence[Path] = ()) -> Plan:
        """Plan into the file `out`, whose folder becomes private; a left-over file of that name is gone before.

        Raises:
            TerraformError, CredentialsError: it failed; `out` does not exist then.
        """
        private_directory(out.parent)
        out.unlink(missing_ok=True)
        arguments = [
            "plan",
            "-json",
            "-input=false",
            "-detailed-exitcode",
            _LOCK_TIMEOUT,
            f"-out={out.resolve()}",
        ]
        arguments += ["-destroy"] if destroy else []
        arguments += [f"-var-file={path.resolve()}" for path in var_files]
        try:
            code, events = self._plan(arguments)
        except BaseException:
            out.unlink(missing_ok=True)
            raise
        changes = tuple(event.change for event in events if isinstance(event, PlannedChange))
        return Plan(changes, has_changes=code == _CHANGES_PLANNED, file=out)

    def _plan(self, arguments: Sequence[str]) -> tuple[int, list[Progress]]:
        code, events, text = self._stream(arguments, quiet_init_errors=True)
        if code == 1 and needs_init(_diagnostics(events)):
            self.init()
            code, events, text = self._stream(arguments)
        if code not in (0, _CHANGES_PLANNED):
            raise failure("plan", _diagnostics(events), text)
        return code, events

    def apply(self, plan_file: Path) -> None:
        """Apply a plan and remove its file.

        Raises:
            TerraformError, CredentialsError: it failed; the state holds what was done.
            KeyboardInterrupt: after Terraform has written its state and released its lock.
        """
        try:
            code, events, text = self._stream(
                ["apply", "-json", "-input=false", _LOCK_TIMEOUT, str(plan_file.resolve())]
            )
            if code != 0:
                raise failure("apply", _diagnostics(events), text)
        finally:
            plan_file.unlink(missing_ok=True)

    def outputs(self) -> dict[str, OutputValue]:
        """Read the outputs from the state."""
        document = self._read(["output", "-json", "-no-color"])
        if not isinstance(document, dict):
            return {}
        return {
            name: OutputValue(item.get("value"), sensitive=item.get("sensitive") is True)
            for name, item in document.items()
            if isinstance(item, dict)
        }

    def functions(self) -> dict[str, DeployedFunction]:
        """Give each deployed Lambda function by its address, also inside modules, `count` and `for_each`."""
        return dict(deployed_functions(self._state()))

    def is_empty(self) -> bool:
        """Tell whether the state holds no resource that somebody would have to destroy."""
        return not any(True for _ in managed_instances(self._state()))

    def _state(self) -> Json:
        return self._read(["state", "pull"])

    def _read(self, arguments: Sequence[str]) -> Json:
        lines: list[str] = []
        errors: list[
            str
        ] = []  # also what is none: TF_LOG, notes on development overrides, a wrapper's own words
        code = self._run(arguments, lines.append, errors.append)
        if code != 0:
            raise failure(" ".join(arguments[:2]), (), "\n".join([*errors, *lines]))
        text = "\n".join(lines).strip()
        if not text:
            return None
        try:
            document: Json = json.loads(text)
        except ValueError:
            raise TerraformError(
                "terraform-failed",
                f"terraform {' '.join(arguments[:2])} printed something other than JSON.",
                hint=f"Run `{self._binary} {' '.join(arguments)}` in {self._directory} to see it.",
            ) from None
        return document

    def _stream(
        self, arguments: Sequence[str], *, quiet_init_errors: bool = False
    ) -> tuple[int, list[Progress], str]:
        events: list[Progress] = []
        other: list[str] = []

        def on_line(line: str) -> None:
            event = parse_line(line)
            if event is None:
                if not line.startswith('{"@level"'):
                    other.append(line)
                return
            events.append(event)
            expected = quiet_init_errors and isinstance(event, Diagnostic) and needs_init((event,))
            repeated = arguments[0] == "apply" and isinstance(event, PlannedChange)
            if not (expected or repeated):
                self._on_progress(event)

        return self._run(arguments, on_line), events, "\n".join(other)

    def _run(
        self,
        arguments: Sequence[str],
        on_line: Callable[[str], None],
        on_error_line: Callable[[str], None] | None = None,
    ) -> int:
        return run_process(
            [self._binary, *arguments],
            cwd=self._directory,
            environment=self._environment,
            scratch=self._data_dir / _SCRATCH,
            on_line=on_line,
            on_error_line=on_error_line,
            on_wait=lambda: self._on_progress(
                Note("Waiting for the end of an earlier Terraform run")
            ),
        )


def init_fingerprint(directory: Path) -> str:
    """Hash what an init depends on.

    What it overlooks (a local module's own needs), a plan asks for by itself.
    """
    digest = hashlib.sha256(b"1")
    for path in sorted(
        [*directory.glob("*.tf"), *directory.glob("*.tofu"), *directory.glob("*.tf.json")]
    ):
        text = path.read_bytes()
        digest.update(
            path.name.encode()
            + b"\0"
            + (_json_needs(text) if path.suffix == ".json" else text)
            + b"\0"
        )
    lock = directory / ".terraform.lock.hcl"
    digest.update(lock.read_bytes() if lock.is_file() else b"no lock file")
    return digest.hexdigest()


def _json_needs(text: bytes) -> bytes:
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if not isinstance(document, dict):
        return text
    types = {
        name: sorted(document[name])
        for name in ("resource", "data")
        if isinstance(document.get(name), dict)
    }
    needs = {name: document.get(name) for name in ("terraform", "module")}
    return json.dumps([types, needs], sort_keys=True).encode()


def managed_instances(state: Json) -> Iterator[tuple[str, str, dict[str, Json]]]:
    """Give address, type and attributes of each managed resource instance of a state (format version 4)."""
    resources = state.get("resources") if isinstance(state, dict) else None
    for resource in resources if isinstance(resources, list) else ():
        if not isinstance(resource, dict) or resource.get("mode") != "managed":
            continue
        kind = str(resource.get("type"))
        prefix = f"{resource['module']}." if resource.get("module") else ""
        instances = resource.get("instances")
        for instance in instances if isinstance(instances, list) else ():
            if not isinstance(instance, dict):
                continue
            key = instance.get("index_key")
            index = "" if key is None else f"[{json.dumps(key)}]"
            attributes = instance.get("attributes")
            address = f"{prefix}{kind}.{resource.get('name')}{index}"
            yield address, kind, attributes if isinstance(attributes, dict) else {}


def deployed_functions(state: Json) -> Iterator[tuple[str, DeployedFunction]]:
    for address, kind, attributes in managed_instances(state):
        name, reserved = (
            attributes.get("function_name"),
            attributes.get("reserved_concurrent_executions"),
        )
        if kind == "aws_lambda_function" and isinstance(name, str):
            # The provider's word for "none" is -1.
            yield (
                address,
                DeployedFunction(
                    name, reserved if isinstance(reserved, int) and reserved >= 0 else None
                ),
            )


def _diagnostics(events: Sequence[Progress]) -> list[Diagnostic]:
    return [event for event in events if isinstance(event, Diagnostic)]


def _without_progress_lines(lines: Sequence[str]) -> str:
    """Keep what init says from its first `Error` on."""
    text = "\n".join(lines)
    start = text.find("Error")
    return (
        text[max(start, 0) :].replace("│ ", "").replace("╷", "").replace("╵", "").replace("│", "")
    )
