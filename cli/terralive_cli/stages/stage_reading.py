"""Reads the functions of one stage for `status`. It changes nothing, and runs no Terraform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from terralive_cli.deploy.accounts import Clients
from terralive_cli.live.deployed_code import CALLS_AT_ONCE, described_code
from terralive_cli.stages.state import SeenFunction
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_stub.shared.json_documents import Json


@dataclass(frozen=True, slots=True)
class _Answer:
    """A configuration as Lambda describes it; {} where there is none, or AWS refuses."""

    configuration: Mapping[str, Json]
    refusal: str = ""


def seen_functions(
    clients: Clients, arns: Sequence[str], records: Mapping[str, Replaced]
) -> tuple[SeenFunction, ...]:
    """Look at functions, and at the versions that have their real code, ten at once.

    Args:
        clients: clients in the accounts of the functions.
        arns: the functions' ARNs.
        records: the stage's records, by ARN.
    """
    if not arns:
        return ()
    with ThreadPoolExecutor(CALLS_AT_ONCE, "status") as pool:
        places = {place_of(arn) for arn in arns}
        # A session makes clients for one thread at a time.
        found = {place: _client(clients, place.account, place.region) for place in places}
        ask = partial(_seen, found, records)
        return tuple(pool.map(ask, arns))


def _client(clients: Clients, account: str, region: str) -> Any:  # noqa: ANN401  # or a text
    """Return the client of Lambda for a place, or why there is none."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # heavy

    try:
        return clients.client("lambda", account, region)
    except CredentialsError as error:
        return error.message
    except BotoCoreError as error:
        return str(error)


def _seen(found: Mapping[Any, Any], records: Mapping[str, Replaced], arn: str) -> SeenFunction:
    client = found[place_of(arn)]
    if isinstance(client, str):
        return SeenFunction(arn, None, {}, {}, refusal=client)
    now = _asked(client, arn, "")
    version = _Answer({})
    record = records.get(arn)
    if record is not None and now.configuration:
        version = _asked(client, arn, record.version)
    code = None
    if now.configuration:
        code = described_code(now.configuration)
    return SeenFunction(arn, code, now.configuration, version.configuration, now.refusal)


def _asked(client: Any, arn: str, version: str) -> _Answer:  # noqa: ANN401  # boto3's client
    """Ask for the configuration of a function, or of a version of it.

    `GetFunction` has a larger quota than `GetFunctionConfiguration`:
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    qualifier = {}
    if version:
        qualifier = {"Qualifier": version}
    try:
        answer = client.get_function(FunctionName=arn, **qualifier)
    except client.exceptions.ResourceNotFoundException:
        return _Answer({})
    except (ClientError, BotoCoreError) as error:
        return _Answer({}, str(error))
    return _Answer(cast("Mapping[str, Json]", answer["Configuration"]))
