"""The configuration: every setting that terralive has, and the frozen values that hold them.

Each setting is declared on the field that holds it (see `settings.py`): first those of the tables
of terralive.toml, then `Config`, which holds them all. `loading.py` makes the
values. No other module reads a setting, except those in `READ_ELSEWHERE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from terralive_cli.configuration import rules
from terralive_cli.configuration.kinds import (
    BackendArguments,
    Choice,
    CodeFolder,
    Document,
    Files,
    Folder,
    Labels,
    Number,
    Program,
    ProgramName,
    Switch,
    Text,
    Texts,
    TextsOrTables,
)
from terralive_cli.configuration.settings import Setting, setting, setting_table
from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.limits import CONCURRENT_EXECUTIONS
from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import without_keys
from terralive_terraform.debug_stack.settings import DebugStackSettings

FILE: Final = "terralive.toml"
_DEBUG_STACK: Final = {item.name: item.default for item in fields(DebugStackSettings)}


class Output(StrEnum):
    """Format of the output."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class TerraformConfig:
    """The Terraform program.

    Attributes:
        dir: absolute folder of the root module, or the folder in which `app` runs.
        app: command of a CDK for Terraform program (`python main.py`); None for plain Terraform.
        stack: name of that program's stack; None if the program has only one.
        binary: `terraform`, `tofu`, `terragrunt`, or a path.
        var_files: absolute paths for `-var-file`.
        backend_config: arguments for `terraform init -backend-config`; paths are absolute.
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
    stack: str | None = setting(
        Text(),
        "Name of the program's stack to make live.",
        default=None,
        shown_default="the program's only stack",
    )
    binary: str = setting(
        ProgramName(),
        "`terraform`, `tofu`, `terragrunt`, or a path.",
        default="terraform",
        env="TERRALIVE_TERRAFORM_BINARY",
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
    found: bool = True


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
        "ARN of the KMS key that encrypts the table and the logs.",
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
    """The stub as a container image, by architecture.

    https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
    """

    x86_64: str | None = setting(
        Text(),
        "The stub as a container image in ECR, for functions that are container images. "
        "terralive replaces `{region}`.",
        default=None,
        rule=rules.image,
    )
    arm64: str | None = setting(
        Text(),
        "The same for functions whose `architectures` are `arm64`.",
        default=None,
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
        allow_variables: names of environment variables.
    """

    pattern: str
    path: Path | None = setting(
        CodeFolder(),
        "Folder of the function's local code.",
        default=None,
        shown_default="as found in the Terraform configuration",
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
        shown_default="as found in the Terraform configuration, or by the name of the image's ECR "
        "repository",
    )
    python: Path | None = setting(
        Program(),
        "Interpreter of a Python handler.",
        default=None,
        shown_default="the project's venv, else the Python that runs terralive",
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
    allow_variables: tuple[str, ...] = setting(
        Texts(),
        "Environment variables of the function in Lambda to take over although they can make "
        "programs run code or read files here (`NODE_OPTIONS`, `GIT_SSH_COMMAND`). A warning "
        "names those that are left out. Whoever may change the function's environment in AWS "
        "can then run code on your machine.",
        default=(),
        shown_default="none",
    )


@dataclass(frozen=True, slots=True)
class GivenRegion:
    """A region that somebody has given.

    Attributes:
        region: the region's name.
        source: where it was given, for a person: `--region`, `AWS_REGION`.
    """

    region: str
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration.

    Attributes:
        terraform: the Terraform program.
        workspace: the selected Terraform workspace; "" if none is selected.
        region: the AWS region; None for the region of the provider or of the AWS profile.
        given_regions: the regions that were given, and by what; the one that counts comes first.
        output: format of the output; None for the one that suits the terminal.
        backend: None for a local state under `.terralive/`.
        stub_images: the stub as a container image, by architecture.
        account_settings: credentials for functions of other accounts.
        functions: settings of functions, in the order of the file.
    """

    project: Path = setting(
        Text(),
        "The project's folder. Paths in `terralive.toml` are relative to it.",
        in_file=False,
        flag="--project",
        metavar="DIR",
        env="TERRALIVE_PROJECT",
        shown_default="the nearest folder with a `terralive.toml`, from the current "
        "folder upwards, else the current folder",
    )
    app: str = setting(
        Text(),
        "Name of the app. It is part of every name and tag.",
        env="TERRALIVE_APP",
        shown_default="the name of the Git repository (of its remote, else of its top folder), "
        "without Git the name of the project's folder, or of the one around `infra` or `terraform`",
        rule=rules.name,
    )
    stage: str = setting(
        Text(placeholders=("user",)),
        "The deployed copy of the app to work on. `{user}` is your user name.",
        flag="--stage",
        metavar="S",
        env="TERRALIVE_STAGE",
        shown_default="`dev-{user}`",
        rule=rules.name,
    )
    user: str = setting(
        Text(),
        "Your user name: the value of `{user}`, and the owner of the stage.",
        in_file=False,
        env="TERRALIVE_USER",
        shown_default="your login name",
    )
    terraform: TerraformConfig = setting_table("terraform", TerraformConfig)
    workspace: str = ""
    source: str = setting(
        Text(),
        "Where the project comes from. A debug stack of another source is never used or changed.",
        default="",
        env="TERRALIVE_SOURCE",
        shown_default="the Git remote and the project's folder in the repository, as in "
        "`github.com/acme/orders//infra`; without a remote the folders' names",
        rule=rules.source,
    )
    region: str | None = setting(
        Text(),
        "The AWS region.",
        default=None,
        flag="--region",
        metavar="R",
        env="TERRALIVE_REGION",
        shown_default="`AWS_REGION`, `AWS_DEFAULT_REGION`, the literal region of your Terraform "
        'configuration\'s `provider "aws"`, else the region of your AWS profile',
        rule=rules.region,
    )
    given_regions: tuple[GivenRegion, ...] = ()
    sandbox: bool = setting(
        Switch(),
        "Use AWS in one local process instead of an account.",
        default=False,
        flag="--sandbox",
        env="TERRALIVE_SANDBOX",
    )
    output: Output | None = setting(
        Choice(Output),
        "Format of the output: `rich`, `plain`, or `json` (one object per line, for scripts).",
        default=None,
        flag="--output",
        metavar="KIND",
        env="TERRALIVE_OUTPUT",
        shown_default="`rich` in a terminal, else `plain`",
    )
    forward_logs: bool = setting(
        Switch(),
        "Also write the local output of handlers to the functions' logs in CloudWatch (at "
        "most 90 KB per second and invocation).",
        default=False,
        flag="--forward-logs",
        command="start",
        env="TERRALIVE_FORWARD_LOGS",
    )
    stub_check_seconds: int = setting(
        Number(0, 3600),
        "Seconds between two looks of `terralive start` whether the live functions still have this "
        "stage's stub; 0 for none. A warning tells that a pipeline or a colleague has replaced it.",
        default=60,
    )
    yes: bool = setting(
        Switch(),
        "Change things without a question.",
        default=False,
        in_file=False,
        flag="--yes",
        short="-y",
        env="TERRALIVE_YES",
    )
    debug: bool = setting(
        Switch(),
        "Print a traceback with every error. Write it before `start`: after `start`, "
        "`--debug` names a function.",
        default=False,
        in_file=False,
        flag="--debug",
        env="TERRALIVE_DEBUG",
    )
    protected: tuple[str, ...] = setting(
        Texts(),
        "Stages, Terraform workspaces and variables files that terralive does not touch.",
        default=("prod*", "main"),
    )
    production_words: tuple[str, ...] = setting(
        Texts(),
        "Words that mean production, wherever they are in a name: a folder of the repository, the "
        "stage, the workspace, a variables file, an environment's variable or tag, the backend's "
        "arguments, the AWS profile, the account's alias, a function. terralive does not touch "
        "what has such a name.",
        default=("prod", "production", "prd"),
    )
    accounts: tuple[str, ...] = setting(
        TextsOrTables(),
        "Ids of the AWS accounts that terralive may change. In the environment variable, they are "
        "separated by commas. Instead of a list, there may be a table for each account "
        '(`[accounts."123456789012"]`).',
        default=(),
        env="TERRALIVE_ACCOUNTS",
        shown_default="each account that you have confirmed on this machine",
        rule=rules.accounts,
    )
    allow_protected: bool = setting(
        Switch(),
        "Touch a protected stage, or what looks like production, in this run.",
        default=False,
        in_file=False,
        flag="--allow-protected",
    )
    backend: BackendConfig | None = setting_table("backend", BackendConfig, default=None)
    debug_stack: DebugStackConfig = setting_table(
        "debug_stack", DebugStackConfig, default_factory=DebugStackConfig
    )
    stub_images: Mapping[str, str] = setting_table("stub_image", StubImages, default_factory=dict)
    account_settings: tuple[AccountSettings, ...] = setting_table(
        'accounts."ID"', AccountSettings, default=()
    )
    functions: tuple[FunctionSettings, ...] = setting_table(
        'functions."NAME"', FunctionSettings, default=()
    )

    def function_for(self, address: str, name: str) -> FunctionSettings | None:
        """Return the settings of a function, or of one instance with `count` or `for_each`.

        The order of precedence: the exact address or name; a pattern that names instances
        (`….worker["eu-*"]`); the address without instance keys (`….worker` is for all instances);
        any other pattern. Within one rank the first one in the file counts.
        """
        declared = without_keys(address)
        exact = {address, name} - {""}
        all_names = {address, name, declared} - {""}
        ranks: list[list[FunctionSettings]] = [[], [], [], []]
        for item in self.functions:
            if item.pattern in exact:
                ranks[0].append(item)
            elif _names_instances(item.pattern) and _matches(item.pattern, address):
                ranks[1].append(item)
            elif item.pattern == declared:
                ranks[2].append(item)
            elif any(_matches(item.pattern, known) for known in all_names):
                ranks[3].append(item)
        for rank in ranks:
            if rank:
                return rank[0]
        return None

    def of_instances(self, address: str) -> tuple[FunctionSettings, ...]:
        """Return the settings of single instances of a function (`….worker["eu"]`)."""
        found = []
        for item in self.functions:
            base = without_keys(item.pattern)
            if _names_instances(item.pattern) and _matches(base, address):
                found.append(item)
        return tuple(found)

    def require_program(self) -> TerraformConfig:
        """Return the Terraform program.

        Raises:
            ConfigurationError: `no-terraform-program`.
        """
        if self.terraform.found:
            return self.terraform
        raise ConfigurationError(
            "no-terraform-program",
            f"No Terraform configuration in {self.terraform.dir}: there are no *.tf files and no "
            "cdktf.json.",
            hint="Go to your app's folder, add `--project DIR`, or name the folder in the table "
            f'[terraform] of {FILE}: dir = "infra".',
        )

    def refuse_protected(self) -> None:
        """Raise ConfigurationError if the stage, the workspace or a variables file is protected.

        Plain Terraform knows no stages: a workspace or a variables file tells its copies apart.
        """
        if self.allow_protected:
            return
        named = [("Stage", self.stage)]
        if not self.sandbox:
            named.append(("Terraform workspace", self.workspace))
            for file in self.terraform.var_files:
                named.append(("Variables file", file.name.partition(".")[0]))
        for kind, name in named:
            for pattern in self.protected:
                if _matches(pattern, name):
                    raise _protected(kind, name, pattern)


# Settings that other parts of terralive read from the environment.
READ_ELSEWHERE: Final = (
    Setting(
        Text(),
        "Level of the debug log: `debug`, `info`, `warning` or `error`. With `debug`, it shows "
        "decisions, retries and the protocol of all parts, and never payloads, environment "
        "variables of functions, or credentials.",
        in_file=False,
        env="TERRALIVE_LOG",
        shown_default="no debug log",
    ),
    Setting(
        Text(),
        "File for the debug log. The sandbox appends to the same file.",
        in_file=False,
        env="TERRALIVE_LOG_FILE",
        shown_default="stderr; for the sandbox, `.terralive/sandbox.log`",
    ),
    Setting(
        Folder(),
        "Mirror folder from which Terraform installs provider plugins (see `terraform providers "
        "mirror`).",
        in_file=False,
        env="TERRALIVE_PROVIDER_MIRROR",
        shown_default="Terraform's own sources: the registry, or an implied mirror folder",
    ),
)


def _protected(kind: str, name: str, pattern: str) -> ConfigurationError:
    return ConfigurationError(
        "stage-protected",
        f'{kind} "{name}" is protected (by "{pattern}"): its functions would run on this machine.',
        hint="Work on a stage of your own (`--stage dev-…`, with its own workspace and variables "
        "file). If you are sure, add `--allow-protected`.",
    )


def _names_instances(pattern: str) -> bool:
    return pattern != without_keys(pattern)


def _matches(pattern: str, value: str) -> bool:
    # Brackets stand in Terraform addresses (`aws_lambda_function.api["eu"]`) and mean themselves.
    return fnmatchcase(value, pattern.replace("[", "[[]"))
