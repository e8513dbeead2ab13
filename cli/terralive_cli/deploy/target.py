"""Targets of a deployment (an AWS account and region, or the sandbox), and a stage at its target.

A stage's work folder is `.terralive/aws/ACCOUNT-REGION/STAGE`, or `.terralive/sandbox/ID/STAGE`
with the id of that run of the sandbox. The Terraform state of a sandbox is removed with the
sandbox, and the states of two targets cannot be mixed up.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config, GivenRegion
from terralive_cli.deploy import aws
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.network.sandbox_profiles import (
    profiles_environment,
    profiles_note,
    profiles_of,
)
from terralive_cli.output.events import Emit
from terralive_cli.output.progress import Phase
from terralive_cli.protection.regions import Regions
from terralive_relay.connection.clock import clock_warning
from terralive_sandbox.info import SandboxInfo, attach, environment, local_url
from terralive_sandbox.process import SandboxProcess
from terralive_stub.broker.identity_source import IdentitySource
from terralive_stub.errors import ConfigurationError
from terralive_terraform.debug_stack.configuration import LOCAL_STATE
from terralive_terraform.debug_stack.settings import Endpoints
from terralive_terraform.discovery.hcl.folders import is_opentofu
from terralive_terraform.discovery.providers import (
    AwsProvider,
    default_provider,
    find_aws_providers,
)
from terralive_terraform.runs.environment import debug_stack_environment, terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.runs.version import require_terraform
from terralive_terraform.side_by_side.runs import RunsAtOnce
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.plain_app import tidy

FOLDER: Final = ".terralive"
_SANDBOX_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Target:
    """An AWS account and region, or a sandbox, that a stage is deployed in.

    Attributes:
        name: its name for a person: `account 123456789012, eu-west-1`, `the sandbox, eu-west-1`.
        region: the AWS region.
        environment: the whole environment of Terraform and of the app's program.
        caller: the caller on AWS, with the credentials of this moment.
        work: the stage's work folder.
        endpoints: the addresses of WebSocket APIs, where they are not AWS's own.
        identity_source: the source of a relay's identity: IAM, or its token alone.
        sandbox: the sandbox; None on AWS.
        own_sandbox: whether the sandbox stops with this command.
    """

    name: str
    region: str
    environment: Mapping[str, str] = field(repr=False)
    caller: aws.Caller = field(repr=False)
    work: Path
    endpoints: Endpoints = field(default_factory=Endpoints)
    identity_source: IdentitySource = IdentitySource.IAM
    sandbox: SandboxInfo | None = None
    own_sandbox: bool = False

    def url(self, address: str) -> str:
        """Return the address that answers now for an address that AWS would answer at."""
        if self.sandbox is None:
            return address
        return local_url(self.sandbox, address)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one app, at its target.

    Attributes:
        config: the configuration.
        target: where the stage is deployed.
        emit: takes progress events, on the calling thread.
        environment: the whole environment of Terraform and of the app's program.
        stack: the stack of a CDKTF program that is worked on; "" for the debug stack, for all
            stacks, and for `*.tf` files.
        terraform_version: the version of the Terraform that is run.
        runs: the Terraform runs of the stage that may run at once.
    """

    config: Config
    target: Target
    emit: Emit
    environment: Mapping[str, str] = field(repr=False)
    stack: str = ""
    terraform_version: str = ""
    runs: RunsAtOnce = field(default_factory=RunsAtOnce, repr=False, compare=False)
    # The profiles that the user has been told of: an app is planned several times.
    _told_profiles: list[tuple[str, ...]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def of(cls, config: Config, target: Target, emit: Emit) -> Stage:
        """Return the stage that a command works on.

        Raises:
            ConfigurationError: Terraform is missing or too old.
        """
        terraform_version = require_terraform(config.terraform.binary, target.environment)
        warning = clock_warning(target.caller.clock_offset_s)
        if warning is not None:
            emit(warning)
        environment = terraform_environment(target.environment, target.work)
        return cls(config, target, emit, environment, terraform_version=terraform_version)

    @property
    def own_work(self) -> Path:
        """The folder for what is remembered of one stack; the stage's work folder without one."""
        if not self.stack:
            return self.target.work
        return self.target.work / "stacks" / self.stack

    def accounts(self, directory: Path) -> Accounts:
        """Return sessions in the accounts of the app's functions.

        Args:
            directory: the folder of the app's Terraform configuration.
        """
        providers = aws_providers(self.config, directory)
        return Accounts(self.target.caller, providers, self.config.account_settings)

    @property
    def name(self) -> str:
        """The app and the stage, for a person: `orders/dev-ana`."""
        return f"{self.config.app}/{self.config.stage}"

    def debug_stack_terraform(self, directory: Path, phase: Phase) -> Terraform:
        """Return Terraform in the debug stack's folder. It may need an init."""
        state_file = None
        if self.config.backend is None or self.target.sandbox is not None:
            state_file = directory / LOCAL_STATE
        return Terraform(
            directory,
            binary=self.config.terraform.binary,
            environment=debug_stack_environment(self.environment),
            on_progress=phase.on_progress,
            state_file=state_file,
            runs=self.runs,
        )

    def app_terraform(self, app: Prepared, phase: Phase) -> Terraform:
        """Return Terraform in the app's folder, after `terraform init` where necessary.

        Raises:
            ConfigurationError: `region-differs`. What a CDKTF program declares is known now.
        """
        regions = _regions(self.config, app.directory)
        if self.target.sandbox is None:
            regions.require_same_on_aws(self.target.region, aws.profile_region())
        else:
            regions.require_same_in_sandbox(running_sandbox(self.target.sandbox))
        environment = self._app_environment(app.directory)
        binary = self.config.terraform.binary
        terraform = app.terraform(binary, environment, phase.on_progress, self.runs)
        with phase.step("init"):
            terraform.ensure_init()
        self.runs.begin()
        return terraform

    def _app_environment(self, directory: Path) -> Mapping[str, str]:
        """Return the environment of Terraform in the app's folder."""
        if self.target.sandbox is None:
            return self.environment
        profiles = profiles_of(aws_providers(self.config, directory))
        if profiles and profiles not in self._told_profiles:
            self._told_profiles.append(profiles)
            self.emit(profiles_note(profiles))
        own = profiles_environment(profiles, self.target.sandbox, self.target.work)
        return {**self.environment, **own}


def sandbox_file(project: Path) -> Path:
    """Return the file in which a project's running sandbox leaves its address."""
    return project / FOLDER / "sandbox.json"


def work_folder(project: Path) -> Path:
    """Make the project's `.terralive` folder, with a .gitignore that excludes all of it."""
    folder = project / FOLDER
    folder.mkdir(exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "utf-8")
    return folder


@contextmanager
def opened(
    config: Config, *, may_start_sandbox: bool = False, writes: bool = True
) -> Iterator[Target]:
    """Find the stage's target and the caller, and remove the files that a killed run has left.

    Args:
        config: the configuration.
        may_start_sandbox: whether to run a sandbox while the context lasts, where `--sandbox` asks
            for one and none runs.
        writes: whether the project's `.terralive` folder is made, if it is not there.

    Raises:
        ConfigurationError: no region, `region-differs`, no sandbox to attach to, or
            `sandbox-not-named`.
        CredentialsError: see `aws.identify`.
    """
    # A CDKTF program's output is in a folder of ours; only beside `*.tf` files something is left.
    if not config.terraform.app:
        tidy(config.terraform.dir)
    regions = known_regions(config)
    if not config.sandbox:
        target = _aws(config, regions)
        if target.caller.emulator is not None:
            _refuse_own_sandbox(config.project, target.caller.emulator)
        if writes:
            work_folder(config.project)
        yield target
        return
    running = attach(sandbox_file(config.project))
    if running is not None:
        regions.require_same_in_sandbox(running_sandbox(running))
        yield _sandbox(config, running, own_sandbox=False)
        return
    if not may_start_sandbox:
        raise ConfigurationError(
            "no-sandbox",
            "No sandbox runs for this project.",
            hint="Start one in another terminal: `terralive sandbox`. (`terralive start --sandbox` "
            "starts one by itself.) A sandbox that has stopped keeps nothing.",
        )
    process = start_sandbox(config)
    try:
        yield _sandbox(config, process.info, own_sandbox=True)
    finally:
        process.stop()
        shutil.rmtree(config.project / FOLDER / "sandbox" / process.info.id, ignore_errors=True)


def _refuse_own_sandbox(project: Path, emulator: str) -> None:
    """Refuse to take the project's sandbox for an AWS account: no relay finds its APIs.

    Raises:
        ConfigurationError: `sandbox-not-named`.
    """
    running = attach(sandbox_file(project))
    if running is None or running.endpoint.rstrip("/") != emulator.rstrip("/"):
        return
    raise ConfigurationError(
        "sandbox-not-named",
        f"AWS_ENDPOINT_URL is the address of this project's sandbox: {emulator}.",
        hint="Add --sandbox to this command. It works on what you have applied there by hand, too.",
    )


def start_sandbox(config: Config, *, port: int = 0) -> SandboxProcess:
    """Run a sandbox for the project, and remove the work folders of earlier sandboxes."""
    folder = work_folder(config.project)
    shutil.rmtree(folder / "sandbox", ignore_errors=True)
    regions = known_regions(config)
    region = regions.wanted(config.region) or _SANDBOX_REGION
    regions.require_same_in_sandbox(GivenRegion(region, "the new sandbox"))
    return SandboxProcess.start(
        sandbox_file(config.project),
        region=region,
        port=port,
        log_path=folder / "sandbox.log",
    )


def known_regions(config: Config) -> Regions:
    """Return the regions that the user, the shell and the Terraform configuration name.

    What a CDKTF program declares is not known before it has run; see `Stage.app_terraform`.
    """
    if config.terraform.app:
        return Regions(config.given_regions)
    return _regions(config, config.terraform.dir)


def _regions(config: Config, directory: Path) -> Regions:
    """Return the regions that the user, the shell and the files in a folder name."""
    provider = default_provider(aws_providers(config, directory))
    return Regions.of(config.given_regions, provider, config.project)


def aws_providers(config: Config, directory: Path) -> tuple[AwsProvider, ...]:
    """Return the AWS providers that the Terraform configuration in a folder declares."""
    opentofu = is_opentofu(config.terraform.binary)
    arguments = config.terraform.plan_arguments
    return find_aws_providers(directory, arguments, os.environ, opentofu=opentofu)


def running_sandbox(info: SandboxInfo) -> GivenRegion:
    return GivenRegion(info.region, "the running sandbox")


def _aws(config: Config, regions: Regions) -> Target:
    caller = aws.identify(regions.wanted(config.region))
    regions.require_same_on_aws(caller.region, aws.profile_region())
    place = f"{caller.account}-{caller.region}"
    name = f"account {caller.account}, {caller.region}"
    identity_source = IdentitySource.IAM
    if caller.emulator is not None:
        # An emulator may not tell who connects.
        identity_source = IdentitySource.TOKEN
        name = f"{name} at {caller.emulator}"
    return Target(
        name=name,
        region=caller.region,
        environment={**os.environ, "AWS_REGION": caller.region, **_stage(config)},
        caller=caller,
        work=config.project / FOLDER / "aws" / place / config.stage,
        identity_source=identity_source,
    )


def _sandbox(config: Config, info: SandboxInfo, *, own_sandbox: bool) -> Target:
    # The user's own AWS settings must not reach Terraform together with the sandbox's keys.
    own = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    access = environment(info)
    caller = aws.identify(info.region, access)
    return Target(
        name=f"the sandbox, {info.region}",
        region=info.region,
        environment={**own, **access, **_stage(config)},
        caller=caller,
        work=work_folder(config.project) / "sandbox" / info.id / config.stage,
        endpoints=Endpoints(websocket=info.websocket_url, management=info.management_url),
        sandbox=info,
        own_sandbox=own_sandbox,
    )


def _stage(config: Config) -> dict[str, str]:
    """Return the variables that the app's own program may read."""
    return {"TERRALIVE_APP": config.app, "TERRALIVE_STAGE": config.stage}
