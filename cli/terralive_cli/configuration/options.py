"""Options of the command line, made from the declared settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

import click
from click.shell_completion import CompletionItem

from terralive_cli.configuration.kinds import Choice, Switch, Texts
from terralive_cli.configuration.settings import FlagValue, Setting, all_settings
from terralive_cli.configuration.values import Config

_Decorated = TypeVar("_Decorated", bound="Callable[..., object]")
# Completes the value of an option or argument in a shell.
Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_NO_COMPLETERS: Final[Mapping[str, Completer]] = {}
# The name that click gives to the arguments for Terraform.
_ARGUMENTS: Final = "terraform_arguments"
_FLAGS: Final = tuple(setting for setting in all_settings(Config) if setting.flag)


@dataclass(slots=True)
class Typed:
    """The options that the user has typed so far.

    Attributes:
        flags: value of each option, by the name of `Config`'s field.
        arguments: the words after `--`, for Terraform. They may hold secrets.
    """

    flags: dict[str, FlagValue] = field(default_factory=dict)
    arguments: tuple[str, ...] = field(default=(), repr=False)

    def add(self, values: Mapping[str, object]) -> None:
        """Add options. Options after the command's name replace those before it."""
        for name, value in values.items():
            if isinstance(value, str | bool):
                self.flags[name] = value
            elif isinstance(value, tuple) and value:
                # An option that may be given several times.
                self.flags[name] = value

    def take(self, values: dict[str, object]) -> None:
        """Move the options of settings, and the arguments for Terraform, out of a command's."""
        words = values.pop(_ARGUMENTS, ())
        if isinstance(words, tuple):
            self.arguments = words
        for setting in _FLAGS:
            if setting.name in values:
                self.add({setting.name: values.pop(setting.name)})


def setting_options(
    command: _Decorated,
    *,
    name: str = "",
    without: tuple[str, ...] = (),
    completers: Mapping[str, Completer] = _NO_COMPLETERS,
) -> _Decorated:
    """Add the options of the settings to a command.

    Args:
        command: the function of the command.
        name: the command's name; "" for the options before it.
        without: fields whose options the command does not take.
        completers: how a shell completes the values of options, by field.
    """
    # An option that is added later stands earlier in `--help`.
    for setting in reversed(_FLAGS):
        belongs = not setting.commands or name in setting.commands
        if belongs and setting.name not in without:
            command = _option(setting, completers.get(setting.name))(command)
    return command


def terraform_arguments(command: _Decorated) -> _Decorated:
    """Let a command take arguments for Terraform after `--`."""
    shown = "[-- TERRAFORM_ARGUMENTS]"
    declare = click.argument(_ARGUMENTS, nargs=-1, type=click.UNPROCESSED, metavar=shown)
    return declare(command)


def _option(setting: Setting, completer: Completer | None) -> Callable[[_Decorated], _Decorated]:
    names = [setting.flag, setting.name]
    if setting.short:
        names.append(setting.short)
    if isinstance(setting.kind, Choice):
        words = [member.value for member in setting.kind.members]
        # click itself refuses other words, and shows them in `--help`.
        return click.option(*names, type=click.Choice(words), help=_help(setting))
    if isinstance(setting.kind, Texts):
        return click.option(
            *names,
            metavar=setting.metavar,
            multiple=True,
            help=_help(setting),
            shell_complete=completer,
        )
    if not isinstance(setting.kind, Switch):
        return click.option(
            *names, metavar=setting.metavar, help=_help(setting), shell_complete=completer
        )
    if setting.in_file:
        # The file can switch it on, so an option has to switch it off.
        names[0] = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
    # None, not False: only an option that was typed replaces environment and file.
    return click.option(*names, is_flag=True, default=None, help=_help(setting))


def _help(setting: Setting) -> str:
    text = setting.meaning
    if setting.shown_default:
        text += f"  [default: {setting.shown_default}]"
    return text.replace("`", "")
