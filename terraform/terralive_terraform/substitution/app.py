"""A team's app: a CDKTF program or a folder of `*.tf`, made ready for one Terraform run and left as it was.

Nothing here runs `terraform apply`. A CDKTF program is synthesised into a folder of our own. Beside
plain `*.tf` files
an override file exists for the duration of `prepared`, and never longer: not after an error, not
after a signal; what a killed run has left goes at the next start.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError, TerraformError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import (
    ADDED_FILE,
    OVERRIDE_FILE,
    OWN_FILES,
    Module,
    calls_downloaded_modules,
    find_modules,
    functions_of,
    read_module,
)
from terralive_terraform.documents import Json, read_object, section, text
from terralive_terraform.runs.node import node_for_jsii
from terralive_terraform.runs.process import private_directory, run_process
from terralive_terraform.runs.progress import failure
from terralive_terraform.substitution.rules import (
    LIVE_VARIABLE,
    LiveSettings,
    NotLive,
    Substitution,
    added_document,
    override_document,
    substitute,
)

_LOCK_FILE: Final = ".terraform.lock.hcl"
# What a project's top folder holds: a virtual environment is looked for up to there.
_TOPS: Final = ("terralive.toml", ".git")
# The team's own one, beside it: whatever becomes of a stage's work folder, the next run finds it.
_KEPT_LOCK_FILE: Final = ".terraform.lock.hcl.terralive"


@dataclass(frozen=True, slots=True)
class Prepared:
    """An app that is ready for Terraform.

    Attributes:
        directory: where Terraform runs.
        data_dir: its TF_DATA_DIR; None for the team's own `.terraform`.
        functions: what becomes live, or without live settings every function, with the function of its
            real code.
        refused: what was wanted live and cannot be.
    """

    directory: Path
    data_dir: Path | None
    functions: tuple[DeclaredFunction, ...]
    refused: tuple[NotLive, ...]


class App(ABC):
    """A team's Terraform configuration; see `discover`."""

    @staticmethod
    def discover(
        project: Path,
        *,
        terraform_dir: Path | None = None,
        command: str | None = None,
        stack: str | None = None,
        binary: str = "terraform",
    ) -> App:
        """Find the app of a project folder.

        Args:
            project: the project's folder.
            terraform_dir: where its `*.tf` files are, if not there.
            command: the CDKTF program's command, if `cdktf.json` does not say it.
            stack: which of a CDKTF app's stacks.
            binary: the Terraform that downloads modules.

        Raises:
            ConfigurationError: there is neither.
        """
        project = project.resolve()
        described = read_object(project / "cdktf.json")
        command = command or text(described, "app")
        if command and terraform_dir is None:
            return CdktfApp(project, command, section(described, "context"), stack)
        directory = (project / terraform_dir if terraform_dir else project).resolve()
        if directory.is_dir() and any(
            path.name.endswith((".tf", ".tofu", ".tf.json")) and path.name not in OWN_FILES
            for path in directory.iterdir()
        ):
            return PlainApp(directory, binary)
        raise ConfigurationError(
            "app-not-found",
            f'{directory} holds neither a cdktf.json with an "app" command nor *.tf files.',
            hint="Run terralive in the project's folder, or say in terralive.toml where Terraform is: [terraform] dir "
            'for *.tf files, or app = "python main.py" for CDK for Terraform.',
        )

    @abstractmethod
    def prepared(
        self,
        live: LiveSettings | None,
        work: Path,
        environment: Mapping[str, str],
        backend_override: Path | None = None,
    ) -> AbstractContextManager[Prepared]:
        """Make the app ready for Terraform, and put everything back at the end.

        Args:
            live: what makes functions live; None for the app as its configuration says.
            work: a folder of the stage's own.
            environment: what the app's program and Terraform run with.
            backend_override: a state file that takes the place of the team's state.

        Raises:
            ConfigurationError, TerraformError: the program fails, or the configuration cannot be
                read.
        """


def tidy(directory: Path, environment: Mapping[str, str]) -> None:
    """Remove what a killed run has left in a folder of `*.tf` files, unless a run is at work there at this moment.

    `prepared` does so too; this is for commands that end before it (no sandbox, no credentials).
    """
    if not any((directory / name).exists() for name in (*OWN_FILES, _KEPT_LOCK_FILE)):
        return
    with (
        suppress(ConfigurationError),
        _alone(directory),
    ):  # busy, or unreadable modules: `prepared` tells
        PlainApp(directory, "").clean_up(directory / environment.get("TF_DATA_DIR", ".terraform"))


@dataclass(frozen=True, slots=True)
class CdktfApp(App):
    """A CDK for Terraform program in any language; Python ones may use the Aspect."""

    project: Path
    command: str
    context: Mapping[str, Json]
    stack: str | None

    @contextmanager
    def prepared(
        self,
        live: LiveSettings | None,
        work: Path,
        environment: Mapping[str, str],
        backend_override: Path | None = None,
    ) -> Iterator[Prepared]:
        work = private_directory(work.resolve())
        out = work / "cdktf.out"
        for stale in out.glob("stacks/*/cdk.tf.json"):
            stale.unlink()
        self._synthesise(live, work, out, environment)
        directory = self._stack_directory(out)
        document = read_module(directory)
        selection = _select(
            tuple(functions_of(document, directory, "")), live and live.seen_from(directory)
        )
        marked = _marked(document)
        unmarked = {
            address.rpartition(".")[2]: item
            for address, item in selection.substitutions.items()
            if address not in marked
        }
        _write_own_files(directory, unmarked, backend_override)
        yield Prepared(
            directory,
            work / "terraform-data" / directory.name,
            selection.functions,
            selection.refused,
        )

    def _synthesise(
        self, live: LiveSettings | None, work: Path, out: Path, environment: Mapping[str, str]
    ) -> None:
        variables = {
            **environment,
            "CDKTF_OUTDIR": str(out),
            "JSII_NODE": node_for_jsii(environment),
        }
        variables["CDKTF_CONTEXT_JSON"] = json.dumps(self.context)
        variables["PATH"] = os.pathsep.join(
            [*self._interpreters(environment), environment.get("PATH", os.defpath)]
        )
        variables.pop(LIVE_VARIABLE, None)
        if live:
            settings = work / "live.json"
            write_atomically(settings, live.to_json().encode())
            variables[LIVE_VARIABLE] = str(settings)
        try:
            ended = subprocess.run(
                shlex.split(self.command),
                cwd=self.project,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            raise ConfigurationError(
                "app-not-started",
                f"The CDKTF program `{self.command}` of {self.project} does not start: {error}.",
                hint='Correct "app" in cdktf.json, or [terraform] app in terralive.toml.',
            ) from None
        if ended.returncode != 0:
            tail = "\n".join(ended.stdout.decode("utf-8", "replace").strip().splitlines()[-15:])
            raise TerraformError(
                "app-failed",
                f"The CDKTF program `{self.command}` of {self.project} failed (exit code {ended.returncode}).\n{tail}",
                hint=f"Run `{self.command}` in {self.project} and correct what it says.",
            )

    def _interpreters(self, environment: Mapping[str, str]) -> list[str]:
        """Say where a bare `python` is.

        The project's venv, the active one, or what runs terralive.
        """
        above = (self.project, *self.project.parents)
        top = next(
            (
                at
                for at, folder in enumerate(above)
                if any((folder / name).exists() for name in _TOPS)
            ),
            0,
        )
        venvs = [
            *(folder / ".venv" for folder in above[: top + 1]),
            Path(environment.get("VIRTUAL_ENV", "/nonexistent")),
        ]
        binaries = [str(venv / "bin") for venv in venvs if (venv / "bin").is_dir()]
        return [*binaries[:1], *([] if binaries else [str(Path(sys.executable).parent)])]

    def _stack_directory(self, out: Path) -> Path:
        stacks = {
            path.parent.name: path.parent for path in sorted(out.glob("stacks/*/cdk.tf.json"))
        }
        if self.stack in stacks:
            return stacks[self.stack]
        if len(stacks) == 1 and self.stack is None:
            return next(iter(stacks.values()))
        named = ", ".join(stacks) or "none"
        raise ConfigurationError(
            "stack-unclear",
            f"The CDKTF program `{self.command}` has these stacks: {named}; "
            + (
                f"there is no stack {self.stack}."
                if self.stack
                else "terralive makes one of them live at a time."
            ),
            hint='Name one in terralive.toml: [terraform] stack = "…".'
            if stacks
            else "The program must call app.synth() and leave the App's outdir as it is (CDKTF_OUTDIR).",
        )


@dataclass(frozen=True, slots=True)
class PlainApp(App):
    """A folder of Terraform configuration."""

    directory: Path
    binary: str

    @contextmanager
    def prepared(
        self,
        live: LiveSettings | None,
        work: Path,
        environment: Mapping[str, str],
        backend_override: Path | None = None,
    ) -> Iterator[Prepared]:
        work = private_directory(work.resolve())
        own_data = work / "terraform-data" if backend_override else None
        users_data = self.directory / environment.get("TF_DATA_DIR", ".terraform")
        with _alone(self.directory):
            self.clean_up(own_data or users_data)
            if calls_downloaded_modules(self.directory):
                self._download_modules(work, own_data or users_data, environment)
            modules = find_modules(self.directory, own_data or users_data)
            found = tuple(function for module in modules for function in module.functions)
            selection = _whole(_select(found, live and live.seen_from(self.directory)), modules)
            with _borrowed_lock_file(self.directory, work) if own_data else _nothing():
                written = [module.directory / name for module in modules for name in OWN_FILES]
                try:
                    self._write_overrides(modules, selection, backend_override)
                    yield Prepared(self.directory, own_data, selection.functions, selection.refused)
                finally:
                    for path in written:
                        path.unlink(missing_ok=True)

    def clean_up(self, data_dir: Path) -> None:
        """Remove what a killed run has left beside the configuration."""
        _return_lock_file(self.directory)
        for name in OWN_FILES:
            (self.directory / name).unlink(missing_ok=True)
        for module in find_modules(self.directory, data_dir):
            for name in OWN_FILES:
                (module.directory / name).unlink(missing_ok=True)

    def _write_overrides(
        self, modules: Sequence[Module], selection: _Selection, backend: Path | None
    ) -> None:
        for module in modules:
            wanted = {
                function.label: selection.substitutions[function.address]
                for function in module.functions
                if function.address in selection.substitutions
            }
            _write_own_files(
                module.directory, wanted, backend if module.directory == self.directory else None
            )

    def _download_modules(self, work: Path, data_dir: Path, environment: Mapping[str, str]) -> None:
        if (data_dir / "modules" / "modules.json").is_file():
            return
        lines: list[str] = []
        code = run_process(
            [self.binary, "get", "-no-color"],
            cwd=self.directory,
            environment={**environment, "TF_DATA_DIR": str(data_dir)},
            scratch=work,
            on_line=lines.append,
        )
        if code != 0:
            raise failure("get", (), "\n".join(lines))


@dataclass(frozen=True, slots=True)
class _Selection:
    """`substitutions` by address."""

    functions: tuple[DeclaredFunction, ...]
    refused: tuple[NotLive, ...]
    substitutions: Mapping[str, Substitution]


def _select(functions: tuple[DeclaredFunction, ...], live: LiveSettings | None) -> _Selection:
    if live is None:
        return _Selection(functions, (), {})
    refused: list[NotLive] = []
    substitutions: dict[str, Substitution] = {}
    for function in functions:
        if not live.selects(function):
            continue
        decision = substitute(function, live)
        if isinstance(decision, NotLive):
            refused.append(decision)
        else:
            substitutions[function.address] = decision
    chosen = tuple(function for function in functions if function.address in substitutions)
    return _Selection(chosen, tuple(refused), substitutions)


def _whole(selection: _Selection, modules: Sequence[Module]) -> _Selection:
    """Take out functions that only some calls of their module want live.

    An override reaches all of them.
    """
    kept = dict(selection.substitutions)
    refused = list(selection.refused)
    for module in modules:
        for label in sorted({function.label for function in module.functions}):
            addresses = [
                function.address for function in module.functions if function.label == label
            ]
            wanted = [address for address in addresses if address in selection.substitutions]
            others = ", ".join(
                address for address in addresses if address not in selection.substitutions
            )
            if not wanted or not others:
                continue
            reason = f"it comes from the same module folder as {others}, which would become a stub with it; map all of "
            reason += "them to local code, or none"
            refused += [NotLive(address, reason) for address in wanted]
            kept = {address: item for address, item in kept.items() if address not in wanted}
    chosen = tuple(
        function
        for function in selection.functions
        if not selection.substitutions or function.address in kept
    )
    return _Selection(chosen, tuple(refused), kept)


def _marked(document: Mapping[str, Json]) -> frozenset[str]:
    """Give the addresses that the Aspect has made live already."""
    functions = section(section(document, "resource"), "aws_lambda_function")
    blocks = {label: block for label, block in functions.items() if isinstance(block, dict)}
    return frozenset(
        f"aws_lambda_function.{label}"
        for label, block in blocks.items()
        if section(section(block, "//"), "terralive").get("live") is True
    )


def _write_own_files(
    directory: Path, wanted: Mapping[str, Substitution], backend: Path | None
) -> None:
    """Write what makes a module's functions live, and nothing where there is nothing to say."""
    documents = {
        OVERRIDE_FILE: {**override_document(wanted), **_backend(backend)},
        ADDED_FILE: added_document(wanted),
    }
    for name, document in documents.items():
        if document:
            write_atomically(directory / name, json.dumps(document, indent=2).encode())
        else:
            (directory / name).unlink(missing_ok=True)


def _backend(state: Path | None) -> dict[str, Json]:
    """Put the state elsewhere: an override's backend takes the place of any other, `cloud` too."""
    if state is None:
        return {}
    state = state.resolve()
    local: Json = {"path": str(state), "workspace_dir": str(state.parent / "workspaces")}
    return {"terraform": {"backend": {"local": local}}}


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other terralive processes out of a folder while an override file is in it.

    The kernel ends it with us.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "folder-busy",
                f"Another terralive is running Terraform in {directory}.",
                hint="Wait for its end, or use another checkout for another stage.",
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _borrowed_lock_file(directory: Path, work: Path) -> Iterator[None]:
    """Give Terraform a dependency lock file of the stage's own, and the team theirs again at the end."""
    lock, theirs, ours = (
        directory / _LOCK_FILE,
        directory / _KEPT_LOCK_FILE,
        work / "stage.lock.hcl",
    )
    write_atomically(theirs, lock.read_bytes() if lock.is_file() else b"")
    try:
        lock.unlink(missing_ok=True)
        if ours.is_file():
            write_atomically(lock, ours.read_bytes())
        yield
    finally:
        if lock.is_file():
            write_atomically(ours, lock.read_bytes())
        _return_lock_file(directory)


def _return_lock_file(directory: Path) -> None:
    theirs, lock = directory / _KEPT_LOCK_FILE, directory / _LOCK_FILE
    if not theirs.is_file():
        return
    content = theirs.read_bytes()
    if content:
        write_atomically(lock, content)
    else:
        lock.unlink(missing_ok=True)
    theirs.unlink()
