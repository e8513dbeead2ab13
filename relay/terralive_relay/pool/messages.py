"""Build the warnings that a pool gives, and the error of a stream that breaks off. Pure."""

from __future__ import annotations

import re
import shlex
from typing import Final

from terralive_relay.describe.errors import describe_error, describe_place
from terralive_relay.events import Warned
from terralive_stub.protocol.invocation import Outcome
from terralive_workers.environment import LeftOut
from terralive_workers.extensions.kinds import Extension
from terralive_workers.function import LocalFunction
from terralive_workers.outcomes import WorkerFailure
from terralive_workers.runtime_api.worker_client import TRUNCATED, error_document

# Lambda's variables have 4 KB together, but a message may have more.
_MOST_NAMES: Final = 40
_NAME_CHARACTERS: Final = 80
_NO_MODULE: Final = re.compile(r"No module named '(?P<name>[^']+)'")


TRUNCATED_STREAM: Final = Outcome(
    error_document(TRUNCATED, "The worker ended before its response was complete."), TRUNCATED
)


def workers_all_busy(function: LocalFunction) -> Warned:
    """Warn that an invocation waits because of the function's `max_workers`."""
    workers = f"{function.max_workers} busy workers"
    if function.max_workers == 1:
        workers = "1 busy worker"
    return Warned(
        "workers-all-busy",
        f"An invocation waits until one of {workers} is free, and its time runs meanwhile. More run"
        f" at once with max_workers in [functions.'{function.address}'] of terralive.toml.",
        function.shown_name,
    )


def port_taken(function: LocalFunction, port: int, extension: Extension) -> Warned:
    """Warn that another program has the port of an extension."""
    return Warned(
        "extension-port-taken",
        f"Another program listens on localhost:{port}, so the {extension.name} is not reached "
        f"there. Code that reads the port from {extension.port_variable} reaches it; otherwise stop"
        " that program, and save a file of the function.",
        function.shown_name,
    )


def option_unknown(function: LocalFunction, option: str) -> Warned:
    """Warn that the local Node.js does not know an option of NODE_OPTIONS."""
    return Warned(
        "node-option-unknown",
        f"The Node.js of this machine does not know {option}, which NODE_OPTIONS of the function "
        "has. Handlers run without it. A Node.js of the deployed version on your PATH knows it.",
        function.shown_name,
    )


def option_of_layer(function: LocalFunction, option: str) -> Warned:
    """Warn that an option of NODE_OPTIONS loads a file that is not on this machine."""
    return Warned(
        "node-option-of-layer",
        f"NODE_OPTIONS of the function has {option}, a file that a layer brings on Lambda and that "
        "is not on this machine. Handlers run without it.",
        function.shown_name,
    )


def code_does_not_load(function: LocalFunction, failure: WorkerFailure) -> Warned:
    """Warn that the code does not load, before an invocation needs it."""
    outcome = failure.outcome("")
    error = describe_error(outcome)
    reason = error.message or error.type
    place = describe_place(outcome, failure.cause, function.path)
    if place:
        reason = f"{place}: {reason}"
    missing = module_missing(function, failure)
    if missing is not None:
        reason += f"\n{missing.message}"
    text = f"{reason}\nThe next invocation gets this error."
    return Warned("code-does-not-load", text, function.shown_name)


def module_missing(function: LocalFunction, failure: WorkerFailure) -> Warned | None:
    """Say where a Python module has to be installed; None where none is missing."""
    error = describe_error(failure.outcome(""))
    missing = _NO_MODULE.search(error.message)
    if error.type != "Runtime.ImportModuleError" or missing is None:
        return None
    python = shlex.quote(str(function.python))
    text = (
        f"There is no module {missing['name']!r} for {function.python}. In Lambda, it is a part of"
        " the function's package or of a layer. For this machine, install what the function needs:"
        f' {python} -m pip install …\nAnother interpreter is set by python = "…" in'
        f" [functions.'{function.address}'] of terralive.toml."
    )
    return Warned("module-missing", text, function.shown_name)


def output_after_answer(function: LocalFunction) -> Warned:
    """Say that a worker has written something after its answer.

    Lambda freezes an environment after the answer, until the next invocation:
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """
    text = (
        "It goes on after its answer (a thread, a callback, a child process). What it writes then"
        " belongs to no invocation. In Lambda, the process is frozen until the next invocation, so"
        " such code may run later there, or never. Here, it is not frozen."
    )
    return Warned("output-after-answer", text, function.shown_name)


def variables_left_out(function: LocalFunction, left_out: LeftOut) -> list[Warned]:
    """Warn about environment variables that differ from Lambda's, by name and without values."""
    warnings: list[Warned] = []
    if left_out.names:
        text = (
            "Some environment variables of the function are not taken over from Lambda, or only in"
            f" part: {_listed(left_out.names)}.\nThey can make programs on this machine run code"
            " or read files, or they name folders that are not part of the function's code. If you"
            " need one, name it in allow_variables of"
            f" [functions.'{function.address}'] in terralive.toml."
        )
        warnings.append(Warned("variables-left-out", text, function.shown_name))
    if left_out.in_lambda:
        text = (
            "Some environment variables name folders that exist in Lambda only:"
            f" {_listed(left_out.in_lambda)}.\nThey are taken over as they are."
        )
        warnings.append(Warned("variables-name-lambda-folders", text, function.shown_name))
    return warnings


def _listed(names: tuple[str, ...]) -> str:
    """Return the names in one line, and how many there are beyond a limit."""
    shown = ", ".join(name[:_NAME_CHARACTERS] for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    if more > 0:
        return f"{shown} and {more} more"
    return shown
