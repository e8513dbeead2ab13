"""One table of everything that can be set: flag, environment variable, key, default and meaning, as data.

`docs/CONFIGURATION.md` is made from it (`python -m terralive_cli.configuration.reference >
docs/CONFIGURATION.md`) and a test holds the two together. Nothing is decided here; `loading.py`
reads the values.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; "" where it has no such door."""

    key: str
    default: str
    meaning: str
    flag: str = ""
    env: str = ""


SETTINGS: Final = (
    Setting(
        "",
        "the nearest folder with a `terralive.toml`, looking upwards; else this folder",
        "the project's folder; paths in `terralive.toml` are relative to it",
        "--project DIR",
        "TERRALIVE_PROJECT",
    ),
    Setting(
        "app",
        "the project folder's name",
        "the app's name, part of every name and tag",
        "",
        "TERRALIVE_APP",
    ),
    Setting(
        "stage",
        "`dev-{user}`",
        "the deployed copy of the app to work on; `{user}` is you",
        "--stage S",
        "TERRALIVE_STAGE",
    ),
    Setting(
        "",
        "your login name",
        "what `{user}` stands for, and the owner of the stage",
        "",
        "TERRALIVE_USER",
    ),
    Setting(
        "region",
        "`AWS_REGION`, `AWS_DEFAULT_REGION`, else your AWS profile's",
        "the AWS region",
        "--region R",
        "TERRALIVE_REGION",
    ),
    Setting(
        "sandbox",
        "`false`",
        "use AWS in one local process instead of an account",
        "--sandbox",
        "TERRALIVE_SANDBOX",
    ),
    Setting(
        "output",
        "`rich` in a terminal, else `plain`",
        "`rich`, `plain`, or `json` (one object a line, for scripts)",
        "--output KIND",
        "TERRALIVE_OUTPUT",
    ),
    Setting(
        "forward_logs",
        "`false`",
        "what handlers print here also goes to the functions' own logs in CloudWatch (90 KB a second of an invocation)",
        "--forward-logs",
        "TERRALIVE_FORWARD_LOGS",
    ),
    Setting("", "`false`", "change things without asking", "--yes", "TERRALIVE_YES"),
    Setting(
        "",
        "`false`",
        "print a traceback with every error; in front of `start`, where behind it `--debug` names a function",
        "--debug",
        "TERRALIVE_DEBUG",
    ),
    Setting("protected", '`["prod*", "main"]`', "stages that terralive does not touch"),
    Setting("", "`false`", "touch a protected stage this once", "--allow-protected"),
    Setting(
        "terraform.dir",
        "the project's folder",
        "where the Terraform configuration, or `cdktf.json`, is",
        "",
        "TERRALIVE_TERRAFORM_DIR",
    ),
    Setting(
        "terraform.app",
        "`app` in `cdktf.json`, where there is one",
        "the command that runs your CDK for Terraform program",
    ),
    Setting("terraform.stack", "its only one", "which of that program's stacks to make live"),
    Setting(
        "terraform.binary",
        "`terraform`",
        "`terraform`, `tofu`, `terragrunt`, or a path",
        "",
        "TERRALIVE_TERRAFORM_BINARY",
    ),
    Setting("terraform.var_files", "`[]`", "files for `-var-file`, relative to the project"),
    Setting(
        "backend.type",
        "`local`, under `.terralive/`",
        "the Terraform backend of the debug stack's state; a cleanup job on another machine needs a remote one",
    ),
    Setting(
        "backend.config",
        "`{}`",
        "what stands in the backend's block; `{app}`, `{stage}` and `{user}` are put in",
    ),
    Setting(
        "debug_stack.permissions_boundary",
        "none",
        "ARN of the policy that bounds the broker's role",
    ),
    Setting("debug_stack.role_path", "`/`", "path of the broker's role"),
    Setting(
        "debug_stack.name_prefix",
        "`terralive`",
        "what the name of everything terralive creates starts with",
    ),
    Setting("debug_stack.tags", "`{}`", "tags on everything terralive creates, beside its own"),
    Setting(
        "debug_stack.kms_key", "AWS's own keys", "ARN of the KMS key for the table and the logs"
    ),
    Setting("debug_stack.log_retention_days", "`7`", "how long the broker's log is kept"),
    Setting(
        "stub_image.x86_64",
        "none",
        "the stub as a container image in ECR, for functions that are images; `{region}` is put in",
    ),
    Setting("stub_image.arm64", "none", "the same for functions whose `architectures` are `arm64`"),
    Setting(
        'functions."NAME".path', "as found in the configuration", "the function's local code root"
    ),
    Setting('functions."NAME".handler', "as deployed", "the local handler"),
    Setting(
        'functions."NAME".runtime',
        "as deployed",
        "the runtime of a container image (`python3.13`, `nodejs22.x`)",
    ),
    Setting(
        'functions."NAME".python',
        "the project's venv, else the Python that runs terralive",
        "the interpreter of a Python handler",
    ),
    Setting(
        'functions."NAME".node',
        "`node` on `PATH`, else the one that terralive's extra `node` has brought",
        "the interpreter of a Node.js handler, 18 or newer",
    ),
    Setting(
        'functions."NAME".command',
        "terralive's own runtime for Python and Node.js; the function's `bootstrap` for `provided.*`",
        "a program that speaks Lambda's Runtime API, and its arguments, run instead",
    ),
    Setting(
        'functions."NAME".build',
        "none",
        "a shell command that makes the code in `path`, run in the project's folder at the start and after a change; "
        "name its sources in `watch`: else what changes during a build is taken for its output",
    ),
    Setting(
        'functions."NAME".watch',
        "everything below `path`",
        "globs, relative to `path`, whose change reloads the handler; one that leads out of it (`../shared/**`) adds "
        "to what is watched",
    ),
    Setting('functions."NAME".max_workers', "`16`", "how many invocations may run at once"),
    Setting(
        "",
        "Terraform's own: the registry, or an implied mirror folder",
        "the mirror folder that Terraform takes provider plugins from (`terraform providers mirror`)",
        "",
        "TERRALIVE_PROVIDER_MIRROR",
    ),
)

_HEAD: Final = """\
# Configuration

<!-- Made by `python -m terralive_cli.configuration.reference > docs/CONFIGURATION.md`; a test holds it to the code. -->

Everything may be left out. Settings stand in `terralive.toml` at the project's root. Where one is given in several
places, the flag wins, then the environment variable, then the file, then the default. Flags may stand before or behind
the command's name. A key that terralive does not know is an error, not a silent nothing.

| key in `terralive.toml` | flag | environment | default | meaning |
|---|---|---|---|---|
"""

_TAIL: Final = """
In `functions."NAME"`, `NAME` is a Terraform address (`aws_lambda_function.api`, `module.a.aws_lambda_function.api`)
or a function's name. `*` and `?` stand for any text and any one character; all other characters, brackets too, mean
themselves. An exact name comes before a pattern; of several patterns that match, the first one in the file counts.
A name that Terraform computes is known only once the function is deployed: where terralive needs a setting to know a
function's code at all, use its address.

With `count` or `for_each`, the address stands for all instances, and one with a key for one of them:
`[functions.'aws_lambda_function.fn["api"]']`, or `[functions.'aws_lambda_function.fn[*]']` for each of them. What names
instances comes before what names the function, and nothing is taken over from there: say `path` again where it is
needed. Where the handler differs by instance in the configuration (`handler = each.value.handler`), each instance needs
its `handler` here, or the function does not become live.

Python, Node.js and custom runtimes (`provided.*`: Go, Rust, C++, a shell script) run by themselves. For every other
runtime, `command` names what runs the handler: its official runtime client. A program without a slash is looked for on
`PATH`; a relative one is looked for below `path`, then in the project's folder. It starts in `path`, with
`AWS_LAMBDA_RUNTIME_API` and the function's environment, and finds the handler's name in `_HANDLER`.

A Node.js handler finds only what lies in its own `node_modules`: install the AWS SDK there, which Lambda brings along.

`app`, `stage` and `debug_stack.name_prefix` consist of letters, digits, `-` and `_`, because the names of AWS resources
do.

```toml
app = "orders"
stage = "dev-{user}"

[terraform]
dir = "infra"
var_files = ["dev.tfvars"]

[backend]
type = "s3"
config = { bucket = "acme-tfstate", key = "terralive/{app}/{stage}", region = "eu-west-1", use_lockfile = true }

[functions."aws_lambda_function.api"]
path = "services/api"

[functions."aws_lambda_function.web"]      # Node.js
path = "services/web"
node = "~/.nvm/versions/node/v20.19.0/bin/node"

[functions."aws_lambda_function.billing"]  # Java, by AWS's client for it
path = "services/billing/target"
command = [
  "java", "-cp", "classes:dependency/*",
  "com.amazonaws.services.lambda.runtime.api.client.AWSLambda", "example.Billing::handleRequest",
]
```

## Functions that are container images

Only another image can take the place of one. Build terralive's stub as an image, once for each account and region and
architecture; it serves every app and stage, until terralive's protocol changes:

```console
$ terralive init --stub-image stub-image        # a Dockerfile and what it needs; any folder
$ image=123456789012.dkr.ecr.eu-west-1.amazonaws.com/terralive-stub:1
$ docker buildx build --platform linux/amd64 --provenance=false -t $image stub-image   # linux/arm64 for arm64
$ docker push $image                            # to a repository that Lambda may read, as that of your own images
```

and say which image that is, and what runs the handlers here, since an image does not tell:

```toml
[stub_image]
x86_64 = "123456789012.dkr.ecr.{region}.amazonaws.com/terralive-stub:1"

[functions."aws_lambda_function.resize"]
path = "services/resize"
runtime = "python3.13"
handler = "app.handler"                         # where it is not the only word of image_config's command
```

The handler runs on this machine, not in its image: what the image installs has to be installed here too, and what its
Dockerfile sets with `ENV` is not there. Without `[stub_image]` such functions stay as they are; so do those whose
`package_type` or `architectures` only Terraform knows, as within most modules of a registry: take them out of
`[functions]`. If Lambda cannot read the stub's image, `start` fails halfway, and the function is out of order until
`terralive restore`.
"""


def document() -> str:
    """Give docs/CONFIGURATION.md."""
    rows = (
        f"| {_code(item.key)} | {_code(item.flag)} | {_code(item.env)} | {item.default} | {item.meaning} |\n"
        for item in SETTINGS
    )
    return _HEAD + "".join(rows) + _TAIL


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(document())
