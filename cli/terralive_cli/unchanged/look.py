"""One look at what a start finds on AWS: the debug stack's items, and the deployed functions.

It reads only. Everything is asked at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from terralive_cli.deploy.accounts import Clients
from terralive_cli.deploy.aws import explained
from terralive_cli.deploy.target import Stage
from terralive_cli.joining.description import StackDescription
from terralive_cli.joining.inventory import AwsInventory
from terralive_cli.live.deployed_code import Call, DeployedCodeReader
from terralive_cli.live.stub_check import Look
from terralive_cli.protection.data_trace import require_no_tracing
from terralive_stub.broker.leases import Lease
from terralive_stub.shared.arns import place_of

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_AT_ONCE: Final = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """The debug stack and the functions as they are now.

    Attributes:
        description: the description of the debug stack; None where there is none.
        secret: the stage's secret; None where there is none.
        lease: the lease in the table; None where there is none.
        functions: the functions, as Lambda describes them.
        aliases: the versions of aliases by their names, by the ARN of their function.
    """

    description: StackDescription | None
    secret: bytes | None = field(repr=False)
    lease: Lease | None
    functions: Look
    aliases: Mapping[str, Mapping[str, str]]


def look(
    stage: Stage,
    table: str,
    arns: frozenset[str],
    accounts: Clients,
    aliases: Mapping[str, Collection[str]],
) -> Seen:
    """Look at the debug stack and at functions.

    Args:
        stage: the stage.
        table: the name of the debug stack's table.
        arns: the functions.
        accounts: sessions in the accounts of the functions.
        aliases: the names of aliases to look at, by the ARN of their function.

    Raises:
        ConfigurationError: `data-trace-on`.
        CredentialsError: AWS did not answer, or refused.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    from terralive_stub.broker.aws import DynamoDBTable  # noqa: PLC0415  # imports boto3

    caller = stage.target.caller
    # One thread makes all clients, because a session is not safe for several.
    client = caller.session.client("dynamodb", endpoint_url=caller.endpoint_url)
    of_table = DynamoDBTable(client, table)
    inventory = AwsInventory(caller, _clients={"dynamodb": client})
    reader = DeployedCodeReader(partial(accounts.client, "lambda"), Call.FUNCTION)
    try:
        with ThreadPoolExecutor(_AT_ONCE, "stage-look") as pool:
            secret = pool.submit(of_table.get_secret)
            lease = pool.submit(of_table.get_lease)
            description = pool.submit(inventory.description, table)
            functions = reader.read(arns)
            versions: dict[str, Future[dict[str, str]]] = {}
            for arn, names in aliases.items():
                place = place_of(arn)
                of_function = accounts.client("lambda", place.account, place.region)
                versions[arn] = pool.submit(_versions, of_function, arn, names)
            found = description.result()
            if found is not None:
                urls = (found.outputs.get("relay_url", ""), found.outputs.get("stub_url", ""))
                require_no_tracing(stage, urls, is_joined=False)
            return Seen(
                found,
                secret.result(),
                lease.result(),
                functions,
                {arn: answer.result() for arn, answer in versions.items()},
            )
    except (BotoCoreError, ClientError) as error:
        raise explained(error) from None


def _versions(client: LambdaClient, arn: str, names: Collection[str]) -> dict[str, str]:
    """Return the versions of some aliases of a function, by their names; "" for one that is gone.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetAlias.html
    """
    found: dict[str, str] = {}
    for name in names:
        try:
            alias = client.get_alias(FunctionName=arn, Name=name)
        except client.exceptions.ResourceNotFoundException:
            found[name] = ""
            continue
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        found[name] = " ".join([alias["FunctionVersion"], *sorted(weights)])
    return found
