"""Arguments for Terraform that a user types after `--`: `terralive start -- -var a=b`.

They are for the plans and applies of the app, and never for those of the debug stack. An argument
that would change what terralive itself does is refused, so that the plan that was shown is applied.

https://developer.hashicorp.com/terraform/cli/commands/plan
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError

VAR: Final = "-var"
VAR_FILE: Final = "-var-file"
# The options of an apply that a saved plan takes, too.
APPLY_OPTIONS: Final = ("-parallelism", "-lock", "-lock-timeout", "-compact-warnings")
_WITH_VALUE: Final = (VAR, VAR_FILE, "-parallelism", "-lock-timeout")
# They stand alone, or with `=true` and `=false`.
_SWITCHES: Final = ("-lock", "-compact-warnings")
_TERRALIVE_CHOOSES: Final = "terralive plans the functions that become live, and lists the rest"
_OWN_PLAN: Final = "terralive keeps the plan in a file of its own, shows it and applies it"
_OF_AN_INIT: Final = "`terraform init` runs with the settings of the table [terraform]"
_OWN_OUTPUT: Final = "terralive reads Terraform's output and shows it; see `--output`"
_LOOKS_AT_AWS: Final = "the plan has to look at what is deployed"
_WHERE_IT_RUNS: Final = "the backend says where the state is"
# Arguments that are refused, each with the reason.
_REFUSED: Final = {
    "-out": _OWN_PLAN,
    "-state": _WHERE_IT_RUNS,
    "-state-out": _WHERE_IT_RUNS,
    "-backup": _WHERE_IT_RUNS,
    "-target": _TERRALIVE_CHOOSES,
    "-target-file": _TERRALIVE_CHOOSES,
    "-exclude": _TERRALIVE_CHOOSES,
    "-exclude-file": _TERRALIVE_CHOOSES,
    "-replace": "terralive never replaces resources; use `terraform apply -replace`",
    "-destroy": "`terralive destroy --app` removes the app",
    "-auto-approve": "`--yes` of terralive answers its question",
    "-refresh": _LOOKS_AT_AWS,
    "-refresh-only": _LOOKS_AT_AWS,
    "-generate-config-out": "terralive never writes your configuration",
    "-input": "nobody can answer Terraform's questions here: give every variable a value",
    "-json": _OWN_OUTPUT,
    "-no-color": _OWN_OUTPUT,
    "-concise": _OWN_OUTPUT,
    "-detailed-exitcode": "`terralive plan` has this option itself: write it before `--`",
    "-chdir": "use `dir` in the table [terraform]",
    "-backend-config": "use `backend_config` in the table [terraform]",
    "-backend": _OF_AN_INIT,
    "-reconfigure": _OF_AN_INIT,
    "-migrate-state": _OF_AN_INIT,
    "-upgrade": _OF_AN_INIT,
}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: `-var` with the value `a=b`.

    Attributes:
        name: its name, with one dash.
        value: its value; "" for a switch that stands alone.
    """

    name: str
    value: str

    @property
    def word(self) -> str:
        """The argument as one word: `-var=a=b`."""
        if self.value or self.name in _WITH_VALUE:
            return f"{self.name}={self.value}"
        return self.name


def users_arguments(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Return the user's words as arguments for a plan, each of them one word.

    Args:
        words: what was typed after `--`.
        folder: the folder that the paths of variables files are relative to.

    Raises:
        ConfigurationError: `terraform-argument`.
    """
    rest = iter(words)
    arguments: list[str] = []
    for word in rest:
        name, is_assigned, value = word.partition("=")
        name = name.replace("--", "-", 1)
        _require_possible(name, word)
        if name in _WITH_VALUE and not is_assigned:
            following = next(rest, None)
            if following is None:
                raise _refused(word, "it has no value")
            value = following
        if name == VAR_FILE:
            file = (folder / value).absolute()
            if not file.is_file():
                raise _refused(f"{name}={value}", f"there is no file {file}")
            value = str(file)
        arguments.append(Argument(name, value).word)
    return tuple(arguments)


def parsed(arguments: Sequence[str]) -> Iterator[Argument]:
    """Yield arguments of `users_arguments`, with name and value apart."""
    for word in arguments:
        name, _, value = word.partition("=")
        yield Argument(name, value)


def apply_arguments(arguments: Sequence[str]) -> list[str]:
    """Return those arguments that the apply of a saved plan takes."""
    return [item.word for item in parsed(arguments) if item.name in APPLY_OPTIONS]


def shown_arguments(arguments: Sequence[str]) -> list[str]:
    """Return arguments for a message: a variable's value may be a secret."""
    shown: list[str] = []
    for item in parsed(arguments):
        name, _, value = item.value.partition("=")
        if item.name == VAR and value:
            shown.append(f"{VAR}={name}=…")
        else:
            shown.append(item.word)
    return shown


def _require_possible(name: str, word: str) -> None:
    if not word.startswith("-"):
        raise _refused(word, "terralive's commands take no arguments, and Terraform's begin with -")
    if name in _REFUSED:
        raise _refused(name, _REFUSED[name])
    if name not in _WITH_VALUE + _SWITCHES:
        raise _refused(name, "terralive does not know it")


def _refused(argument: str, reason: str) -> ConfigurationError:
    names = ", ".join(_WITH_VALUE + _SWITCHES)
    return ConfigurationError(
        "terraform-argument",
        f"terralive does not pass {argument} on to Terraform: {reason}.",
        hint=f"After `--`, these arguments of `terraform plan` are possible: {names}. Paths are "
        "relative to the current folder.",
    )
