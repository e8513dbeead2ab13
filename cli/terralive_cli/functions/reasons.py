"""Reasons why a function has no local code, and lines of terralive.toml that help. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from terralive_cli.configuration.tables import FunctionSettings
from terralive_cli.configuration.values import FILE
from terralive_cli.functions import interpreters
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalCode

Places = Mapping[str, FoundCode | CodeNotFound]
NO_PLACES: Final[Places] = {}
_PATH: Final = 'path = "…"'
_COMMAND: Final = 'command = ["…"]'
_WRAPPER: Final = "AWS_LAMBDA_EXEC_WRAPPER"


def table_address(
    function: DeclaredFunction, planned: Sequence[PlannedFunction], located: Places, address: str
) -> str:
    """Return the address whose table the lines for an instance belong into.

    It is the function's own where all of its instances need the same lines.

    Args:
        function: the function.
        planned: its instances.
        located: where the code of each instance is.
        address: the instance's address.
    """
    own = located.get(address)
    for instance in planned:
        other = located.get(instance.address)
        if own is None or other is None or other.settings != own.settings:
            return address
    return function.address


def with_lines(text: str, table: str, settings: Sequence[str]) -> str:
    """Return a text with lines for the table of a function; the text alone without lines."""
    if not settings:
        return text
    return "\n".join([f"{text} to {FILE}:", f"[functions.'{table}']", *settings])


def lines_of_all(
    function: DeclaredFunction, planned: Sequence[PlannedFunction], located: Places, address: str
) -> list[str]:
    """Return the lines that make all instances of a function live, table by table.

    Args:
        function: the function.
        planned: its instances.
        located: where the code of each instance is.
        address: one of the instances.
    """
    place = located.get(address)
    table = table_address(function, planned, located, address)
    if table == function.address and isinstance(place, CodeNotFound):
        return [f"[functions.'{table}']", *place.settings]
    found: list[str] = []
    for instance in planned:
        place = located.get(instance.address)
        if isinstance(place, CodeNotFound) and place.settings:
            found += [f"[functions.'{instance.address}']", *place.settings]
    return found


def found_by(
    settings: FunctionSettings,
    function: DeclaredFunction,
    place: FoundCode | CodeNotFound | None,
) -> str:
    """Return how the code of an instance was found, for the screen."""
    if settings.path is not None:
        return FILE
    if isinstance(place, FoundCode):
        # The `Function` construct names the folder, and its zip only confirms that.
        confirms = place.path == function.path and place.found_by.startswith("content of ")
        if not confirms:
            return place.found_by
    if function.path_is_noted:
        return "the Function construct"
    return "the configuration"


def notes(
    function: DeclaredFunction, planned: Sequence[PlannedFunction], located: Places
) -> dict[str, str]:
    """Return what a user should know of the code of instances, by address; once for the same.

    Args:
        function: the function.
        planned: its instances.
        located: where the code of each instance is.
    """
    found: dict[str, str] = {}
    for instance in planned:
        place = located.get(instance.address)
        if not isinstance(place, FoundCode) or not place.note:
            continue
        text = f"{place.note[:1].upper()}{place.note[1:]}."
        if place.settings:
            text += " For live edits, add"
        table = table_address(function, planned, located, instance.address)
        text = with_lines(text, table, place.settings)
        if text not in found.values():
            found[instance.address] = text
    return found


def with_local_settings(notes: Mapping[str, str], code: Mapping[str, LocalCode]) -> dict[str, str]:
    """Add the names of what terralive.toml sets for local runs alone, never the values.

    Args:
        notes: notes by address.
        code: the code of each instance by its address.
    """
    found = dict(notes)
    for address, item in code.items():
        if item.variables:
            names = ", ".join(name for name, _ in item.variables)
            note = f"{FILE} sets for local runs: {names}."
            found[address] = f"{note} {found.get(address, '')}".strip()
    return found


def of_place(
    place: CodeNotFound,
    to_add: Sequence[str],
    function: DeclaredFunction,
    settings: FunctionSettings,
    general: NotLive,
) -> NotLive:
    """Return the reason of a function whose code a plan does not tell.

    Args:
        place: what the plan tells.
        to_add: the lines of terralive.toml that make all instances live.
        function: the function.
        settings: its settings.
        general: the reason without the plan.
    """
    if place.settings:
        return replace(general, reason=place.reason, lines=tuple(to_add))
    if function.is_image or needs_command(function, settings):
        return general
    return replace(general, reason=place.reason)


def unknown_code(
    settings: FunctionSettings, function: DeclaredFunction, address: str, unknown: str
) -> NotLive:
    """Return the reason of a function whose code folder is not known."""
    wanted = _wanted(settings, function)
    if needs_command(function, settings):
        unknown = _no_program(settings.runtime or function.runtime or "")
        wanted.append(_COMMAND)
    return _to_set(address, unknown, *wanted)


def unplanned(reason: NotLive) -> NotLive:
    """Return the reason of a function where Terraform could not plan: a plan may tell its code."""
    if _PATH in reason.lines:
        return replace(reason, reason="its code is looked for once Terraform can plan", lines=())
    return reason


def needs_command(function: DeclaredFunction, settings: FunctionSettings) -> bool:
    """Tell whether terralive certainly has no program for a function's runtime."""
    runtime = settings.runtime or function.runtime
    if not runtime or settings.command:
        return False
    return interpreters.runtime_family(runtime) is None


def _wanted(settings: FunctionSettings, function: DeclaredFunction) -> list[str]:
    """Return the settings that a function without a known folder needs."""
    wanted = [_PATH]
    if function.is_image and not settings.command:
        if not (settings.runtime or function.runtime):
            wanted.append('runtime = "…"')
        is_program = (settings.runtime or function.runtime or "").startswith("provided")
        if not (settings.handler or function.handler or is_program):
            wanted.append('handler = "…"')
    return wanted


def not_run_by_itself(
    function: DeclaredFunction, address: str, runtime: str, handler: str
) -> NotLive | None:
    """Return the reason why terralive cannot run a function without a command; None for none."""
    family = interpreters.runtime_family(runtime)
    if not runtime:
        problem = "its runtime is not known"
        if function.is_image:
            problem = "an image does not contain the runtime of its handler"
        problem += f", and there is no {_COMMAND} that runs it"
        return _to_set(address, problem, 'runtime = "python3.13"')
    if family is None:
        return _to_set(address, _no_program(runtime), _COMMAND)
    if not handler and family != "provided":
        return _to_set(address, "its handler is not known", 'handler = "…"')
    return None


def started_by_wrapper(
    function: DeclaredFunction, settings: FunctionSettings, address: str
) -> NotLive | None:
    """Return the reason of a function whose handler is a program; None for every other one.

    The wrapper of Lambda Web Adapter starts it: https://github.com/awslabs/aws-lambda-web-adapter
    """
    is_program = (settings.handler or function.handler or "").endswith(".sh")
    if settings.command or not is_program or _WRAPPER not in function.environment_names:
        return None
    return _to_set(
        address,
        f"its handler is a program that the wrapper of a layer starts ({_WRAPPER}, as Lambda Web "
        f"Adapter has it), and wrappers do not run here; set {_COMMAND} to a program that speaks "
        "the Runtime API",
        _COMMAND,
    )


def handlers_may_differ(function: DeclaredFunction, address: str) -> NotLive:
    """Return the reason of a function whose instances may have different handlers."""
    reason = "its handler may differ by instance (count, for_each): each needs a table of its own"
    lines = (f"[functions.'{function.address}[\"KEY\"]']", 'handler = "…"')
    return NotLive(address, reason, lines=lines)


def _no_program(runtime: str) -> str:
    return (
        f"terralive itself runs Python, Node.js and provided.*, and not {runtime}; set {_COMMAND} "
        "to a program that runs its handler"
    )


def _to_set(address: str, reason: str, *settings: str) -> NotLive:
    """Return a reason with the settings that would make a function live."""
    return NotLive(address, reason, lines=(f"[functions.'{address}']", *settings))
