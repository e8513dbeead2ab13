"""The tables of terralive.toml: each setting, declared on the field of the value that holds it.

`values.py` has `Config`, which holds them all. No other module reads a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Final

from terralive_cli.configuration import rules
from terralive_cli.configuration.kinds import (
    BackendArguments,
    ChoiceOrSwitch,
    CodeFolder,
    CodeFolders,
    Document,
    Files,
    Folder,
    Labels,
    Number,
    Program,
    ProgramName,
    Switch,
    Text,
    TextOrTexts,
    Texts,
)
from terralive_cli.configuration.settings import setting
from terralive_stub.protocol.limits import CONCURRENT_EXECUTIONS
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import STUB_IMAGE_BASE
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.runs.arguments import VAR, VAR_FILE, parsed

_DEBUG_STACK: Final = {item.name: item.default for item in fields(DebugStackSettings)}


class FallbackChoice(StrEnum):
    """Whether the deployed code of a function answers where nobody is connected."""

    AUTO = "auto"  # where a version of it can be published
    ALWAYS = "true"  # also where publishing one takes long or costs money
    NEVER = "false"


class DownloadChoice(StrEnum):
    """Whether layers are downloaded that the configuration names by ARN."""

    ASK = "ask"  # a question on a terminal, once for each layer
    ALWAYS = "true"
    NEVER = "false"


@dataclass(frozen=True, slots=True)
class TerraformConfig:
    """The Terraform program.

    Attributes:
        dir: absolute folder of the root module, or the folder in which `app` runs.
        app: command of a CDK for Terraform program (`python main.py`); None for plain Terraform.
        stack: names, or patterns, of that program's stacks to make live; () for all with functions.
        binary: `terraform`, `tofu`, or a path.
        var_files: absolute paths for `-var-file`.
        backend_config: arguments for `terraform init -backend-config`; paths are absolute.
        arguments: the user's own arguments for plans and applies of the app, each of them one word;
            paths are absolute. They may hold secrets.
        found: true if the folder holds a Terraform program.
    """

    dir: Path = setting(
        Folder(),
        "Folder of the Terraform configuration or of `cdktf.json`.",
        env="TERRALIVE_TERRAFORM_DIR",
        shown_default="the project's folder",
    )
    app: str | None = setting(
        Text(),
        "Command that runs your CDK for Terraform program.",
        default=None,
        shown_default="`app` in `cdktf.json`, if there is one",
    )
    stack: tuple[str, ...] = setting(
        TextOrTexts(),
        "Names of the program's stacks to make live; `*` and `?` are wildcards. The option may be "
        "given several times. In the file, it is a text or a list. In the environment variable, "
        "commas or spaces separate the names.",
        default=(),
        flag="--stack",
        metavar="STACK",
        env="TERRALIVE_STACK",
        shown_default="all stacks with functions",
    )
    binary: str = setting(
        ProgramName(),
        "`terraform`, `tofu`, or a path.",
        default="terraform",
        env="TERRALIVE_TERRAFORM_BINARY",
        rule=rules.terraform_binary,
    )
    var_files: tuple[Path, ...] = setting(
        Files(),
        "Files for `-var-file`, relative to the project's folder.",
        default=(),
    )
    backend_config: tuple[str, ...] = setting(
        BackendArguments(placeholders=("app", "stage", "user")),
        "Arguments for `terraform init -backend-config` of the app, if its backend is partly "
        "configured: `key=value`, or a file, relative to the project's folder. terralive replaces "
        "`{app}`, `{stage}` and `{user}` in them, and keeps its own `TF_DATA_DIR` for the app. In "
        "the environment variable, spaces separate them.",
        default=(),
        env="TERRALIVE_BACKEND_CONFIG",
    )
    arguments: tuple[str, ...] = field(default=(), repr=False)
    found: bool = True

    @property
    def plan_arguments(self) -> tuple[str, ...]:
        """Arguments for `terraform plan`. Those that the user has typed come last."""
        return (*(f"{VAR_FILE}={file}" for file in self.var_files), *self.arguments)

    @property
    def given_var_files(self) -> tuple[Path, ...]:
        """All files of `-var-file`."""
        given = parsed(self.plan_arguments)
        return tuple(Path(item.value) for item in given if item.name == VAR_FILE)

    @property
    def given_variables(self) -> Mapping[str, str]:
        """The values of `-var`, as they were typed."""
        values: dict[str, str] = {}
        for item in parsed(self.arguments):
            if item.name == VAR:
                name, _, value = item.value.partition("=")
                values[name.strip()] = value
        return values


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """Terraform backend for the state of the debug stack. Its placeholders are filled."""

    type: str = setting(
        Text(),
        "Terraform backend for the state of the debug stack. A checkout without the state finds "
        "the debug stack by its name all the same.",
        shown_default="`local`, under `.terralive/`",
        rule=rules.backend,
    )
    config: Mapping[str, Json] = setting(
        Document(placeholders=("app", "stage", "user")),
        "Arguments of the `backend` block. terralive replaces `{app}`, `{stage}` and "
        "`{user}` in them.",
        default_factory=dict,
        repr=False,
    )


@dataclass(frozen=True, slots=True)
class DebugStackConfig:
    """An organisation's demands on the debug stack (see `DebugStackSettings`)."""

    class_: str | None = setting(
        Text(),
        "A subclass of `terralive_terraform.debug_stack.DebugStack` that adds resources of yours, "
        "as `package.module:Class`. It is imported from the project's folder, and needs Node.js.",
        default=None,
        shown_default="terralive's own debug stack, which needs no Node.js",
        rule=rules.import_path,
    )
    permissions_boundary: str | None = setting(
        Text(),
        "ARN of the permissions boundary for the broker's role.",
        default=None,
        rule=rules.permissions_boundary,
    )
    role_path: str = setting(
        Text(),
        "Path of the broker's role.",
        default=_DEBUG_STACK["role_path"],
        rule=rules.role_path,
    )
    name_prefix: str = setting(
        Text(),
        "Prefix of the names of all resources that terralive creates.",
        default=_DEBUG_STACK["name_prefix"],
        rule=rules.name,
    )
    tags: Mapping[str, str] = setting(
        Labels(),
        "Tags of all resources that terralive creates, in addition to its own tags.",
        default_factory=dict,
        rule=rules.tags,
    )
    kms_key: str | None = setting(
        Text(),
        "ARN of the KMS key that encrypts the debug stack: the table, the broker's variables and "
        "logs, the stub's bucket and the repository of its image.",
        default=None,
        shown_default="keys that AWS owns",
        rule=rules.kms_key,
    )
    log_retention_days: int = setting(
        Number(1, max(rules.RETENTION_DAYS)),
        "Days for which CloudWatch Logs keeps the broker's log.",
        default=_DEBUG_STACK["log_retention_days"],
        rule=rules.retention,
    )
    throttle_rate: int = setting(
        Number(1, rules.MOST_REQUESTS),
        "Messages a second that each API of the debug stack accepts. They count against the "
        "account's quota for all APIs in the Region.",
        default=_DEBUG_STACK["throttle_rate"],
    )
    throttle_burst: int = setting(
        Number(1, rules.LARGEST_BURST),
        "Messages at once that each API of the debug stack accepts.",
        default=_DEBUG_STACK["throttle_burst"],
    )
    broker_concurrency: int | None = setting(
        Number(0, CONCURRENT_EXECUTIONS),
        "Reserved concurrency of the broker; 0 for none. AWS keeps 100 executions of an account "
        "unreserved.",
        default=None,
        shown_default="20, where at least half of the account's concurrency remains unreserved; "
        "else none. An existing broker keeps what it has",
    )


@dataclass(frozen=True, slots=True)
class StubImages:
    """The stub as a container image, by architecture, and the base of those that terralive makes.

    https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
    """

    base: str = setting(
        Text(),
        "Lambda's base image for Python, from which terralive makes the stub's image. Name a "
        "mirror where this machine may not reach public.ecr.aws. terralive replaces `{region}`.",
        default=STUB_IMAGE_BASE,
        rule=rules.base_image,
    )
    x86_64: str | None = setting(
        Text(),
        "The stub as a container image in ECR, for functions that are container images, where "
        "terralive is not to make and push one. terralive replaces `{region}`.",
        default=None,
        shown_default="made and pushed at the first start",
        rule=rules.image,
    )
    arm64: str | None = setting(
        Text(),
        "The same for functions whose `architectures` are `arm64`.",
        default=None,
        shown_default="see `x86_64`",
        rule=rules.image,
    )


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Credentials for functions of another account than the debug stack's.

    Attributes:
        account: the account's id.
    """

    account: str
    profile: str | None = setting(
        Text(),
        "AWS profile with which terralive looks at the functions of this account.",
        default=None,
        shown_default="the `profile` or `assume_role` of your Terraform configuration's provider",
    )
    role_arn: str | None = setting(
        Text(),
        "ARN of the role that terralive assumes to look at the functions of this account.",
        default=None,
        shown_default="see `profile`",
        rule=rules.role_arn,
    )
    external_id: str | None = setting(
        Text(),
        "External id with which terralive assumes the role.",
        default=None,
    )


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """Settings of the functions that `pattern` matches; None for a setting that is not given.

    Attributes:
        pattern: a Terraform address or function name; `*` and `?` are wildcards.
        path: absolute folder of the local code.
        dockerfile: absolute path of a Dockerfile, or of its folder.
        runtime: the runtime, if the Terraform configuration does not name one (a container image).
        python, node: an absolute path, or a bare command name (`python3.12`).
        command: a program that speaks the Runtime API, and its arguments. It runs instead of
            terralive's own runtime.
        build: a shell command that makes the code in `path`; it runs in the project's folder.
        watch: glob patterns, relative to `path`.
        roots: absolute folders.
        allow_variables: names of environment variables.
    """

    pattern: str
    live: bool = setting(
        Switch(),
        "`false` leaves the function as it is. `--only` can make it live all the same.",
        default=True,
    )
    fallback: FallbackChoice | None = setting(
        ChoiceOrSwitch(FallbackChoice),
        "The setting `fallback` for this function.",
        default=None,
        shown_default="that of the project",
    )
    path: Path | None = setting(
        CodeFolder(),
        "Folder of the function's local code.",
        default=None,
        shown_default="found by the Terraform configuration, the function's zip or the handler's "
        "file; `terralive plan` shows it",
    )
    handler: str | None = setting(
        Text(),
        "The local handler.",
        default=None,
        shown_default="as deployed",
    )
    runtime: str | None = setting(
        Text(),
        "Runtime of a container image (`python3.13`, `nodejs22.x`).",
        default=None,
        shown_default="as deployed; for a container image, as its Dockerfile says",
    )
    dockerfile: Path | None = setting(
        CodeFolder(),
        "Dockerfile that builds the function's container image, or its folder. It tells the "
        "runtime, the folder of the code and the handler.",
        default=None,
        shown_default="found by the Terraform configuration, by the name of the ECR repository or "
        "of the function, or as the only one of the repository",
    )
    python: Path | None = setting(
        Program(),
        "Interpreter of a Python handler.",
        default=None,
        shown_default="the project's venv, else the active one, else the Python of the deployed "
        "version (on `PATH`, of pyenv or uv) if it has the modules that the handler imports, else "
        "the Python that runs terralive",
    )
    roots: tuple[Path, ...] = setting(
        CodeFolders(),
        "Folders that a Python handler also imports modules from, relative to the project's "
        "folder (`packages/core/src`). An edit there reloads the handler.",
        default=(),
        shown_default="none",
    )
    node: Path | None = setting(
        Program(),
        "Interpreter of a Node.js handler, version 18 or newer.",
        default=None,
        shown_default="`node` on `PATH`, else the one that terralive's extra `node` installs",
    )
    command: tuple[str, ...] = setting(
        Texts(),
        "A program that speaks Lambda's Runtime API, and its arguments. It runs the "
        "handler instead of terralive's own runtime.",
        default=(),
        shown_default="terralive's own runtime for Python and Node.js; the function's "
        "`bootstrap` for `provided.*`",
    )
    build: str | None = setting(
        Text(),
        "Shell command that makes the code in `path`. It runs in the project's folder, at "
        "the start and after a change. Name its source files in `watch`: otherwise "
        "terralive takes files that change during a build for its output.",
        default=None,
    )
    watch: tuple[str, ...] = setting(
        Texts(),
        "Glob patterns, relative to `path`. A change of a matching file reloads the "
        "handler. A pattern that leads out of `path` (`../shared/**`) adds files to the "
        "watched ones.",
        default=(),
        shown_default="all files below `path`",
    )
    max_workers: int = setting(
        Number(1, CONCURRENT_EXECUTIONS),
        "Number of invocations that may run at the same time.",
        default=16,
    )
    env: Mapping[str, str] = setting(
        Labels(),
        "Environment variables for local runs: others than the function has in Lambda, or with "
        "other values. `terralive plan` shows their names.",
        default_factory=dict,
        shown_default="none",
        rule=rules.variables,
        repr=False,
    )
    allow_variables: tuple[str, ...] = setting(
        Texts(),
        "Environment variables of the function in Lambda to take over although they can make "
        "programs run code or read files here (`NODE_OPTIONS`, `GIT_SSH_COMMAND`). A warning "
        "names those that are left out. Whoever may change the function's environment in AWS "
        "can then run code on your machine.",
        default=(),
        shown_default="none",
    )
