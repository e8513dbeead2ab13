"""The environment that Terraform runs in.

Terraform installs provider plugins from its registry, from the implied local mirror folders, or as
a user's CLI configuration says. terralive leaves that to Terraform. Only
`TERRALIVE_PROVIDER_MIRROR` adds a CLI configuration that takes all providers from the mirror folder
that it names:
https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_terraform.runs.arguments import APPLY_OPTIONS, Argument
from terralive_terraform.runs.cli_configuration import VARIABLE, users_configuration

# Variables that concern one configuration: the team's app, and not terralive's own stack.
# https://developer.hashicorp.com/terraform/cli/config/environment-variables
_OF_ONE_CONFIGURATION: Final = ("TF_WORKSPACE", "TF_DATA_DIR", "TF_REATTACH_PROVIDERS")
_ARGUMENTS: Final = "TF_CLI_ARGS"
_VARIABLE: Final = "TF_VAR_"
# The options of an init that concern the team's backend and dependency lock file:
# https://developer.hashicorp.com/terraform/cli/commands/init
_OF_TEAMS_INIT: Final = ("-backend-config", "-lockfile")
REGISTRY: Final = "registry.terraform.io"
_PROVIDER: Final = Path("hashicorp") / "aws"


def terraform_environment(environ: Mapping[str, str], work: Path) -> dict[str, str]:
    """Return the environment for terralive's Terraform runs.

    Args:
        environ: the environment to start from.
        work: the stage's work folder. A plugin cache and, where it is needed, a CLI configuration
            are written there.

    Raises:
        ConfigurationError: `TERRALIVE_PROVIDER_MIRROR` names a folder that is no mirror.
    """
    result = {**environ, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    users = users_configuration(environ)
    named = environ.get("TERRALIVE_PROVIDER_MIRROR")
    if named:
        target = work.resolve() / "terraform.tfrc"
        methods = provider_installation(_named_mirror(Path(named)))
        write_atomically(target, users.with_installation(methods))
        result[VARIABLE] = str(target)
        return result

    if not Path(environ.get(VARIABLE, "")).is_file():
        # Terraform would warn about a file that does not exist in every run.
        result.pop(VARIABLE, None)
    decided_by_user = users.has_installation or users.caches_plugins
    if not decided_by_user and "TF_PLUGIN_CACHE_DIR" not in environ:
        cache = work.resolve() / "plugin-cache"
        cache.mkdir(parents=True, exist_ok=True)
        result["TF_PLUGIN_CACHE_DIR"] = str(cache)
    return result


def debug_stack_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for the debug stack, without what the user has set for the app.

    Arguments, workspace, data folder and variables of the app would make the debug stack's runs
    fail, or lead them to another state.
    """
    return {
        name: value
        for name, value in without_arguments(environment).items()
        if name not in _OF_ONE_CONFIGURATION and not name.startswith(_VARIABLE)
    }


def without_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without `TF_CLI_ARGS` and `TF_CLI_ARGS_…`."""
    return {name: value for name, value in environment.items() if not name.startswith(_ARGUMENTS)}


def local_backend_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for an init with a local backend of terralive's.

    The arguments for the team's backend (`-backend-config`) are none of its arguments, and the
    stage's own dependency lock file has to be written (`-lockfile=readonly`).
    """
    result = dict(environment)
    for name in (_ARGUMENTS, f"{_ARGUMENTS}_init"):
        options = list(_options(environment.get(name, "")))
        kept = [option for option in options if option.name not in _OF_TEAMS_INIT]
        if kept != options:
            result[name] = _joined(kept)
    return result


def apply_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for the apply of a saved plan.

    Users set options of a plan (`-var-file`, `-target`) for their own `terraform apply`, which
    plans, too. Terraform accepts none of them together with a saved plan.
    """
    result = without_arguments(environment)
    for name in (_ARGUMENTS, f"{_ARGUMENTS}_apply"):
        options = _options(environment.get(name, ""))
        kept = [option for option in options if option.name in APPLY_OPTIONS]
        if kept:
            result[name] = _joined(kept)
    return result


def arguments_in(environment: Mapping[str, str], command: str) -> Iterator[Argument]:
    """Yield the options that a user has set for a command, in Terraform's order.

    https://developer.hashicorp.com/terraform/cli/config/environment-variables#tf_cli_args-and-tf_cli_args_name

    Args:
        environment: the environment of Terraform.
        command: the command, such as `init`.
    """
    # Terraform puts the words of the second variable behind those of the first.
    for variable in (f"{_ARGUMENTS}_{command}", _ARGUMENTS):
        for option in _options(environment.get(variable, "")):
            yield Argument(option.name, option.value)


def option_values(environment: Mapping[str, str], name: str, command: str) -> Iterator[str]:
    """Yield the values of one option, which has one dash; see `arguments_in`."""
    for argument in arguments_in(environment, command):
        if argument.name == name:
            yield argument.value


@dataclass(frozen=True, slots=True)
class _Option:
    """One option of Terraform: `-lock` for all of `-lock=false`, `--lock=false`, `-lock false`."""

    name: str
    words: tuple[str, ...]

    @property
    def value(self) -> str:
        """Its value; "" for none."""
        if len(self.words) > 1:
            return self.words[1]
        return self.words[0].partition("=")[2]


def _options(arguments: str) -> Iterator[_Option]:
    """Yield the options of a text; none for a text that Terraform could not split either."""
    try:
        words = shlex.split(arguments)
    except ValueError:
        return
    while words:
        first = words.pop(0)
        name, has_value, _ = first.partition("=")
        taken = [first]
        if not has_value and words and not words[0].startswith("-"):
            taken.append(words.pop(0))
        yield _Option(name.replace("--", "-", 1), tuple(taken))


def _joined(options: Iterable[_Option]) -> str:
    return shlex.join(word for option in options for word in option.words)


def provider_installation(mirror: Path) -> str:
    """Return the methods that take the registry's providers from a mirror, and only those."""
    path = str(mirror).replace("\\", "\\\\").replace('"', '\\"')
    pattern = f'["{REGISTRY}/*/*"]'
    return (
        f'  filesystem_mirror {{\n    path    = "{path}"\n    include = {pattern}\n  }}\n'
        f"  direct {{\n    exclude = {pattern}\n  }}\n"
    )


def holds_provider(mirror: Path) -> bool:
    """Return whether a folder is a filesystem mirror, packed or unpacked, with the AWS provider."""
    folder = mirror / REGISTRY / _PROVIDER
    unpacked = folder.glob("*/*_*/terraform-provider-aws_*")
    packed = folder.glob("terraform-provider-aws_*.zip")
    return any(unpacked) or any(packed)


def _named_mirror(mirror: Path) -> Path:
    if not holds_provider(mirror):
        raise ConfigurationError(
            "provider-mirror",
            f"TERRALIVE_PROVIDER_MIRROR names {mirror}, but there is no {REGISTRY}/{_PROVIDER} "
            "in that folder.",
            hint="Run `terraform providers mirror FOLDER` on a machine with a network, and copy "
            "that folder to this machine.",
        )
    return mirror.resolve()
