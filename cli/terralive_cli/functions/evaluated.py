"""The functions of an app as Terraform computes them, with the local code of each instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from terralive_cli.configuration.source import repository_top
from terralive_cli.layers.local import LocalLayers, local_layers
from terralive_cli.layers.store import users_store
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.files import Module
from terralive_terraform.evaluation.aliases import (
    PlannedAlias,
    edge_functions,
    planned_aliases,
)
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode, find_code
from terralive_terraform.evaluation.evaluated_plan import EvaluatedPlan
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.evaluation.layers import find_layers
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.triggers.limits import with_triggers
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.output.state import DeployedFunction, DeployedLambda


@dataclass(frozen=True, slots=True)
class EvaluatedApp:
    """An app without stubs as Terraform computes it, before anything is changed.

    Attributes:
        made: the plan.
        deployed: the functions and aliases of the state.
        planned: the instances of functions that its configuration declares.
        builds: what nobody has built, and what stands for it in the plan.
        aliases: their aliases.
        edge: the CloudFront distribution or the role that says that a function is for the edge, by
            the function's address without instance keys.
        located: where the code of each instance is, by address.
        layers: the layers of each instance that has any, by address.
        new: the addresses of all resources that are not deployed yet.
    """

    made: EvaluatedPlan = field(repr=False)
    deployed: DeployedLambda
    planned: tuple[PlannedFunction, ...]
    builds: MissingBuilds = field(repr=False)
    aliases: tuple[PlannedAlias, ...] = ()
    edge: Mapping[str, str] = field(default_factory=dict)
    located: Mapping[str, FoundCode | CodeNotFound] = field(default_factory=dict)
    layers: Mapping[str, LocalLayers] = field(default_factory=dict)
    new: tuple[str, ...] = ()

    @property
    def undecided_layers(self) -> frozenset[str]:
        """The functions whose layers only an apply tells, by address without instance keys."""
        return frozenset(without_keys(at) for at, item in self.layers.items() if item.undecided)

    @property
    def deployed_arns(self) -> dict[str, str]:
        """The ARNs of the deployed functions, by address.

        A function whose creation was interrupted may be in the state without its ARN.
        """
        functions = self.deployed.functions
        return {address: item.arn for address, item in functions.items() if item.arn}

    def expected(self, arns: Mapping[str, str]) -> dict[str, DeployedFunction]:
        """Return the functions that exist after an apply, as far as their ARNs are known before it.

        Args:
            arns: the ARNs of functions by address, as far as they are known.
        """
        found: dict[str, DeployedFunction] = {}
        for instance in self.planned:
            address = instance.address
            function = None
            if address in self.deployed_arns:
                function = self.deployed.functions[address]
            elif address in arns and instance.name is not None:
                function = DeployedFunction(instance.name, arns[address])
            # A function that gets another name gets another ARN.
            if function is not None and function.name == instance.name:
                found[address] = function
        return found


def evaluated_app(
    made: EvaluatedPlan,
    deployed: DeployedLambda,
    project: Path,
    modules: Sequence[Module],
    builds: MissingBuilds,
) -> EvaluatedApp:
    """Find the functions of a plan of the app without stubs, and their code.

    Args:
        made: the plan.
        deployed: the functions and aliases of the state.
        project: the project's folder. Code is looked for in the whole repository around it.
        modules: its modules, as static reading has found them.
        builds: what nobody has built, and what stands for it in the plan.
    """
    evaluation = made.evaluation
    words: dict[str, Sequence[str]] = {}
    for module in modules:
        words.update(module.words)
    planned = with_triggers(planned_functions(evaluation), evaluation)
    top = repository_top(project) or project
    layers = find_layers(evaluation, top, project=project, words=words)
    return EvaluatedApp(
        made,
        deployed,
        planned,
        builds,
        aliases=tuple(planned_aliases(evaluation)),
        edge=edge_functions(evaluation),
        located=find_code(evaluation, planned, top, project=project, words=words),
        layers=local_layers(layers, users_store()),
        new=evaluation.new_addresses(),
    )
