"""The tables of terralive.toml: their settings, and the frozen values that hold them.

Each setting is declared on the field that holds it (see `settings.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from terralive_cli.configuration import rules
from terralive_cli.configuration.kinds import (
    CodeFolder,
    Document,
    Files,
    Folder,
    Labels,
    Number,
    Program,
    ProgramName,
    Text,
    Texts,
)
from terralive_cli.configuration.settings import declare
from terralive_stub.protocol.limits import CONCURRENT_EXECUTIONS
from terralive_stub.shared.json_documents import Json


@dataclass(frozen=True, slots=True)
class TerraformConfig:
    """The Terraform program.

    Attributes:
        dir: absolute folder of the root module, or the folder in which `app` runs.
        app: command of a CDK for Terraform program (`python main.py`); None for plain Terraform.
        stack: name of that program's stack; None if the program has only one.
        binary: `terraform`, `tofu`, `terragrunt`, or a path.
        var_files: absolute paths for `-var-file`.
        found: true if the folder holds a Terraform program.
    """

    dir: Path = field(
        metadata=declare(
            Folder(),
            "Folder of the Terraform configuration or of `cdktf.json`.",
            key="terraform.dir",
            env="TERRALIVE_TERRAFORM_DIR",
            shown_default="the project's folder",
        )
    )
    app: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "Command that runs your CDK for Terraform program.",
            key="terraform.app",
            shown_default="`app` in `cdktf.json`, if there is one",
        ),
    )
    stack: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "Name of the program's stack to make live.",
            key="terraform.stack",
            shown_default="the program's only stack",
        ),
    )
    binary: str = field(
        default="terraform",
        metadata=declare(
            ProgramName(),
            "`terraform`, `tofu`, `terragrunt`, or a path.",
            key="terraform.binary",
            env="TERRALIVE_TERRAFORM_BINARY",
        ),
    )
    var_files: tuple[Path, ...] = field(
        default=(),
        metadata=declare(
            Files(),
            "Files for `-var-file`, relative to the project's folder.",
            key="terraform.var_files",
        ),
    )
    found: bool = True


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """Terraform backend for the state of the debug stack. Its placeholders are filled."""

    type: str = field(
        metadata=declare(
            Text(),
            "Terraform backend for the state of the debug stack. A cleanup job on another "
            "machine needs a remote backend.",
            key="backend.type",
            shown_default="`local`, under `.terralive/`",
            rule=rules.backend,
        )
    )
    config: Mapping[str, Json] = field(
        default_factory=dict,
        repr=False,
        metadata=declare(
            Document(placeholders=("app", "stage", "user")),
            "Arguments of the `backend` block. terralive replaces `{app}`, `{stage}` and "
            "`{user}` in them.",
            key="backend.config",
        ),
    )


@dataclass(frozen=True, slots=True)
class DebugStackConfig:
    """An organisation's demands on the debug stack (see `DebugStackSettings`)."""

    permissions_boundary: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "ARN of the permissions boundary for the broker's role.",
            key="debug_stack.permissions_boundary",
            rule=rules.permissions_boundary,
        ),
    )
    role_path: str = field(
        default="/",
        metadata=declare(
            Text(), "Path of the broker's role.", key="debug_stack.role_path", rule=rules.role_path
        ),
    )
    name_prefix: str = field(
        default="terralive",
        metadata=declare(
            Text(),
            "Prefix of the names of all resources that terralive creates.",
            key="debug_stack.name_prefix",
            rule=rules.name,
        ),
    )
    tags: Mapping[str, str] = field(
        default_factory=dict,
        metadata=declare(
            Labels(),
            "Tags of all resources that terralive creates, in addition to its own tags.",
            key="debug_stack.tags",
            rule=rules.tags,
        ),
    )
    kms_key: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "ARN of the KMS key that encrypts the table and the logs.",
            key="debug_stack.kms_key",
            shown_default="keys that AWS owns",
            rule=rules.kms_key,
        ),
    )
    log_retention_days: int = field(
        default=7,
        metadata=declare(
            Number(1, max(rules.RETENTION_DAYS)),
            "Days for which CloudWatch Logs keeps the broker's log.",
            key="debug_stack.log_retention_days",
            rule=rules.retention,
        ),
    )


@dataclass(frozen=True, slots=True)
class StubImages:
    """The stub as a container image, by architecture.

    https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
    """

    x86_64: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "The stub as a container image in ECR, for functions that are container images. "
            "terralive replaces `{region}`.",
            key="stub_image.x86_64",
            rule=rules.image,
        ),
    )
    arm64: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "The same for functions whose `architectures` are `arm64`.",
            key="stub_image.arm64",
            rule=rules.image,
        ),
    )


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """Settings of the functions that `pattern` matches; None for a setting that is not given.

    Attributes:
        pattern: a Terraform address or function name; `*` and `?` are wildcards.
        path: absolute folder of the local code.
        runtime: the runtime, if the Terraform configuration does not name one (a container image).
        python, node: an absolute path, or a bare command name (`python3.12`).
        command: a program that speaks the Runtime API, and its arguments. It runs instead of
            terralive's own runtime.
        build: a shell command that makes the code in `path`; it runs in the project's folder.
        watch: glob patterns, relative to `path`.
    """

    pattern: str
    path: Path | None = field(
        default=None,
        metadata=declare(
            CodeFolder(),
            "Folder of the function's local code.",
            key='functions."NAME".path',
            shown_default="as found in the Terraform configuration",
        ),
    )
    handler: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "The local handler.",
            key='functions."NAME".handler',
            shown_default="as deployed",
        ),
    )
    runtime: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "Runtime of a container image (`python3.13`, `nodejs22.x`).",
            key='functions."NAME".runtime',
            shown_default="as deployed",
        ),
    )
    python: Path | None = field(
        default=None,
        metadata=declare(
            Program(),
            "Interpreter of a Python handler.",
            key='functions."NAME".python',
            shown_default="the project's venv, else the Python that runs terralive",
        ),
    )
    node: Path | None = field(
        default=None,
        metadata=declare(
            Program(),
            "Interpreter of a Node.js handler, version 18 or newer.",
            key='functions."NAME".node',
            shown_default="`node` on `PATH`, else the one that terralive's extra `node` installs",
        ),
    )
    command: tuple[str, ...] = field(
        default=(),
        metadata=declare(
            Texts(),
            "A program that speaks Lambda's Runtime API, and its arguments. It runs the "
            "handler instead of terralive's own runtime.",
            key='functions."NAME".command',
            shown_default="terralive's own runtime for Python and Node.js; the function's "
            "`bootstrap` for `provided.*`",
        ),
    )
    build: str | None = field(
        default=None,
        metadata=declare(
            Text(),
            "Shell command that makes the code in `path`. It runs in the project's folder, at "
            "the start and after a change. Name its source files in `watch`: otherwise "
            "terralive takes files that change during a build for its output.",
            key='functions."NAME".build',
        ),
    )
    watch: tuple[str, ...] = field(
        default=(),
        metadata=declare(
            Texts(),
            "Glob patterns, relative to `path`. A change of a matching file reloads the "
            "handler. A pattern that leads out of `path` (`../shared/**`) adds files to the "
            "watched ones.",
            key='functions."NAME".watch',
            shown_default="all files below `path`",
        ),
    )
    max_workers: int = field(
        default=16,
        metadata=declare(
            Number(1, CONCURRENT_EXECUTIONS),
            "Number of invocations that may run at the same time.",
            key='functions."NAME".max_workers',
        ),
    )
