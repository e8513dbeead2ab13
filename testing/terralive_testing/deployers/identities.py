"""Identities of a sandbox, and what they have asked of it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3

from terralive_cli.deploy.accounts import Accounts
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.info import SandboxInfo, write
from terralive_stub.errors import CredentialsError
from terralive_testing.deployers.sandbox import unique
from terralive_testing.drivers.project import Project

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

_PAGE: Final = Path(__file__).parents[3] / "docs" / "PERMISSIONS.md"
_INFO: Final = Path(".terralive") / "sandbox.json"
_ACCESS: Final = re.compile(r"access: (?P<arn>\S+) (?P<action>\S+)(?: (?P<resources>.*))?$")
Statement = Mapping[str, Any]


def documented(policy: str) -> list[Statement]:
    """Return the statements of a policy in docs/PERMISSIONS.md."""
    found = re.search(rf"```json {policy}\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None, policy
    statements: list[Statement] = json.loads(found.group(1))["Statement"]
    return statements


def document(statements: Iterable[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def actions(statement: Statement) -> list[str]:
    found = statement["Action"]
    if isinstance(found, str):
        return [found]
    return list(found)


@dataclass(frozen=True)
class Identity:
    """An IAM user of a sandbox: its ARN and its keys."""

    arn: str
    access_key_id: str
    secret_access_key: str

    @classmethod
    def create(cls, administrator: Project, statements: Sequence[Statement]) -> Identity:
        """Create a user with these permissions in the administrator's sandbox."""
        iam = administrator.client("iam")
        name = unique("person")
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return cls(arn, key["AccessKeyId"], key["SecretAccessKey"])

    def enter(self, administrator: Project, root: Path) -> None:
        """Make terralive in a project's folder use the administrator's sandbox as this user."""
        info = SandboxInfo.from_json((administrator.root / _INFO).read_text("utf-8"))
        own = replace(
            info, access_key_id=self.access_key_id, secret_access_key=self.secret_access_key
        )
        write(own, root / _INFO)


@dataclass(frozen=True)
class Accesses:
    """The accesses that one identity has asked for, allowed or not."""

    requests: frozenset[tuple[str, tuple[str, ...]]]

    @classmethod
    def read(cls, log: Path, identity: Identity) -> Accesses:
        """Read the debug log of a sandbox."""
        found: set[tuple[str, tuple[str, ...]]] = set()
        for line in log.read_text("utf-8").splitlines():
            access = _ACCESS.search(line)
            if access is not None and access["arn"] == identity.arn:
                found.add((access["action"], tuple((access["resources"] or "").split())))
        return cls(frozenset(found))

    def refused_by(self, statements: Iterable[Statement]) -> set[str]:
        """Return the actions that these permissions do not allow."""
        policy = document(statements)
        # The one condition of the documented policies.
        context = {"iam:PassedToService": "lambda.amazonaws.com"}
        refused: set[str] = set()
        for action, resources in self.requests:
            if decide([policy], AccessRequest(action, resources, context=context)) is not (
                Decision.ALLOWED
            ):
                refused.add(action)
        return refused


class SandboxAccounts(Accounts):
    """Clients with the developer's keys, who has a way into one account only, and their calls.

    Attributes:
        calls: the names of the API calls that were made.
    """

    def __init__(self, info: SandboxInfo) -> None:
        self._info = info
        self._lock = threading.Lock()  # guards `calls`
        self.calls: list[str] = []

    def client(self, service: str, account: str, region: str) -> LambdaClient:
        if account != self._info.account_id:
            raise CredentialsError("no-account-credentials", f"No way into {account}.")
        client: LambdaClient = boto3.client(
            service,  # type: ignore[call-overload]  # by name
            region_name=region,
            endpoint_url=self._info.endpoint,
            aws_access_key_id=self._info.access_key_id,
            aws_secret_access_key=self._info.secret_access_key,
        )
        client.meta.events.register("before-call", lambda model, **_: self._note(model.name))
        return client

    def _note(self, call: str) -> None:
        with self._lock:
            self.calls.append(call)
