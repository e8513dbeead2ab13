"""Refuses plans of the app that must not be applied, before they are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from terralive_cli.app.live_plan import AppGuard
from terralive_cli.app.source import AppSource
from terralive_cli.configuration.rules import closest
from terralive_cli.configuration.values import FILE, LEAVES_OUT, Config
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.deploy.target import Stage, aws_providers
from terralive_cli.functions.mapping import Mapped, instances
from terralive_cli.orphans.creations import Creations
from terralive_cli.output.formats.words import listed
from terralive_cli.protection.existing import Located, created_functions, require_new
from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import (
    in_stack,
    matches,
    names_of,
    stack_of,
    without_keys,
    without_stack,
)
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import DeployedFunction, functions_of_plan
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.marker import is_stub
from terralive_terraform.substitution.plan_checks import (
    functions_after,
    refuse_forgotten_stubs,
    refuse_new_images,
    refuse_replacements,
)
from terralive_terraform.substitution.rules import NotLive
from terralive_terraform.substitution.selection import addresses_of

_SHOWN_INSTANCES: Final = 10


class Inspection:
    """Inspects the functions that a plan changes or creates.

    Args:
        stage: the stage.
        guard: refuses what must not be touched.
        source: opens sessions in the accounts of functions.
    """

    def __init__(self, stage: Stage, guard: AppGuard, source: AppSource) -> None:
        self._stage = stage
        self._guard = guard
        self._source = source
        # Functions that a plan creates and that did not exist when terralive looked: the app is
        # planned again after the debug stack was deployed.
        self._new: set[Located] = set()

    def shown(self, ready: ReadyPlan) -> ShownPlan:
        """Read a plan's content, and inspect the functions in it; it raises what `inspect` does."""
        if not ready.plan.has_changes:
            return ShownPlan((), is_first=False)
        return self.inspect(ready.terraform.show(ready.plan.file))

    def inspect(self, shown: ShownPlan) -> ShownPlan:
        """Inspect the functions in a plan, and return the plan.

        Raises:
            TerraformError: `stub-would-be-forgotten`.
            TerraliveError: whatever the guard raises.
        """
        # The plan has looked at AWS: the state may be older, and new functions have names now.
        for functions in functions_of_plan(shown):
            self._guard.inspect(functions)
        refuse_forgotten_stubs(shown)
        return shown

    def require_new(
        self, plan: ShownPlan, prepared: Prepared, unfinished_since: float | None
    ) -> Creations:
        """Check that what a plan creates may be created, and does not exist yet.

        Args:
            plan: the plan.
            prepared: the app.
            unfinished_since: the time when a deployment of everything began that was not finished;
                None where every deployment was finished. Only after one that was not, other
                resources than functions are looked for.

        Returns:
            What the plan creates.

        Raises:
            ConfigurationError: `resources-exist`.
            TerraliveError: whatever the guard and `existing.require_new` raise.
        """
        target = self._stage.target
        accounts = self._source.accounts(prepared.directory)
        providers = aws_providers(self._stage.config, prepared.directory)
        created = tuple(
            created_functions(plan, prepared.functions, providers, accounts, target.region)
        )
        self._guard.inspect_new(created)
        creations = Creations.of(self._stage, accounts, prepared.directory, plan)
        if unfinished_since is not None:
            creations.require_none(unfinished_since)
        located = {new.located for new in created if new.located is not None}
        require_new(sorted(located - self._new), accounts, target.name)
        self._new |= located
        return creations


def at_edge(edge: Mapping[str, str]) -> dict[str, NotLive]:
    """Return the functions that stay as they are because Lambda@Edge runs them.

    A live function would be published as a stub, and CloudFront would roll that out:
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-the-edge.html

    Args:
        edge: what says that a function is for the edge, by the function's address.
    """
    return {
        address: NotLive(
            address,
            f"it is for Lambda@Edge, as {evidence} says: CloudFront runs a published version of it "
            "at its edge locations, which no stub can connect from",
        )
        for address, evidence in edge.items()
    }


def left_out(
    config: Config,
    planned: Sequence[PlannedFunction],
    deployed: Mapping[str, DeployedFunction],
) -> dict[str, NotLive]:
    """Return the functions that the user leaves out, by address without instance keys.

    Terraform changes all instances of a block in the same way, so they become live together.

    Args:
        config: the configuration.
        planned: the instances of the app's functions.
        deployed: the deployed functions by address.
    """
    reasons: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    with_stub: set[str] = set()
    for instance in planned:
        address = without_keys(instance.address)
        reason = config.left_out(instance.address, instance.name or "")
        reasons.setdefault(address, []).append(reason)
        names.setdefault(address, []).append(instance.name or instance.address)
        now = deployed.get(instance.address)
        if now is not None and is_stub(now.handler, now.description):
            with_stub.add(address)
    found: dict[str, NotLive] = {}
    for address, own in reasons.items():
        given = [reason for reason in own if reason]
        if not given:
            continue
        text = given[0]
        if len(given) < len(own):
            text = (
                f"{given[0]} in part: {len(given)} of its {len(own)} instances. Terraform changes "
                "all instances of a block together, so name all of them or none: "
                f"{listed(names[address], _SHOWN_INSTANCES)}"
            )
        if address in with_stub:
            text += ". It is live now, and gets its own code back"
        found[address] = NotLive(address, text)
    return found


def require_functions(config: Config, planned: Sequence[PlannedFunction]) -> None:
    """Check that `--only` and `--except` name functions.

    Args:
        config: the configuration.
        planned: the instances of all functions.

    Raises:
        ConfigurationError: `function-unknown`.
    """
    for option, patterns in (("--only", config.only), ("--except", config.except_)):
        for pattern in patterns:
            _require_function(option, pattern, planned)


def unused_tables(
    config: Config, planned: Sequence[PlannedFunction], blocks: Collection[str]
) -> list[Warned]:
    """Return a warning for each table of terralive.toml that fits no function.

    There is none where a function's name is not known yet.

    Args:
        config: the configuration.
        planned: the instances of all functions.
        blocks: the addresses of all functions, with those that have no instance now.
    """
    names = {name for address in blocks for name in _of_tables(address, "")}
    for instance in planned:
        if not instance.name:
            return []
        names |= _of_tables(instance.address, instance.name)
    found: list[Warned] = []
    for item in config.functions:
        # The name of the only stack may stand before an address.
        patterns = {item.pattern, without_stack(item.pattern)}
        if not any(matches(pattern, name) for pattern in patterns for name in names):
            text = (
                f"{FILE}: no function of the app fits [functions.'{item.pattern}'], so it has no "
            )
            text += f"effect.{closest(item.pattern, names)}"
            found.append(Warned("table-without-function", text))
    return found


def _of_tables(address: str, name: str) -> set[str]:
    """Return the names by which a table may mean a function. Its label alone is none of them."""
    stack, plain = stack_of(address), without_stack(address)
    names = {plain, without_keys(plain), name} - {""}
    return names | {in_stack(stack, known) for known in names}


def _require_function(option: str, pattern: str, planned: Sequence[PlannedFunction]) -> None:
    """Check that an option names at least one function.

    Raises:
        ConfigurationError: `function-unknown`.
    """
    names: set[str] = set()
    for instance in planned:
        names |= names_of(instance.address, instance.name or "")
    if any(matches(pattern, name) for name in names):
        return
    known = ", ".join(sorted({instance.name or instance.address for instance in planned}))
    raise ConfigurationError(
        "function-unknown",
        f"{option} {pattern}: no function of the app has this name.{closest(pattern, names)}",
        hint=f"Its functions, by name: {known or 'none'}.",
    )


def check_changes(
    config: Config,
    ready: ReadyPlan,
    functions: Sequence[DeclaredFunction],
    mapped: Mapped,
    arns: Mapping[str, str],
) -> None:
    """Refuse a plan that removes a live function or makes an instance without local code.

    Args:
        config: the configuration.
        ready: the plan.
        functions: the functions that are live after it.
        mapped: their local code.
        arns: the ARNs of functions by address, as far as they are known.

    Raises:
        TerraformError: `function-would-be-replaced`, and others of `plan_checks`.
        ConfigurationError: `instance-unmapped`.
    """
    refuse_replacements(ready.plan.changes, addresses_of(functions))
    repeated = [item for item in functions if item.is_image and item.repeated]
    refuse_new_images(ready.plan.changes, addresses_of(repeated), arns)
    # Functions that are mapped instance by instance: the plan shows which instances there are.
    by_instance = [function for function in functions if function.address not in mapped.code]
    if by_instance:
        deployed = functions_after(ready.terraform.state.functions(), ready.plan.changes)
        instances(config, mapped, by_instance, deployed)


def nothing_live(
    refused: Mapping[str, NotLive], errors: Mapping[str, ConfigurationError]
) -> ConfigurationError:
    """Return the error for an app without a live function.

    Args:
        refused: the functions that stay as they are, by address.
        errors: address -> what is wrong with the code of a function.
    """
    if len(refused) == 1 and len(errors) == 1:
        # The only function's own error says more.
        (error,) = errors.values()
        return error
    message = "The app has no Lambda functions."
    if len(refused) == 1:
        (function,) = refused.values()
        message = f"No function of the app can be made live. {function.address}: {function.text}"
    elif refused:
        # The plan's page has named each of them.
        message = f"None of the app's {len(refused)} functions can be made live."
    hint = "See docs/CONFIGURATION.md, [functions], for how functions are mapped to local code."
    if refused and all(LEAVES_OUT in item.reason for item in refused.values()):
        hint = "Leave fewer functions out by --only, --except or `live = false`."
    return ConfigurationError("no-live-functions", message, hint=hint)
