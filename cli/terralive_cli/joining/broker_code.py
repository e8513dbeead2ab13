"""The broker's code after an apply that has failed: Terraform's state may be wrong about it.

The AWS provider writes the new hash into the state also where `UpdateFunctionCode` has failed (see
`restoring.healing`). A later plan would find nothing to change, and the broker would keep its old
code.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_cli.restoring.by_api import NotPutBackError, read_version
from terralive_cli.restoring.healing import put_back
from terralive_stub.errors import TerraliveError
from terralive_terraform.output.state import DeployedFunction

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_log: Final = logging.getLogger("terralive.cli")


def put_right(client: LambdaClient, broker: DeployedFunction, directory: Path) -> None:
    """Give the broker the code that the state says it has, where it has other code.

    Args:
        client: the client of Lambda.
        broker: the broker, as the state has it.
        directory: the folder of the debug stack's configuration.

    Raises:
        TerraliveError: `broker-outdated`.
    """
    try:
        if read_version(client, broker.arn).sha256 == broker.code_hash:
            return
        _log.debug("the broker's code is not what the state says")
        put_back(client, broker.arn, broker.package, directory)
    except NotPutBackError as error:
        raise TerraliveError(
            "broker-outdated",
            f"An update of the broker's code has failed, and so has the second try: {error}".rstrip(
                "."
            ),
            hint="Correct what AWS names, and run the same command again.",
        ) from None
