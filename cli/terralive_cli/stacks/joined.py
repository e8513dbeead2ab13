"""Functions of several stacks together, with the names of their stacks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from terralive_cli.app.live_plan import LiveApp, Selected
from terralive_cli.configuration.values import FILE, Config
from terralive_cli.deploy.accounts import AllAccounts
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import in_stack, stack_of, without_keys, without_stack
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalCode, LocalFunction

_Code = TypeVar("_Code", bound=LocalCode)
_WILDCARDS: Final = frozenset("*?")


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions that become live, of all stacks.

    Attributes:
        declared: the functions, as the configuration declares them.
        code: their local code.
        planned: the instances of all functions, also of those that stay as they are.
    """

    declared: tuple[DeclaredFunction, ...]
    code: tuple[LocalCode, ...]
    planned: tuple[PlannedFunction, ...]

    @classmethod
    def of(cls, selected: Mapping[str, Selected]) -> Functions:
        """Return the functions that are selected, by the name of their stack."""
        declared: list[DeclaredFunction] = []
        code: list[LocalCode] = []
        planned: list[PlannedFunction] = []
        for stack, item in selected.items():
            functions = item.prepared.live
            declared += [function_of_stack(function, stack) for function in functions]
            code += [of_stack(local, stack) for local in item.mapped.code.values()]
            for instance in item.evaluated.planned:
                planned.append(replace(instance, address=in_stack(stack, instance.address)))
        return cls(tuple(declared), tuple(code), tuple(planned))


def of_stack(code: _Code, stack: str) -> _Code:
    """Return local code, or a function with it, whose address names the stack."""
    return replace(code, address=in_stack(stack, code.address))


def function_of_stack(function: DeclaredFunction, stack: str) -> DeclaredFunction:
    """Return a declared function whose address names the stack."""
    return replace(function, address=in_stack(stack, function.address))


def joined(
    live: Mapping[str, LiveApp],
    refused: Mapping[str, NotLive],
    functions: tuple[LocalFunction, ...],
) -> LiveApp:
    """Return the live stacks as one app.

    Args:
        live: the stacks by name; at least one.
        refused: the functions of all stacks that stay as they are.
        functions: the functions of all stacks that are live.
    """
    accounts = AllAccounts(tuple(app.accounts for app in live.values()))
    made = LiveApp(functions, {}, refused, accounts, {}, {})
    for stack, app in live.items():
        code = {in_stack(stack, at): of_stack(item, stack) for at, item in app.code.items()}
        outputs = {in_stack(stack, name): value for name, value in app.outputs.items()}
        found_by = {in_stack(stack, address): text for address, text in app.found_by.items()}
        made = replace(
            made,
            code={**made.code, **code},
            outputs={**made.outputs, **outputs},
            found_by={**made.found_by, **found_by},
            sources=app.sources,
            stubs=made.stubs | app.stubs,
            schedules={**made.schedules, **app.schedules},
        )
    return made


def _table_names(function: DeclaredFunction) -> set[str | None]:
    """Return the names of a function, without its stack, by which a table may select it."""
    instances = function.instances or ()
    names = {instance.name for instance in instances}
    return {without_stack(function.address), function.function_name, *names} - {None}


def require_clear_tables(config: Config, declared: Sequence[DeclaredFunction]) -> None:
    """Check that a table of a function is for functions of one stack.

    A pattern with wildcards may be for functions of several stacks.

    Args:
        config: the configuration.
        declared: the functions of all stacks.

    Raises:
        ConfigurationError: `function-unclear`.
    """
    for settings in config.functions:
        pattern = settings.pattern
        if _WILDCARDS.intersection(pattern):
            continue
        name = without_keys(pattern)
        found = [function for function in declared if name in _table_names(function)]
        if len({stack_of(function.address) for function in found}) < 2:  # noqa: PLR2004
            continue
        tables = ", ".join(f"[functions.'{function.address}']" for function in found)
        raise ConfigurationError(
            "function-unclear",
            f"[functions.'{pattern}'] in {FILE}: several stacks have a function of this name.",
            hint=f"Name its stack, too: {tables}; or [functions.'*/{pattern}'] for all of them.",
        )
