"""The targets of a plan, which limit it so that it leaves unrelated changes alone. Pure.

Plans with targets include everything that the targets depend on:
https://developer.hashicorp.com/terraform/cli/commands/plan#resource-targeting.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.output.state import DeployedLambda
from terralive_terraform.substitution.marker import is_stub


def live_targets(
    functions: Sequence[DeclaredFunction], deployed: DeployedLambda
) -> tuple[str, ...]:
    """Return the targets of a plan that makes functions live; () for a plan of everything.

    Everything is planned where a function is not deployed yet: it may need more than what it
    depends on, such as a policy of its role.

    Args:
        functions: the functions that become live, with the instances that a plan has shown.
        deployed: the functions and aliases of the state.
    """
    targets: set[str] = set()
    for function in functions:
        for instance in function.instances or ():
            if instance.address not in deployed.functions:
                return ()
            targets.add(instance.address)
    if not targets:
        return ()
    targets.update(_aliases_of(targets, deployed))
    # Functions that were live before.
    targets.update(restore_targets(deployed))
    return tuple(sorted(targets))


def plan_targets(
    functions: Sequence[DeclaredFunction],
    by_api: Sequence[DeclaredFunction],
    deployed: DeployedLambda,
) -> tuple[str, ...] | None:
    """Return the targets of a plan of an app whose functions become live.

    Args:
        functions: the functions that Terraform makes live, with the instances that a plan has
            shown.
        by_api: those that Lambda's API makes live.
        deployed: the functions and aliases of the state.

    Returns:
        () for a plan of everything; None where Terraform has nothing to do.
    """
    instances = {item.address for function in by_api for item in function.instances or ()}
    if not instances <= deployed.functions.keys():
        return ()
    if functions:
        return live_targets(functions, deployed)
    # Functions that were live before; () where the app is not deployed.
    targets = restore_targets(deployed)
    if instances and not targets:
        return None
    return targets


def restore_targets(
    deployed: DeployedLambda, found: Collection[str] = (), own: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the functions of the state that carry a stub, with their aliases.

    Args:
        deployed: the functions and aliases of the state.
        found: more functions that carry a stub, which a look at AWS has found.
        own: functions that are no targets, whatever the state says.
    """
    stubs = set(found) | (_with_stubs(deployed) - set(own))
    return tuple(sorted(stubs | _aliases_of(stubs, deployed)))


def with_own_code(deployed: DeployedLambda) -> frozenset[str]:
    """Return the functions of the state that carry no stub."""
    return frozenset(deployed.functions) - _with_stubs(deployed)


def _with_stubs(deployed: DeployedLambda) -> frozenset[str]:
    return frozenset(
        address
        for address, function in deployed.functions.items()
        if is_stub(function.handler, function.description)
    )


def _aliases_of(functions: Collection[str], deployed: DeployedLambda) -> set[str]:
    """Return the aliases of some functions.

    An alias has the function's name, its ARN, or the ARN's end from the account on.
    """
    known: set[str] = set()
    for address in functions:
        function = deployed.functions[address]
        known.update((function.name, function.arn, function.arn.split(":", 4)[-1]))
    return {address for address, alias in deployed.aliases.items() if alias.function in known}
