"""Callers of requests and their policies, looked up in moto's IAM and STS.

Permissions boundaries and session policies are not emulated (README.md). Use it on the thread that
owns moto's state.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from moto.iam.models import Group, IAMBackend, Role, User, iam_backends
from moto.sts.models import sts_backends

from terralive_sandbox.access import sigv2, sigv4
from terralive_sandbox.access.policy import AccessRequest, Decision, decide

ACCOUNT: Final = "123456789012"
_ROLE_SESSION_SECONDS: Final = 12 * 3600
_EVERYTHING: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
)
_UNKNOWN_KEY: Final = "The security token included in the request is invalid."


@dataclass(frozen=True, slots=True)
class Caller:
    """The verified caller of a request."""

    access_key_id: str
    arn: str
    user_id: str
    # The identity policies as JSON text
    documents: tuple[str, ...] = field(repr=False)
    account: str = ACCOUNT


@dataclass(frozen=True, slots=True)
class Keys:
    """Temporary credentials of a role."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _KeyOwner:
    """The owner of an access key, and the secrets of the key."""

    caller: Caller
    secret: str = field(repr=False)
    # "" for the key of a user
    session_token: str = field(repr=False)


class AccessDeniedError(Exception):
    """The caller's policies do not allow the request. The text is IAM's."""


def authenticate(request: sigv4.Request) -> tuple[Caller, sigv4.Signed]:
    """Verify a request's signature and return its caller.

    Raises:
        sigv4.SignatureError: the request is not signed, the key is unknown, the signature or the
            token is wrong, or the time is over.
    """
    parse, verify = sigv4.parse, sigv4.verify
    if sigv2.is_presigned(request):
        parse, verify = sigv2.parse, sigv2.verify
    signed = parse(request)
    owner = _find_owner(signed.access_key_id)
    if signed.token != owner.session_token:
        raise sigv4.SignatureError("InvalidClientTokenId", _UNKNOWN_KEY)
    verify(request, signed, owner.secret, time.time())
    return owner.caller, signed


def owner_of(access_key_id: str) -> Caller | None:
    """Return the owner of a key, or None for an unknown key.

    The signature of the request has to be verified already.
    """
    try:
        return _find_owner(access_key_id).caller
    except sigv4.SignatureError:
        return None


def require(
    caller: Caller, request: AccessRequest, by_resource: Decision = Decision.NEUTRAL
) -> None:
    """Check that the caller's policies, or the resource's policy, allow a request.

    Args:
        caller: the caller.
        request: the action and its resource.
        by_resource: the decision of the resource's own policy.

    Raises:
        AccessDeniedError: they do not.
    """
    decision = decide(caller.documents, request)
    decisions = {decision, by_resource}
    if Decision.DENIED not in decisions and Decision.ALLOWED in decisions:
        return
    resource = f" on resource: {request.resources[0]}" if request.resources else ""
    reason = f"because no identity-based policy allows the {request.action} action"
    if decision is Decision.DENIED:
        reason = "with an explicit deny in an identity-based policy"
    raise AccessDeniedError(
        f"User: {caller.arn} is not authorized to perform: {request.action}{resource} {reason}"
    )


def require_trust(caller: Caller, role_arn: str) -> None:
    """Check that a role's trust policy lets the caller assume the role.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_terms-and-concepts.html

    Raises:
        AccessDeniedError: it does not, or there is no such role.
    """
    names = (*principals(caller), f"arn:aws:iam::{caller.account}:root", caller.account)
    request = AccessRequest("sts:AssumeRole", (role_arn,), names)
    trust = [role.assume_role_policy_document for role in _roles() if role.arn == role_arn]
    if decide(trust, request) is Decision.ALLOWED:
        return
    raise AccessDeniedError(
        f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
    )


def principals(caller: Caller) -> tuple[str, ...]:
    """Return the names by which a resource's policy can allow the caller alone.

    The account is not among them: a policy that names the account needs the caller's own policies,
    too.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    if ":assumed-role/" not in caller.arn:
        return (caller.arn,)
    role_name = caller.arn.split("/")[1]
    return (caller.arn, *(role.arn for role in _roles() if role.name == role_name))


def role_documents(role_arn: str) -> tuple[str, ...]:
    """Return the policies of a role as JSON text; none for a role that does not exist."""
    name = role_arn.rpartition("/")[2]
    for role in _roles():
        if role.name == name:
            return tuple(_documents(role))
    return ()


def assume(role_arn: str, session_name: str, region: str) -> Keys:
    """Return temporary credentials for a function's role, as Lambda obtains them."""
    role = sts_backends[ACCOUNT]["aws"].assume_role(
        region, session_name, role_arn, "", _ROLE_SESSION_SECONDS, ""
    )
    return Keys(role.access_key_id, role.secret_access_key, role.session_token)


def create_developer(name: str = "developer") -> tuple[str, str]:
    """Create the developer's IAM user, who may do everything; return its key and secret."""
    backend = _iam()
    backend.create_user("us-east-1", name, tags=[])
    backend.put_user_policy(name, "sandbox-administrator", _EVERYTHING)
    key = backend.create_access_key(name)
    return key.access_key_id, key.secret_access_key


def _iam() -> IAMBackend:
    return iam_backends[ACCOUNT]["aws"]


def _roles() -> list[Role]:
    """Return a copy of the list of roles, so that another thread can read it."""
    return list(_iam().roles.values())


def _documents(owner: Role | User | Group) -> list[str]:
    """Return the inline and the managed policies of a role, user or group as JSON text."""
    documents = list(owner.policies.values())
    for policy in owner.managed_policies.values():
        documents += [str(version.document) for version in policy.versions if version.is_default]
    return documents


def _find_owner(access_key_id: str) -> _KeyOwner:
    """Find the owner of a key. Raises SignatureError for an unknown or expired key."""
    return _find_user(access_key_id) or _find_role_session(access_key_id)


def _find_user(access_key_id: str) -> _KeyOwner | None:
    backend = _iam()
    for user in list(backend.users.values()):
        for key in user.access_keys:
            if key.access_key_id != access_key_id or key.status != "Active":
                continue
            documents = _documents(user)
            for group in backend.get_groups_for_user(user.name):
                documents += _documents(group)
            caller = Caller(access_key_id, user.arn, user.id, tuple(documents))
            return _KeyOwner(caller, key.secret_access_key, "")
    return None


def _find_role_session(access_key_id: str) -> _KeyOwner:
    """Find the session of an assumed role, the newest first. Raises SignatureError."""
    for role in reversed(sts_backends[ACCOUNT]["aws"].assumed_roles):
        if role.access_key_id != access_key_id:
            continue
        if role.expiration.timestamp() < time.time():
            raise sigv4.SignatureError(
                "ExpiredToken", "The security token included in the request is expired"
            )
        caller = Caller(access_key_id, role.arn, role.user_id, role_documents(role.role_arn))
        return _KeyOwner(caller, role.secret_access_key, role.session_token)
    raise sigv4.SignatureError("InvalidClientTokenId", _UNKNOWN_KEY)
