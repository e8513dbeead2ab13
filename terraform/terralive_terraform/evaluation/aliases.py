"""Aliases and published versions of functions in a plan, and what uses them. Pure.

A stub is never published: it is `$LATEST` alone. So an alias has to point there while its function
is live. Otherwise the invocations of the alias do not arrive at the stub:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from terralive_stub.shared.json_documents import items, section, text
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.evaluation.document import Evaluated, Evaluation
from terralive_terraform.evaluation.references import referred, referred_in

ALIAS_TYPE: Final = "aws_lambda_alias"
_DISTRIBUTION_TYPE: Final = "aws_cloudfront_distribution"
_BEHAVIORS: Final = ("default_cache_behavior", "ordered_cache_behavior")
_EDGE_SERVICE: Final = "edgelambda.amazonaws.com"
_PROVISIONED_TYPE: Final = "aws_lambda_provisioned_concurrency_config"
# Provisioned concurrency needs a published version, and so does a weighted alias:
# https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
# https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
_WEIGHTED: Final = "it sends a part of its traffic to another version (routing_config)"
_PROVISIONED: Final = "it has provisioned concurrency, which only a published version can have"


@dataclass(frozen=True, slots=True)
class PlannedAlias:
    """One instance of an `aws_lambda_alias`.

    Attributes:
        address: its address, with instance keys.
        name: its name; "" where it is not known.
        functions: the addresses of the functions that it may belong to, with instance keys. There
            is one, unless an expression chooses among several.
        kept: the reason why it cannot point at `$LATEST`; "" where it can.
    """

    address: str
    name: str
    functions: tuple[str, ...]
    kept: str = ""

    def is_of(self, functions: Collection[str]) -> bool:
        """Tell whether it certainly belongs to one of these functions."""
        return bool(self.functions) and set(self.functions) <= set(functions)


def planned_aliases(evaluation: Evaluation) -> Iterator[PlannedAlias]:
    """Yield the aliases that exist after an apply."""
    provisioned = frozenset(_provisioned(evaluation))
    for item in evaluation.instances(ALIAS_TYPE):
        kept = ""
        if items(item.values, "routing_config"):
            kept = _WEIGHTED
        elif item.address in provisioned:
            kept = _PROVISIONED
        yield PlannedAlias(
            item.address,
            text(item.values, "name"),
            tuple(function.address for function in _functions_of(item, evaluation)),
            kept,
        )


def edge_functions(evaluation: Evaluation) -> dict[str, str]:
    """Return what says that a function is for the edge, by the function's address.

    It is the address of the distribution that runs it, or that of its role: a function that is
    published, and whose role lets Lambda@Edge assume it, may have its distribution elsewhere.
    Lambda@Edge copies a published version to the edge locations, where it runs without a
    connection to a region:
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-the-edge.html,
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-edge-permissions.html

    Addresses are without instance keys.
    """
    found: dict[str, str] = {}
    for function in evaluation.instances(FUNCTION_TYPE):
        if function.values.get("publish") is not True:
            continue
        for role in referred(evaluation, function.address, function.module, ("role",)):
            if _EDGE_SERVICE in text(role.values, "assume_role_policy"):
                found[without_keys(function.address)] = without_keys(role.address)
    for item in evaluation.instances(_DISTRIBUTION_TYPE):
        expressions = section(evaluation.block(item.address), "expressions")
        for name in _BEHAVIORS:
            for target in referred_in(evaluation, expressions.get(name), item.address, item.module):
                if target.type == FUNCTION_TYPE:
                    found[without_keys(target.address)] = without_keys(item.address)
    return found


def _functions_of(alias: Evaluated, evaluation: Evaluation) -> Iterator[Evaluated]:
    """Yield the functions that an alias may belong to, by its values, else by its references."""
    named = [
        function
        for function in evaluation.instances(FUNCTION_TYPE)
        if _is_named(text(alias.values, "function_name"), function)
    ]
    attributes = ("function_name", "function_version")
    related = [
        target
        for target in referred(evaluation, alias.address, alias.module, attributes)
        if target.type == FUNCTION_TYPE
    ]
    # Functions of one name may be in several regions.
    both = [function for function in named if function in related]
    if len(named) > 1 and both:
        yield from both
    else:
        yield from named or related


def _is_named(named: str, function: Evaluated) -> bool:
    """Tell whether an alias with this `function_name` may be one of a function.

    It is a name, an ARN or the end of an ARN:
    https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
    """
    name, arn = text(function.values, "function_name"), text(function.values, "arn")
    if not named or not name:
        return bool(named) and named == arn
    if named.startswith("arn:") and arn:
        return named == arn
    return named == name or named.endswith(f":function:{name}")


def _provisioned(evaluation: Evaluation) -> Iterator[str]:
    """Yield the addresses of the aliases that have provisioned concurrency."""
    for item in evaluation.instances(_PROVISIONED_TYPE):
        for target in referred(evaluation, item.address, item.module, ("qualifier",)):
            if target.type == ALIAS_TYPE:
                yield target.address
