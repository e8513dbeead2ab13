"""Debug stacks in the account and the region: those of this user that nobody uses any more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import aws
from terralive_cli.doctor.findings import Finding, Outcome, SkippedError, warning
from terralive_cli.output.formats.words import plural
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_terraform.debug_stack.settings import DebugStackSettings

_STALE_DAYS: Final = 3
_MILLISECONDS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class StageFound:
    """A debug stack, as the tags of its APIs describe it.

    Attributes:
        app: name of the app.
        stage: name of the stage.
        owner: the user who deployed it.
        created: the ISO date of that.
    """

    app: str
    stage: str
    owner: str
    created: str


def debug_stack_settings(config: Config, region: str, app: str, stage: str) -> DebugStackSettings:
    """Return the settings of a debug stack, for the names of its resources."""
    return DebugStackSettings(
        app=app,
        stage=stage,
        region=region,
        owner="",
        created="",
        version="",
        name_prefix=config.debug_stack.name_prefix,
    )


def check_stages(config: Config, caller: aws.Caller, now: float) -> Outcome:
    """Look for debug stacks of this user, other than this stage's, that nobody uses.

    Args:
        config: the configuration.
        caller: the caller.
        now: seconds since the Unix epoch.

    Raises:
        SkippedError: the caller may not list APIs.
        CredentialsError: AWS did not answer.
    """
    found = stages_in(_tags_of_apis(caller))
    stale: list[tuple[StageFound, dt.date]] = []
    for item in found:
        if item.owner != config.user or (item.app, item.stage) == (config.app, config.stage):
            continue
        settings = debug_stack_settings(config, caller.region, item.app, item.stage)
        last = last_used(item, caller.lease(settings.name("connections")), now)
        if last is not None and is_stale(last, now):
            stale.append((item, last))
    return stages_outcome(found, stale, config.user)


def stages_in(tags_of_apis: Iterable[Mapping[str, str]]) -> list[StageFound]:
    """Return the debug stacks that own APIs with these tags, each once."""
    found: dict[tuple[str, str], StageFound] = {}
    for tags in tags_of_apis:
        app, stage = tags.get("terralive:app", ""), tags.get("terralive:stage", "")
        if app and stage:
            owner, created = tags.get("terralive:owner", ""), tags.get("terralive:created", "")
            found[app, stage] = StageFound(app, stage, owner, created)
    return list(found.values())


def last_used(stage: StageFound, lease: Lease | None, now: float) -> dt.date | None:
    """Return the day when somebody was connected last; None where somebody is, or nobody knows.

    Args:
        stage: the debug stack. Where nobody has connected yet, the day of its deployment counts.
        lease: its relay's lease; None where there is none.
        now: seconds since the Unix epoch.
    """
    if lease is not None:
        if lease.state is LeaseState.HELD and lease.live(int(now * _MILLISECONDS)):
            return None
        last_ms = lease.until_ms or lease.since_ms
        return dt.datetime.fromtimestamp(last_ms / _MILLISECONDS, dt.UTC).date()
    try:
        return dt.date.fromisoformat(stage.created)
    except ValueError:
        return None


def is_stale(last: dt.date, now: float) -> bool:
    """Tell whether a day is so long ago that its stage is likely forgotten."""
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    return today - last >= dt.timedelta(days=_STALE_DAYS)


def stages_outcome(
    found: Sequence[StageFound], stale: Sequence[tuple[StageFound, dt.date]], user: str
) -> Outcome:
    """Return the result for the debug stacks of the account and the region.

    Args:
        found: all of them.
        stale: those that nobody uses, with the day when somebody did.
        user: name of the user.
    """
    findings: list[Finding] = []
    for item, last in stale:
        findings.append(
            warning(
                "stage-stale",
                f"Nobody has used the stage {item.stage} of the app {item.app} since {last}. "
                f"It is yours ({user}).",
                why="While its functions are live and nobody is connected, their deployed code "
                "answers for them, or nothing does. Its debug stack costs little.",
                fix=f"In the project of {item.app}: `terralive destroy --stage {item.stage}`.",
            )
        )
    own = sum(item.owner == user for item in found)
    count = plural(len(found), "debug stack")
    return Outcome(f"{count} in this region, {own} of them yours", tuple(findings))


def _tags_of_apis(caller: aws.Caller) -> list[Mapping[str, str]]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    client: Any = caller.session.client(
        "apigatewayv2", endpoint_url=caller.endpoint_url, config=aws.impatient()
    )
    try:
        pages = client.get_paginator("get_apis").paginate().build_full_result()
    except (ClientError, BotoCoreError) as error:
        if aws.is_denied(error):
            raise SkippedError("the caller may not list APIs (apigateway:GET)") from None
        raise aws.explained(error) from None
    return [api.get("Tags", {}) for api in pages["Items"]]
