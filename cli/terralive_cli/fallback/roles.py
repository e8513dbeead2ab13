"""Reads the permissions boundaries of functions' roles, each role once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.aws import impatient
from terralive_cli.fallback.boundary import may_invoke
from terralive_cli.live.deployed_code import CALLS_AT_ONCE
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_stub.shared.json_documents import Json, parse_object

if TYPE_CHECKING:
    from types_boto3_iam.client import IAMClient

_log: Final = logging.getLogger("terralive.cli")
_ANY_VERSION: Final = "1"


class Boundaries:
    """The permissions boundaries of roles.

    Args:
        accounts: sessions in the accounts of the functions.
        endpoint_url: where all services answer; None on AWS.
    """

    def __init__(self, accounts: Accounts, endpoint_url: str | None) -> None:
        self._accounts = accounts
        self._endpoint_url = endpoint_url
        # The boundary of each role that was asked for; None for none, or where it is not known.
        self._known: dict[str, Mapping[str, Json] | None] = {}
        # Clients of IAM by account; None where terralive has no credentials for it.
        self._clients: dict[str, IAMClient | None] = {}

    def read(self, roles: Collection[str], region: str) -> None:
        """Read the boundaries of roles that are not known yet.

        Nothing more is asked where the first answer does not come: the caller may not ask, or the
        network does not let requests to IAM out.

        Args:
            roles: their ARNs.
            region: the region of the stage; IAM is the same in all of them.
        """
        pending = sorted({role for role in roles if role} - self._known.keys())
        for role in pending:
            # They are made one after the other: boto3's sessions are not for several threads.
            self._client(place_of(role).account, region)
        if not pending:
            return
        first, *others = pending
        if not self._read(first):
            self._known.update(dict.fromkeys(others))
            return
        with ThreadPoolExecutor(CALLS_AT_ONCE, "roles") as pool:
            list(pool.map(self._read, others))

    def refuses(self, role: str, function: str) -> bool:
        """Tell whether a role's boundary does not let it invoke a version of a function.

        Args:
            role: the role's ARN; "" where it is not known.
            function: the function's ARN, without a qualifier.
        """
        boundary = self._known.get(role)
        return boundary is not None and not may_invoke(boundary, f"{function}:{_ANY_VERSION}")

    def _client(self, account: str, region: str) -> None:
        if account in self._clients:
            return
        try:
            session = self._accounts.session_for(account, region)
        except CredentialsError:
            self._clients[account] = None
            return
        self._clients[account] = session.client(
            "iam", endpoint_url=self._endpoint_url, config=impatient()
        )

    def _read(self, role: str) -> bool:
        """Read the boundary of a role, and return whether IAM has answered.

        https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        self._known[role] = None
        client = self._clients[place_of(role).account]
        if client is None:
            return True
        try:
            found = client.get_role(RoleName=role.rpartition("/")[2])["Role"]
            boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
            if boundary:
                self._known[role] = _document(client, boundary)
        except (BotoCoreError, ClientError) as error:
            _log.debug("the boundary of %s cannot be read: %s", role, type(error).__name__)
            return False
        return True


def _document(client: IAMClient, policy: str) -> Mapping[str, Json]:
    """Return the document of a policy.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetPolicyVersion.html
    """
    version = client.get_policy(PolicyArn=policy)["Policy"].get("DefaultVersionId", "")
    answer: Any = client.get_policy_version(PolicyArn=policy, VersionId=version)
    document = answer["PolicyVersion"]["Document"]
    if isinstance(document, str):
        return parse_object(unquote(document))
    return dict(document)
