"""Terraform in one folder: init when it is needed, plan, apply, and reading the state.

It decides nothing about AWS and knows no stack. It hands every event of Terraform's `-json` output
to `on_progress` as it comes, and turns error diagnostics into exceptions. It removes every plan
file that it has applied, and never returns before Terraform has ended.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraformError
from terralive_stub.shared.json_documents import Json, items, section
from terralive_terraform.runs.process import private_directory, run_process
from terralive_terraform.runs.progress import (
    Change,
    Diagnostic,
    OutputLine,
    Progress,
    failure,
    needs_init,
    parse_line,
)

_log: Final = logging.getLogger("terralive.terraform")

_LOCK_TIMEOUT: Final = "-lock-timeout=60s"
# `terraform plan -detailed-exitcode`: https://developer.hashicorp.com/terraform/cli/commands/plan
_CHANGES_PLANNED: Final = 2
_STAMP: Final = "terralive-init"
# The folder for output files. Only this user may read it; a team's own `.terraform` around it
# keeps its mode.
_SCRATCH: Final = "terralive"


@dataclass(frozen=True, slots=True)
class TerraformPlan:
    """The changes of one plan, and its file.

    Attributes:
        changes: what happens to each resource.
        has_changes: whether applying it does anything. A changed output counts, too, although it
            is no change of a resource.
        file: the plan file.
    """

    changes: tuple[Change, ...]
    has_changes: bool
    file: Path


@dataclass(frozen=True, slots=True)
class OutputValue:
    """One output of the configuration. The value of a sensitive one is never shown."""

    value: Json = field(repr=False)
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class DeployedFunction:
    """A Lambda function in Terraform's state.

    Attributes:
        name: its name on AWS.
        reserved: its reserved concurrency; None where it has none.
    """

    name: str
    reserved: int | None = None


@dataclass(frozen=True, slots=True)
class _Finished:
    """One run of a `-json` command: its exit code, its events, and the lines that are no events."""

    code: int
    events: list[Progress]
    other_output: str

    @property
    def diagnostics(self) -> list[Diagnostic]:
        return [event for event in self.events if isinstance(event, Diagnostic)]


class Terraform:
    """Terraform in one folder.

    Args:
        directory: the root module.
        binary: `terraform`, `tofu`, or a path.
        environment: the whole environment of every run (see `environment.terraform_environment`).
        on_progress: receives every event, on the calling thread.
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
        # Whether the data folder is terralive's own, or the team's.
        self._owns_data_dir = data_dir is not None
        if data_dir is None:
            data_dir = self._directory / (environment.get("TF_DATA_DIR") or ".terraform")
        self._data_dir = data_dir.resolve()
        self._environment = {**environment, "TF_DATA_DIR": str(self._data_dir)}
        self._on_progress = on_progress

    def ensure_init(self) -> None:
        """Run `terraform init` unless nothing that it depends on has changed since the last one."""
        stamp = self._data_dir / _STAMP
        if stamp.is_file() and stamp.read_text() == init_fingerprint(self._directory):
            _log.debug("init of %s is not needed", self._directory)
            return
        self.init()

    def init(self) -> None:
        """Run `terraform init`.

        Raises:
            TerraformError: it failed.
        """
        self._on_progress(OutputLine("Installing providers and modules (terraform init)"))
        (self._data_dir / _STAMP).unlink(missing_ok=True)
        arguments = ["init", "-input=false", "-no-color"]
        # terralive changes the backend only where the data folder is its own. A team's own state
        # is never left behind without a question.
        if self._owns_data_dir:
            arguments.append("-reconfigure")
        lines: list[str] = []
        code = self._run(arguments, lines.append)
        if code != 0:
            raise failure("init", (), _from_first_error(lines))
        (self._data_dir / _STAMP).write_text(init_fingerprint(self._directory))

    def plan(
        self, out: Path, *, destroy: bool = False, var_files: Sequence[Path] = ()
    ) -> TerraformPlan:
        """Plan into the file `out`. Its folder becomes private, and a left-over file is removed.

        Raises:
            TerraformError, CredentialsError: it failed. The file `out` does not exist then.
        """
        private_directory(out.parent)
        out.unlink(missing_ok=True)
        arguments = ["plan", "-json", "-input=false", "-detailed-exitcode", _LOCK_TIMEOUT]
        arguments.append(f"-out={out.resolve()}")
        if destroy:
            arguments.append("-destroy")
        arguments += [f"-var-file={path.resolve()}" for path in var_files]
        try:
            finished = self._plan(arguments)
        except BaseException:
            out.unlink(missing_ok=True)
            raise
        changes = tuple(event for event in finished.events if isinstance(event, Change))
        return TerraformPlan(changes, has_changes=finished.code == _CHANGES_PLANNED, file=out)

    def _plan(self, arguments: Sequence[str]) -> _Finished:
        finished = self._run_json(arguments, hide_init_errors=True)
        if finished.code == 1 and needs_init(finished.diagnostics):
            self.init()
            finished = self._run_json(arguments)
        if finished.code not in (0, _CHANGES_PLANNED):
            raise failure("plan", finished.diagnostics, finished.other_output)
        return finished

    def apply(self, plan_file: Path) -> None:
        """Apply a plan and remove its file.

        Raises:
            TerraformError, CredentialsError: it failed. The state holds what was done.
            KeyboardInterrupt: after Terraform has written its state and released its lock.
        """
        arguments = ["apply", "-json", "-input=false", _LOCK_TIMEOUT, str(plan_file.resolve())]
        try:
            finished = self._run_json(arguments)
            if finished.code != 0:
                raise failure("apply", finished.diagnostics, finished.other_output)
        finally:
            plan_file.unlink(missing_ok=True)

    def outputs(self) -> dict[str, OutputValue]:
        """Read the outputs from the state."""
        document = self._read(["output", "-json", "-no-color"])
        outputs: dict[str, OutputValue] = {}
        if isinstance(document, dict):
            for name, item in document.items():
                if isinstance(item, dict):
                    sensitive = item.get("sensitive") is True
                    outputs[name] = OutputValue(item.get("value"), sensitive=sensitive)
        return outputs

    def functions(self) -> dict[str, DeployedFunction]:
        """Return each deployed Lambda function by its address, with instance keys and modules."""
        return dict(deployed_functions(self._state()))

    def is_empty(self) -> bool:
        """Return whether the state holds no resource that a destroy would have to remove."""
        return not any(managed_instances(self._state()))

    def _state(self) -> Json:
        return self._read(["state", "pull"])

    def _read(self, arguments: Sequence[str]) -> Json:
        """Run a command that prints one JSON document, or nothing (None)."""
        lines: list[str] = []
        # Not everything on stderr is an error: TF_LOG, notes on development overrides, and the
        # output of wrappers go there, too.
        errors: list[str] = []
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

    def _run_json(self, arguments: Sequence[str], *, hide_init_errors: bool = False) -> _Finished:
        """Run a command with `-json` and pass its events on.

        `hide_init_errors`: errors that an init mends are not passed on.
        """
        events: list[Progress] = []
        other: list[str] = []

        def on_line(line: str) -> None:
            event = parse_line(line)
            if event is None:
                if not line.startswith('{"@level"'):
                    other.append(line)
                return
            events.append(event)
            if hide_init_errors and isinstance(event, Diagnostic) and needs_init((event,)):
                return
            # An apply repeats the changes that its plan has shown already.
            if arguments[0] == "apply" and isinstance(event, Change):
                return
            self._on_progress(event)

        code = self._run(arguments, on_line)
        return _Finished(code, events, "\n".join(other))

    def _run(
        self,
        arguments: Sequence[str],
        on_line: Callable[[str], None],
        on_error_line: Callable[[str], None] | None = None,
    ) -> int:
        def on_wait() -> None:
            self._on_progress(OutputLine("Waiting for an earlier Terraform run to end"))

        _log.debug("%s %s in %s", self._binary, arguments[0], self._directory)
        code = run_process(
            [self._binary, *arguments],
            cwd=self._directory,
            environment=self._environment,
            scratch=self._data_dir / _SCRATCH,
            on_line=on_line,
            on_error_line=on_error_line,
            on_wait=on_wait,
        )
        _log.debug("%s %s ended with %d", self._binary, arguments[0], code)
        return code


def init_fingerprint(directory: Path) -> str:
    """Return a hash of everything in a folder that `terraform init` depends on.

    It does not cover the requirements of local modules. A plan that needs an init for those says
    so itself.
    """
    digest = hashlib.sha256(b"1")
    files = [*directory.glob("*.tf"), *directory.glob("*.tofu"), *directory.glob("*.tf.json")]
    for path in sorted(files):
        content = path.read_bytes()
        if path.suffix == ".json":
            content = _init_needs(content)
        digest.update(path.name.encode() + b"\0" + content + b"\0")
    lock = directory / ".terraform.lock.hcl"
    if lock.is_file():
        digest.update(lock.read_bytes())
    else:
        digest.update(b"no lock file")
    return digest.hexdigest()


def _init_needs(content: bytes) -> bytes:
    """Return the part of a `*.tf.json` file that an init depends on."""
    try:
        document = json.loads(content)
    except ValueError:
        return content
    if not isinstance(document, dict):
        return content
    types = {}
    for name in ("resource", "data"):
        if isinstance(document.get(name), dict):
            types[name] = sorted(document[name])
    needs = {name: document.get(name) for name in ("terraform", "module")}
    return json.dumps([types, needs], sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class ResourceInstance:
    """One managed resource instance of a state: its address, its type and its attributes."""

    address: str
    type: str
    attributes: Mapping[str, Json]


def managed_instances(state: Json) -> Iterator[ResourceInstance]:
    """Yield the managed resource instances of a state (format version 4)."""
    if not isinstance(state, dict):
        return
    for resource in items(state, "resources"):
        if not isinstance(resource, dict) or resource.get("mode") != "managed":
            continue
        kind = str(resource.get("type"))
        address = f"{kind}.{resource.get('name')}"
        if resource.get("module"):
            address = f"{resource['module']}.{address}"
        for instance in items(resource, "instances"):
            if isinstance(instance, dict):
                key = instance.get("index_key")
                index = f"[{json.dumps(key)}]" if key is not None else ""
                yield ResourceInstance(f"{address}{index}", kind, section(instance, "attributes"))


def deployed_functions(state: Json) -> Iterator[tuple[str, DeployedFunction]]:
    """Yield the address of each Lambda function of a state, and the function."""
    for instance in managed_instances(state):
        name = instance.attributes.get("function_name")
        if instance.type != "aws_lambda_function" or not isinstance(name, str):
            continue
        reserved = instance.attributes.get("reserved_concurrent_executions")
        if not isinstance(reserved, int) or reserved < 0:  # the provider writes -1 for "none"
            reserved = None
        yield instance.address, DeployedFunction(name, reserved)


def _from_first_error(lines: Sequence[str]) -> str:
    """Return the output of an init from its first `Error` on, without the frame around it."""
    text = "\n".join(lines)
    start = max(text.find("Error"), 0)
    text = text[start:]
    for frame in ("│ ", "╷", "╵", "│"):
        text = text.replace(frame, "")
    return text
