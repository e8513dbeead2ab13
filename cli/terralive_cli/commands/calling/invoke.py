"""`terralive invoke`: invoke one function, and show its answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.commands.calling.invoke_locally import run_locally
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.invoking import answers, app_functions, calling, showing
from terralive_cli.invoking.answers import Answered, Invoking, Runner
from terralive_cli.invoking.deployed import DeployedSettings, settings_of
from terralive_cli.invoking.event.given import GivenEvent
from terralive_cli.invoking.finding import KnownFunction, matching, one_of
from terralive_cli.invoking.runners import runner_of
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target, require_account
from terralive_cli.protection.production import Name, refuse_production, tag_names
from terralive_cli.protection.project_names import refuse_project
from terralive_cli.sessions.folders import running_session
from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.arns import place_of

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_MILLISECONDS: Final = 1000


def run(
    config: Config,
    ui: Ui,
    *,
    function: str,
    event: str = "",
    changes: tuple[str, ...] = (),
    print_event: bool = False,
    asynchronous: bool = False,
    local: bool = False,
    qualifier: str = "",
    held: bool = False,
) -> int:
    """Invoke one function, and show its answer.

    Args:
        config: the configuration.
        ui: shows the answer.
        function: the function's name, address, or a part of one of them.
        event: the value of `--event`.
        changes: values of the event to change, as `PATH=VALUE`.
        print_event: show the event, and invoke nothing.
        asynchronous: let Lambda queue the event.
        local: run the code on this machine, without Lambda's Invoke.
        qualifier: a version or alias; "" for `$LATEST`.
        held: also run it on the machine of another user.
    """
    given = GivenEvent(event, changes, asynchronous, qualifier)
    if local:
        if asynchronous or qualifier or held:
            raise ConfigurationError(
                "usage",
                "--local runs the code of this folder, and --async, --qualifier and --held are "
                "about Lambda.",
                hint="Leave them out, or leave --local out.",
            )
        return run_locally(config, ui, function, given, print_event=print_event)
    refuse_project(config, os.environ)
    with opened(config) as target:
        stage = Stage(config, target, ui.emit, target.environment)
        check_target(stage, ui, changes=not print_event)
        found = _found(stage, function)
        _require_allowed(stage, ui, found)
        lambda_client = _client(stage, found)
        settings = settings_of(lambda_client, found.arn, qualifier)
        content = given.read(found, [target.work], ui, client=lambda_client, settings=settings)
        if print_event:
            return showing.show_event(ui, content)
        runner = runner_of(stage, found, settings, allows_held=held)
        ui.emit(Invoking(found.shown_name, found.address, runner, len(content)))
        answer = calling.call(
            _client(stage, found, **calling.client_settings(_timeout_s(settings))),
            found.arn,
            content,
            qualifier=qualifier,
            asynchronous=asynchronous,
        )
        return _show(config, ui, found, runner, answer)


def _show(
    config: Config, ui: Ui, function: KnownFunction, runner: Runner, answer: calling.CallAnswer
) -> int:
    answered = Answered(
        function.shown_name,
        function.address,
        answer.request_id,
        ok=True,
        runner=runner,
        took_ms=answer.took_s * _MILLISECONDS,
        accepted=answer.accepted,
        version=answer.version or None,
    )
    if answer.accepted:
        ui.emit(answered)
        return 0
    lines = None
    session = running_session(config.project, config.stage, is_sandbox=config.sandbox)
    # The session may be one of another checkout, which keeps its logs there.
    if runner is Runner.HERE and session is not None:
        lines = showing.log_of_session(config.project, function.shown_name, answer.request_id)
    if lines is None:
        lines = answers.lines_of_tail(answer.log_tail)
    return showing.show(ui, answered, answer.outcome, lines)


def _found(stage: Stage, wanted: str) -> KnownFunction:
    """Return the function that the user names.

    Raises:
        ConfigurationError: `function-unknown`, `function-unclear`.
        TerraliveError: Terraform's state cannot be read.
    """
    works = [stage.target.work]
    known = app_functions.known(app_functions.of_session(stage.config, works))
    found = matching(wanted, known)
    if not found:
        # Functions that are not live, or of a stage that others have deployed.
        stage.config.require_program()
        whole = Stage.of(stage.config, stage.target, stage.emit)
        known = app_functions.of_state(whole)
        found = matching(wanted, known)
    return one_of(wanted, found, known)


def _require_allowed(stage: Stage, ui: Ui, function: KnownFunction) -> None:
    """Refuse a function of production, or of an account that terralive may not work in.

    Raises:
        ConfigurationError: `stage-protected`, `account-not-allowed`.
    """
    if stage.target.sandbox is not None:
        return
    config = stage.config
    names = [Name("function", function.name), *tag_names(function.tags)]
    refuse_production(names, config.production_words, allowed=config.allow_protected)
    account = place_of(function.arn).account
    if account != stage.target.caller.account:
        require_account(stage, ui, account)


def _client(stage: Stage, function: KnownFunction, **settings: Any) -> LambdaClient:  # noqa: ANN401  # botocore's settings
    """Return a client of Lambda where the function is.

    Args:
        stage: the stage.
        function: the function.
        settings: settings of botocore.
    """
    from botocore.config import Config as ClientConfig  # noqa: PLC0415  # heavy

    place = place_of(function.arn)
    accounts = stage.accounts(stage.config.terraform.dir)
    return accounts.session_for(place.account, place.region).client(
        "lambda",
        endpoint_url=stage.target.caller.endpoint_url,
        config=ClientConfig(**settings),
    )


def _timeout_s(settings: DeployedSettings | None) -> int:
    if settings is None:
        return 0
    return settings.timeout_s
