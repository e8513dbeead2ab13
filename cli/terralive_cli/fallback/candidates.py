"""The functions of a live plan, with what decides about their fallback. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from terralive_cli.code_changes.renewable import cannot_renew, former_settings
from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.configuration.values import Config
from terralive_cli.fallback.decision import Declared
from terralive_cli.fallback.published import Published
from terralive_cli.output.events import Fallback
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.json_documents import items, text
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.evaluation.aliases import ALIAS_TYPE, PlannedAlias
from terralive_terraform.evaluation.document import Evaluated, Evaluation
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import DeployedFunction, reserved_concurrency
from terralive_terraform.substitution.rules import LATEST

# What a stub does not change: Terraform's names and Lambda's.
_SETTINGS: Final = {
    "dead_letter_config": "DeadLetterConfig",
    "environment": "Environment",
    "ephemeral_storage": "EphemeralStorage",
    "file_system_config": "FileSystemConfigs",
    "kms_key_arn": "KMSKeyArn",
    "memory_size": "MemorySize",
    "role": "Role",
    "tracing_config": "TracingConfig",
    "vpc_config": "VpcConfig",
}

_UNKNOWN: Final = (
    "the stub is in place, and the version that it has replaced is not known; `terralive restore` "
    "and then `terralive start` publish one"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One function, or one instance of it, that is live after a plan.

    Attributes:
        address: its address, with instance keys.
        choice: the user's setting.
        declared: what the configuration says of it.
        function: the function in Terraform's state; None where it is not deployed.
        aliases: the versions of the aliases that the plan points at `$LATEST`, by name.
        changed: the settings that the plan changes and a stub does not, as Lambda names them.
        timeout: the timeout in seconds that its configuration gives it; 0 for not known.
        own_code_first: why its real code is deployed before its stub; "" where it is not.
    """

    address: str
    choice: FallbackChoice
    declared: Declared
    function: DeployedFunction | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    timeout: int = 0
    own_code_first: str = ""


def candidates(
    config: Config,
    evaluation: Evaluation,
    readers: Mapping[str, tuple[str, ...]],
    live: Collection[str],
    deployed: Mapping[str, DeployedFunction],
) -> tuple[Candidate, ...]:
    """Return the functions of a live plan.

    Args:
        config: the configuration.
        evaluation: the app without stubs as Terraform computes it.
        readers: what reads the newest version, by the function's address without instance keys.
        live: the addresses of the live functions, without instance keys.
        deployed: the functions of the state, by address.
    """
    found: list[Candidate] = []
    for item in evaluation.instances(FUNCTION_TYPE):
        declared = without_keys(item.address)
        if declared not in live:
            continue
        settings = config.function_for(item.address, text(item.values, "function_name"))
        choice = config.fallback
        if settings is not None and settings.fallback is not None:
            choice = settings.fallback
        found.append(
            Candidate(
                item.address,
                choice,
                _declared(item, readers.get(declared, ())),
                deployed.get(item.address),
                timeout=_seconds(item),
            )
        )
    return tuple(found)


def with_plan(
    found: Collection[Candidate], aliases: Collection[PlannedAlias], plan: ShownPlan
) -> tuple[Candidate, ...]:
    """Return functions with what a plan changes of them and of their aliases.

    Args:
        found: the functions.
        aliases: the aliases of the app.
        plan: the plan that makes the functions live.
    """
    moved: dict[str, dict[str, str]] = {}
    by_address = {alias.address: alias for alias in aliases}
    for alias, name, version in _moved(plan):
        known = by_address.get(alias)
        if known is not None and len(known.functions) == 1:
            moved.setdefault(known.functions[0], {})[name] = version
    changed: dict[str, tuple[str, ...]] = {}
    for resource in plan.of_type(FUNCTION_TYPE):
        names = sorted(_SETTINGS.keys() & resource.changed)
        changed[resource.address] = tuple(_SETTINGS[name] for name in names)
    return tuple(
        replace(
            item,
            aliases=moved.get(item.address, {}),
            changed=changed.get(item.address, ()),
        )
        for item in found
    )


def _moved(plan: ShownPlan) -> Iterator[tuple[str, str, str]]:
    """Yield address, name and version of each alias that a plan points at `$LATEST`."""
    for item in plan.of_type(ALIAS_TYPE):
        version = text(item.before, "function_version")
        after = text(item.after, "function_version")
        if after == LATEST and version not in {"", LATEST}:
            yield item.address, text(item.before, "name"), version


def _seconds(item: Evaluated) -> int:
    timeout = item.values.get("timeout")
    if isinstance(timeout, int):
        return timeout
    return 0


def _declared(item: Evaluated, readers: tuple[str, ...]) -> Declared:
    snap_start = items(item.values, "snap_start")
    return Declared(
        reserved=reserved_concurrency(item.values),
        publishes=item.values.get("publish") is True,
        readers=readers,
        has_snap_start=any(
            isinstance(block, dict) and text(block, "apply_on") == "PublishedVersions"
            for block in snap_start
        ),
        role=text(item.values, "role"),
    )


def of_live(item: Candidate, record: Replaced | None, known: Published | str) -> Fallback:
    """Return what a plan says of the fallback of a function that carries a stub.

    Args:
        item: the function.
        record: the record of the version that its stub has replaced; None for none.
        known: its versions; a text where they are not known.
    """
    if record is None:
        return Fallback(reason=_UNKNOWN)
    stale = set(item.changed)
    is_renewed = False
    version = None
    if isinstance(known, Published):
        version = known.version(record.version)
        if version is not None:
            stale.update(former_settings(version, known.latest, item.timeout))
    if stale and record.can_answer and version is not None:
        is_renewed = not cannot_renew(item.declared, version)
    return Fallback(record.version, record.reason, tuple(sorted(stale)), is_renewed)
