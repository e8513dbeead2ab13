"""Functions that exist after an apply, as far as their ARNs are known before it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_terraform.output.state import DeployedFunction


def expected_functions(
    evaluated: EvaluatedApp, arns: Mapping[str, str]
) -> dict[str, DeployedFunction]:
    """Return the functions by address.

    Args:
        evaluated: the app without stubs.
        arns: the ARNs of functions by address, as far as they are known.
    """
    found: dict[str, DeployedFunction] = {}
    for instance in evaluated.planned:
        address = instance.address
        function = evaluated.deployed.functions.get(address)
        if function is None and address in arns and instance.name is not None:
            function = DeployedFunction(instance.name, arns[address])
        # A function that gets another name gets another ARN.
        if function is not None and function.name == instance.name:
            found[address] = function
    return found
