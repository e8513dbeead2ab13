"""Who signed a request, and which policies are theirs: looked up in moto's IAM and STS.

Permissions boundaries and session policies are not emulated (README).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from moto.iam.models import IAMBackend, ManagedPolicy, iam_backends
from moto.sts.models import sts_backends

from terralive_sandbox.access import sigv2, sigv4
from terralive_sandbox.access.policy import AccessRequest, Decision, decide

ACCOUNT = "123456789012"
_ROLE_SESSION_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller; `documents` are the identity policies as JSON text."""

    access_key_id: str
    arn: str
    user_id: str
    documents: tuple[str, ...] = field(repr=False)
    account: str = ACCOUNT


@dataclass(frozen=True, slots=True)
class Keys:
    """Temporary credentials of a role."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)


class AccessDeniedError(Exception):
    """The caller's policies do not allow what they ask for; the text is IAM's."""


def authenticate(request: sigv4.Request) -> tuple[Caller, sigv4.Signed]:
    """Verify the signature.

    Raises:
        sigv4.SignatureError: unsigned, unknown key, wrong signature or token, or expired.
    """
    version = sigv2 if sigv2.is_presigned(request) else sigv4
    signed = version.parse(request)
    caller, secret, token = _find(signed.access_key_id)
    if signed.token != token:
        raise sigv4.SignatureError(
            "InvalidClientTokenId", "The security token included in the request is invalid."
        )
    version.verify(request, signed, secret, time.time())
    return caller, signed


def owner_of(access_key_id: str) -> Caller | None:
    """Whose key it is, of a request whose signature is verified already; None for an unknown key."""
    try:
        return _find(access_key_id)[0]
    except sigv4.SignatureError:
        return None


def require(
    caller: Caller, request: AccessRequest, by_resource: Decision = Decision.NEUTRAL
) -> None:
    """Raises AccessDeniedError, worded as IAM words it, unless the caller's policies or the resource's allow it."""
    decision = decide(caller.documents, request)
    if Decision.DENIED not in {decision, by_resource} and Decision.ALLOWED in {
        decision,
        by_resource,
    }:
        return
    resource = f" on resource: {request.resources[0]}" if request.resources else ""
    if decision is Decision.DENIED:
        because = "with an explicit deny in an identity-based policy"
    else:
        because = f"because no identity-based policy allows the {request.action} action"
    raise AccessDeniedError(
        f"User: {caller.arn} is not authorized to perform: {request.action}{resource} {because}"
    )


def require_trust(caller: Caller, role_arn: str) -> None:
    """Raises AccessDeniedError unless the role's trust policy names the caller.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_terms-and-concepts.html
    """
    role = next((role for role in list(_iam().roles.values()) if role.arn == role_arn), None)
    names = (*principals(caller), f"arn:aws:iam::{caller.account}:root", caller.account)
    asked = AccessRequest("sts:AssumeRole", (role_arn,), names)
    if role is None or decide([role.assume_role_policy_document], asked) is not Decision.ALLOWED:
        message = f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        raise AccessDeniedError(message)


def principals(caller: Caller) -> tuple[str, ...]:
    """The names by which a resource's policy may let the caller in by itself; the account's would not be enough.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    if ":assumed-role/" not in caller.arn:
        return (caller.arn,)
    name = caller.arn.split("/")[1]
    return (caller.arn, *(role.arn for role in list(_iam().roles.values()) if role.name == name))


def role_documents(role_arn: str) -> tuple[str, ...]:
    """The policies of a role; empty for one that does not exist."""
    backend = _iam()
    name = role_arn.rpartition("/")[2]
    role = next((role for role in list(backend.roles.values()) if role.name == name), None)
    if role is None:
        return ()
    return (
        *role.policies.values(),
        *(_default(policy) for policy in role.managed_policies.values()),
    )


def assume(role_arn: str, session_name: str, region: str) -> Keys:
    """Temporary credentials for a function's role, as Lambda obtains them."""
    role = sts_backends[ACCOUNT]["aws"].assume_role(
        region, session_name, role_arn, "", _ROLE_SESSION_SECONDS, ""
    )
    return Keys(role.access_key_id, role.secret_access_key, role.session_token)


def create_developer(name: str = "developer") -> tuple[str, str]:
    """Make the developer's IAM user with every permission; its access key id and secret."""
    backend = _iam()
    backend.create_user("us-east-1", name, tags=[])
    document = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
    )
    backend.put_user_policy(name, "sandbox-administrator", document)
    key = backend.create_access_key(name)
    return key.access_key_id, key.secret_access_key


def _iam() -> IAMBackend:
    return iam_backends[ACCOUNT]["aws"]


def _default(policy: ManagedPolicy) -> str:
    return next((str(version.document) for version in policy.versions if version.is_default), "{}")


def _find(access_key_id: str) -> tuple[Caller, str, str]:
    backend = _iam()
    for user in list(backend.users.values()):
        for key in user.access_keys:
            if key.access_key_id == access_key_id and key.status == "Active":
                documents = [
                    *user.policies.values(),
                    *(_default(p) for p in user.managed_policies.values()),
                ]
                for group in backend.get_groups_for_user(user.name):
                    documents += [*group.policies.values()]
                    documents += [_default(p) for p in group.managed_policies.values()]
                return (
                    Caller(access_key_id, user.arn, user.id, tuple(documents)),
                    key.secret_access_key,
                    "",
                )
    for role in reversed(sts_backends[ACCOUNT]["aws"].assumed_roles):
        if role.access_key_id == access_key_id:
            if role.expiration.timestamp() < time.time():
                raise sigv4.SignatureError(
                    "ExpiredToken", "The security token included in the request is expired"
                )
            caller = Caller(access_key_id, role.arn, role.user_id, role_documents(role.role_arn))
            return caller, role.secret_access_key, role.session_token
    raise sigv4.SignatureError(
        "InvalidClientTokenId", "The security token included in the request is invalid."
    )
