"""Looks at live functions for code that Terraform does not notice. It changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from terralive_cli.code_changes.changes import CodeChange, keep, other_code
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.live.deployed_code import Call, DeployedCodeReader
from terralive_cli.live.stub_check import STUB_BYTES, Stub
from terralive_cli.restoring.by_api import NotPutBackError, read_version
from terralive_cli.restoring.packages import NotDownloadedError, downloaded
from terralive_cli.restoring.stub_code import TAIL_BYTES, is_stub_zip
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.arns import place_of
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import is_stub

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_log: Final = logging.getLogger("terralive.cli")


def find_other_code(
    accounts: Accounts,
    functions: Mapping[str, DeployedFunction],
    live: Collection[str],
    stub: Stub,
    record: Callable[[str], Replaced | None],
    *,
    own_hashes: Mapping[str, str | None],
) -> tuple[CodeChange, ...]:
    """Return the changes that put this stage's stub back where Terraform would not.

    What cannot be looked at is left out.

    Args:
        accounts: sessions in the accounts of the functions.
        functions: the functions of Terraform's state, by address.
        live: the addresses, without instance keys, of the functions that Terraform makes live.
        stub: this stage's stub.
        record: reads the record of what a stub has replaced, by the function's ARN.
        own_hashes: the Base64 SHA-256 of the code that the configuration gives each function, by
            address; None where it is not known.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    with_stub = {item.arn for item in functions.values() if is_stub(item.handler, item.description)}
    if not with_stub:
        return ()
    reader = DeployedCodeReader(partial(accounts.client, "lambda"), Call.FUNCTION)
    try:
        look = reader.read(with_stub)
        found = list(other_code(functions, live, look, stub))
        known = {change.arn: record(change.arn) for change in found}
    except (BotoCoreError, ClientError) as error:
        _log.debug("the code of live functions cannot be looked at: %s", error)
        return ()
    changes: list[CodeChange] = []
    for change in found:
        # An update that has failed has left the configuration's own code.
        is_known = change.sha256 == own_hashes.get(change.address)
        if not is_known:
            is_known = _has_stub(accounts, change.arn)
        kept = keep(change, known[change.arn], is_known=is_known)
        changes.append(replace(change, keep=kept))
    return tuple(changes)


def _has_stub(accounts: Accounts, arn: str) -> bool:
    """Tell whether a function's code is a stub's; False where it cannot be looked into."""
    place = place_of(arn)
    client: LambdaClient = accounts.client("lambda", place.account, place.region)
    try:
        version = read_version(client, arn)
        if version.code_bytes not in STUB_BYTES:
            return False
        return is_stub_zip(downloaded(version.location, tail_bytes=TAIL_BYTES))
    except (NotPutBackError, NotDownloadedError) as error:
        _log.debug("the code of %s cannot be looked into: %s", arn, error)
        return False
