"""The settings of functions, for one stack of a CDKTF program. Pure.

Wherever a function is named, the name of its stack may stand before its address or its name:
`[functions."orders/aws_lambda_function.api"]`, `--only orders/api`. It may have wildcards.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from terralive_cli.configuration.tables import FunctionSettings
from terralive_cli.configuration.values import Config
from terralive_terraform.addresses import stack_of, without_stack


def settings_of_stack(config: Config, stack: str) -> Config:
    """Return the configuration in which the functions of one stack have names without it.

    Args:
        config: the configuration.
        stack: the name of the stack; "" for `*.tf` files.
    """
    if not stack:
        return config
    own: list[FunctionSettings] = []
    others: list[FunctionSettings] = []
    for settings in config.functions:
        if _is_of(settings.pattern, stack):
            own.append(replace(settings, pattern=without_stack(settings.pattern)))
        else:
            others.append(settings)
    return replace(
        config,
        # Tables that name the stack count before others.
        functions=(*own, *others),
        only=_of_stack(config.only, stack),
        except_=_of_stack(config.except_, stack),
    )


def _of_stack(patterns: tuple[str, ...], stack: str) -> tuple[str, ...]:
    """Return patterns without the name of the stack; those of other stacks match nothing in it."""
    found: list[str] = []
    for pattern in patterns:
        if _is_of(pattern, stack):
            found.append(without_stack(pattern))
        else:
            found.append(pattern)
    return tuple(found)


def _is_of(pattern: str, stack: str) -> bool:
    named = stack_of(pattern)
    return named != "" and fnmatchcase(stack, named)
