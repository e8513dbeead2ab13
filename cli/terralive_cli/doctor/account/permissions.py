"""The caller's permissions, as IAM's policy simulator sees them.

The documented policies (docs/PERMISSIONS.md) are the list. Nothing is called but the simulator:
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from terralive_cli.deploy import aws
from terralive_cli.doctor.findings import Outcome, SkippedError, failed, warning
from terralive_cli.output.formats.words import listed
from terralive_cli.permissions.policies import PolicyScope, policy_of
from terralive_stub.shared.arns import partition_of
from terralive_stub.shared.json_documents import Json, as_object, items, text

_ALLOWED: Final = "allowed"
_SHOWN: Final = 6
# Replaces a wildcard: the simulator takes the ARN of one resource.
_NAME: Final = "doctor"
_ASSUMED: Final = re.compile(r"arn:[^:]+:sts::\d+:assumed-role/(?P<role>[^/]+)/.+")
_NO_RIGHT: Final = "the caller may not simulate policies (iam:SimulatePrincipalPolicy)"
_FIX: Final = (
    "Ask who runs the account for the policies in docs/PERMISSIONS.md. `terralive doctor` shows "
    "when they are there."
)


@dataclass(frozen=True, slots=True)
class Simulation:
    """One call of the simulator: each action on each resource.

    Attributes:
        actions: the actions (`lambda:GetFunction`).
        resources: the ARNs of the resources.
        context: values of condition keys (`iam:PassedToService`).
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Mapping[str, str]


def check_permissions(caller: aws.Caller, scope: PolicyScope) -> Outcome:
    """Simulate the policies of a developer, and of one who only joins.

    Args:
        caller: the caller.
        scope: the account, the region, the app and the stage.

    Raises:
        SkippedError: the caller's policies cannot be simulated.
    """
    if not caller.is_aws:
        raise SkippedError("an emulator does not simulate policies")
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    client: Any = caller.session.client(
        "iam", endpoint_url=caller.endpoint_url, config=aws.impatient()
    )
    partition = partition_of(caller.arn)
    try:
        source = _source(client, caller.arn)
        developer = _denied(client, source, simulations("developer", scope, partition))
        joiner: list[str] = []
        if developer:
            joiner = _denied(client, source, simulations("joiner", scope, partition))
    except ClientError as error:
        if aws.is_denied(error):
            raise SkippedError(_NO_RIGHT) from None
        raise SkippedError(f"IAM's simulator has refused: {error}") from None
    except BotoCoreError as error:
        raise aws.explained(error) from None
    return permissions_outcome(developer, joiner)


def simulations(policy: str, scope: PolicyScope, partition: str) -> list[Simulation]:
    """Return the calls that simulate a documented policy, one for each of its statements.

    Args:
        policy: name of the policy.
        scope: what it is narrowed to.
        partition: the partition of the account (`aws`).
    """
    found: list[Simulation] = []
    for item in items(policy_of(policy, scope), "Statement"):
        statement = as_object(item)
        resources: list[str] = []
        for pattern in _texts(statement, "Resource"):
            arn = pattern.replace("*", _NAME)
            if pattern == "*":
                arn = pattern
            resources.append(arn.replace("arn:aws:", f"arn:{partition}:", 1))
        found.append(
            Simulation(tuple(_texts(statement, "Action")), tuple(resources), _context(statement))
        )
    return found


def permissions_outcome(developer: Sequence[str], joiner: Sequence[str]) -> Outcome:
    """Return the result for the actions that are denied.

    Args:
        developer: those of the policy of a developer.
        joiner: those of the policy of a developer who only joins.
    """
    if not developer:
        return Outcome("create, use and remove debug stacks: all are allowed")
    if not joiner:
        finding = warning(
            "permissions-to-join-only",
            f"IAM denies {listed(developer, _SHOWN)}.",
            why="terralive can join debug stacks that exist, and not create or remove them.",
            fix=_FIX,
        )
        return Outcome("join debug stacks that exist", (finding,))
    finding = failed(
        "permissions-missing",
        f"IAM denies {listed(joiner, _SHOWN)}.",
        why="terralive can neither use nor create a debug stack.",
        fix=_FIX,
    )
    return Outcome(f"{len(joiner)} are missing", (finding,))


def role_of(arn: str) -> str:
    """Return the name of the role of an assumed role; "" for another identity.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    """
    match = _ASSUMED.fullmatch(arn)
    if match is None:
        return ""
    return match["role"]


def scope_of(caller: aws.Caller, scope: PolicyScope) -> PolicyScope:
    """Return a scope in the account and the region of the caller."""
    return replace(scope, account=caller.account, region=caller.region)


def _source(client: Any, arn: str) -> str:  # noqa: ANN401  # boto3's clients are made at run time
    """Return the ARN of the user or role whose policies are simulated.

    A role may have a path, which the ARN of its session does not tell.

    Raises:
        SkippedError: it is neither a user nor a role.
    """
    role = role_of(arn)
    if role:
        return str(client.get_role(RoleName=role)["Role"]["Arn"])
    if ":user/" not in arn:
        raise SkippedError("IAM simulates the policies of users and roles only")
    return arn


def _denied(client: Any, source: str, wanted: Sequence[Simulation]) -> list[str]:  # noqa: ANN401
    """Return the actions that are not allowed, each once."""
    found: dict[str, None] = {}
    for simulation in wanted:
        entries = [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in simulation.context.items()
        ]
        pages = client.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=source,
            ActionNames=list(simulation.actions),
            ResourceArns=list(simulation.resources),
            ContextEntries=entries,
        )
        for page in pages:
            found.update(dict.fromkeys(_denied_in(page["EvaluationResults"])))
    return list(found)


def _denied_in(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for result in results:
        if result["EvalDecision"] != _ALLOWED:
            yield str(result["EvalActionName"])


def _texts(statement: Mapping[str, Json], key: str) -> list[str]:
    """Return the texts of an element of a statement, which may be one text or a list."""
    value = statement.get(key)
    if isinstance(value, str):
        return [value]
    return [str(item) for item in items(statement, key)]


def _context(statement: Mapping[str, Json]) -> dict[str, str]:
    equal = as_object(as_object(statement.get("Condition")).get("StringEquals"))
    return {key: text(equal, key) for key in equal}
