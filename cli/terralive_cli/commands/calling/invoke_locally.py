"""`terralive invoke --local`: run a function's code on this machine, without Lambda's Invoke."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import Stage, Target, opened
from terralive_cli.invoking import app_functions, local, showing
from terralive_cli.invoking.answers import Answered, Invoking, Runner
from terralive_cli.invoking.deployed import settings_of
from terralive_cli.invoking.event.given import GivenEvent
from terralive_cli.invoking.finding import KnownFunction
from terralive_cli.invoking.local import LocalRun
from terralive_cli.live.session_files import work_folders
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.production import Name, signs_of_production
from terralive_cli.protection.project_names import refuse_project
from terralive_relay.events import LogLine, RelayEvent, Warned
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.arns import place_of
from terralive_workers.function import LocalFunction

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_WITHOUT: Final = "The handler gets neither the function's environment variables nor its role."


def run_locally(
    config: Config, ui: Ui, wanted: str, given: GivenEvent, *, print_event: bool
) -> int:
    """Run a function's code once, with its environment and role as far as they are known.

    Args:
        config: the configuration.
        ui: shows the answer.
        wanted: the function's name, address, or a part of one of them.
        given: the event.
        print_event: show the event, and run nothing.

    Raises:
        ConfigurationError: there is no such function, or no such event.
        TerraliveError: the handler could not be run.
    """
    with ExitStack() as stack:
        target = _target(config, ui, stack)
        works = work_folders(config.project, config.stage)
        if target is not None:
            works = [target.work]
        function = app_functions.local_function(config, ui, target, works, wanted)
        names = KnownFunction(function.name, function.arn, function.address, function.label)
        client, local_run = None, LocalRun()
        if target is not None:
            client = _client(target, function)
            local_run = _deployed(config, ui, target, function, client)
        event = given.read(names, works, ui, client=client, settings=local_run.settings)
        if print_event:
            return showing.show_event(ui, event)
        return _run(ui, function, event, local_run)


def _run(ui: Ui, function: LocalFunction, event: bytes, local_run: LocalRun) -> int:
    errors: list[str] = []

    def publish(shown: RelayEvent) -> None:
        if isinstance(shown, LogLine) and shown.line.startswith("[ERROR]"):
            errors.append(shown.line)
        ui.emit(shown)

    name, address = function.shown_name, function.address
    ui.emit(Invoking(name, address, Runner.LOCAL, len(event)))
    invocation = local.invocation_of(function, event, local_run, time.monotonic())
    result = local.run_handler(function, invocation, publish)
    answered = Answered(
        name,
        address,
        invocation.request_id,
        ok=True,
        runner=Runner.LOCAL,
        took_ms=result.handler_ms,
        logged=bool(errors),
    )
    return showing.show(ui, answered, result.outcome, ())


def _target(config: Config, ui: Ui, stack: ExitStack) -> Target | None:
    """Return the stage's target; None where AWS cannot be asked, or must not be.

    What is protected runs without its own environment and role: the code of this folder could
    change production by them.
    """
    try:
        refuse_project(config, os.environ)
        target = stack.enter_context(opened(config))
        check_target(Stage(config, target, ui.emit, target.environment), ui, changes=False)
    except TerraliveError as error:
        _warn(ui, "aws-not-asked", f"{_WITHOUT} {error.message}")
        return None
    return target


def _deployed(
    config: Config, ui: Ui, target: Target, function: LocalFunction, client: LambdaClient
) -> LocalRun:
    """Ask for the environment and the role of the deployed function, and say what is missing."""
    names = signs_of_production([Name("function", function.name)], config.production_words)
    if names and target.sandbox is None and not config.allow_protected:
        _warn(ui, "aws-not-asked", f"{_WITHOUT} This looks like production: {names[0]}.")
        return LocalRun()
    settings = settings_of(client, function.arn)
    if settings is None:
        _warn(
            ui,
            "environment-unknown",
            "Lambda does not tell the function's environment variables: it is not deployed any "
            "more, or you may not call lambda:GetFunctionConfiguration. The handler gets those of "
            "terralive.toml only, and no AWS credentials.",
        )
        return LocalRun()
    if settings.environment_error:
        _warn(
            ui,
            "environment-unknown",
            "Lambda does not tell the function's environment variables: "
            f"{settings.environment_error}",
        )
    caller = target.caller
    credentials = local.role_credentials(caller.session, caller.endpoint_url, settings.role_arn)
    if not credentials:
        _warn(
            ui,
            "role-not-assumed",
            f"The handler has no AWS credentials: you may not assume its role {settings.role_arn}. "
            "With `terralive start`, and without --local, it has them.",
        )
    return LocalRun(settings, credentials)


def _client(target: Target, function: LocalFunction) -> LambdaClient:
    caller = target.caller
    return caller.session.client(
        "lambda", endpoint_url=caller.endpoint_url, region_name=place_of(function.arn).region
    )


def _warn(ui: Ui, reference: str, message: str) -> None:
    ui.emit(Warned(reference=reference, message=message))
