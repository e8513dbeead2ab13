"""Callers of requests and their policies, looked up in moto's IAM and STS.

Session policies are not emulated (README.md). Use it on the thread that owns moto's state.
"""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass, field, replace
from typing import Final

from moto.iam.models import Group, IAMBackend, ManagedPolicy, Role, User, iam_backends
from moto.sts.models import sts_backends

from terralive_sandbox.access import sigv2, sigv4
from terralive_sandbox.access.policy import (
    AccessRequest,
    Decision,
    decide,
    is_permitted,
    within_boundary,
)
from terralive_sandbox.access.resource_policies import ResourcePolicy, find_policy
from terralive_sandbox.control.moto_state import backend_of
from terralive_sandbox.places import Place

_log: Final = logging.getLogger("terralive.sandbox")
# The account of the developer. Other accounts begin to exist when one of their roles is assumed.
ACCOUNT: Final = "123456789012"
# AWS Organizations makes this role in an account that it creates, for the management account.
# https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_accounts_access.html
_ACCESS_ROLE: Final = re.compile(r"arn:aws:iam::(\d{12}):role/(OrganizationAccountAccessRole)")
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
    # The permissions boundary as JSON text; None where there is none
    boundary: str | None = field(repr=False, default=None)


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


def require(caller: Caller, request: AccessRequest, policy: ResourcePolicy | None = None) -> None:
    """Check that policies allow a request.

    Args:
        caller: the caller.
        request: the action and its resource.
        policy: the policy of the resource, where the sandbox evaluates it.

    Raises:
        AccessDeniedError: they do not.
    """
    _log.debug("access: %s %s %s", caller.arn, request.action, " ".join(request.resources))
    own = decide(caller.documents, request)
    by_boundary = _decide_by_boundary(caller, request)
    decision = within_boundary(own, by_boundary)
    by_resource = Decision.NEUTRAL
    same_account = is_own(caller, request, policy)
    if policy is not None:
        by_resource = decide_by_resource(policy, request, caller)
    if is_permitted(decision, by_resource, same_account=same_account):
        return
    resource = f" on resource: {request.resources[0]}" if request.resources else ""
    reason = f"because no identity-based policy allows the {request.action} action"
    if decision is Decision.DENIED:
        reason = "with an explicit deny in an identity-based policy"
    elif by_resource is Decision.DENIED:
        reason = "with an explicit deny in a resource-based policy"
    elif decision is Decision.ALLOWED:
        reason = f"because no resource-based policy allows the {request.action} action"
    elif by_boundary is Decision.NEUTRAL:
        reason = f"because no permissions boundary allows the {request.action} action"
    raise AccessDeniedError(
        f"User: {caller.arn} is not authorized to perform: {request.action}{resource} {reason}"
    )


def decide_by_resource(
    policy: ResourcePolicy, request: AccessRequest, caller: Caller | None
) -> Decision:
    """Return the decision of a resource's policy.

    Within one account, a statement that allows the account leaves the decision to the caller's own
    policies. A statement that denies the account denies all its callers.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html

    Args:
        policy: the policy of the resource.
        request: the action and the resource.
        caller: the caller; None for a caller without a signature.
    """
    documents = [policy.document]
    if caller is None:
        return decide(documents, replace(request, principals=("anonymous",)))
    decision = decide(documents, replace(request, principals=all_principals(caller)))
    if decision is not Decision.ALLOWED or policy.owner != caller.account:
        return decision
    names = principals(caller)
    if _decide_by_boundary(caller, request) is Decision.NEUTRAL:
        # A statement that names the role's ARN is limited by its boundary, and one that names the
        # session's is not.
        names = ("",)
        if ":assumed-role/" in caller.arn:
            names = (caller.arn,)
    return decide(documents, replace(request, principals=names))


def _decide_by_boundary(caller: Caller, request: AccessRequest) -> Decision:
    if caller.boundary is None:
        return Decision.ALLOWED
    return decide([caller.boundary], request)


def is_own(caller: Caller, request: AccessRequest, policy: ResourcePolicy | None = None) -> bool:
    """Return whether a resource belongs to the caller's account, as far as its ARN tells.

    Args:
        caller: the caller.
        request: the request for the resource.
        policy: the policy of the resource, which tells the owner of a bucket.
    """
    if policy is not None:
        return policy.owner == caller.account
    if not request.resources:
        return True
    return Place.of(request.resources[0]).account in {"", "*", caller.account}


def require_trust(caller: Caller, request: AccessRequest) -> None:
    """Check that a caller may assume a role: by the role's trust policy, and by its own policies.

    Within one account, a trust policy that names the caller needs no other permission. One that
    names the account needs the caller's own policies, too, as one of another account always does.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_terms-and-concepts.html

    Args:
        caller: the caller.
        request: `sts:AssumeRole` on the role.

    Raises:
        AccessDeniedError: the caller may not, or there is no such role.
    """
    (role_arn,) = request.resources
    trust = [role.assume_role_policy_document for role in _roles(role_arn) if role.arn == role_arn]
    named = decide(trust, replace(request, principals=all_principals(caller)))
    if named is not Decision.ALLOWED:
        raise AccessDeniedError(
            f"User: {caller.arn} is not authorized to perform: {request.action} on resource: "
            f"{role_arn}"
        )
    require(caller, request, ResourcePolicy(Place.of(role_arn).account, trust[0]))


def principals(caller: Caller) -> tuple[str, ...]:
    """Return the names by which a resource's policy can allow the caller alone.

    The account is not among them: a policy that names the account needs the caller's own policies,
    too.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    if ":assumed-role/" not in caller.arn:
        return (caller.arn,)
    role_name = caller.arn.split("/")[1]
    return (caller.arn, *(role.arn for role in _roles(caller.arn) if role.name == role_name))


def all_principals(caller: Caller) -> tuple[str, ...]:
    """Return all names by which a policy can mean the caller, the account's names among them."""
    return (*principals(caller), f"arn:aws:iam::{caller.account}:root", caller.account)


def role_documents(role_arn: str) -> tuple[str, ...]:
    """Return the policies of a role as JSON text; none for a role that does not exist."""
    name = role_arn.rpartition("/")[2]
    for role in _roles(role_arn):
        if role.name == name:
            return tuple(_documents(role))
    return ()


def role_boundary(role_arn: str) -> str | None:
    """Return the permissions boundary of a role as JSON text; None where there is none."""
    name = role_arn.rpartition("/")[2]
    for role in _roles(role_arn):
        if role.name == name and role.permissions_boundary_arn:
            policies = iam_backends[role.account_id]["aws"].managed_policies
            policy = policies.get(role.permissions_boundary_arn)
            if policy is None:
                return "{}"  # nothing is allowed that is not known
            return _default_document(policy)
    return None


def role_may(role_arn: str, action: str, arn: str) -> bool:
    """Return whether a role may do something with a resource, maybe one of another account."""
    role = Caller(
        "",
        role_arn,
        "",
        role_documents(role_arn),
        Place.of(role_arn).account,
        role_boundary(role_arn),
    )
    try:
        require(role, AccessRequest(action, (arn,)), find_policy(arn))
    except AccessDeniedError:
        return False
    return True


def open_account(role_arn: str) -> None:
    """Let an account begin to exist, if this is the role by which an organization enters one.

    The developer's account may assume the role, and the role may do everything. Other roles have to
    be created, in an account that exists.
    """
    found = _ACCESS_ROLE.fullmatch(role_arn)
    if found is None:
        return
    account, name = found.groups()
    backend = iam_backends[account]["aws"]
    if any(role.name == name for role in backend.roles.values()):
        return
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    }
    backend.create_role(
        role_name=name,
        assume_role_policy_document=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        path="/",
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration=str(_ROLE_SESSION_SECONDS),
    )
    backend.put_role_policy(name, "sandbox-administrator", _EVERYTHING)


def assume(role_arn: str, session_name: str, region: str) -> Keys:
    """Return temporary credentials for a function's role, as Lambda obtains them."""
    # moto keeps the session in the account of the role.
    role = sts_backends[ACCOUNT]["aws"].assume_role(
        region, session_name, role_arn, "", _ROLE_SESSION_SECONDS, ""
    )
    return Keys(role.access_key_id, role.secret_access_key, role.session_token)


def create_developer(name: str = "developer") -> tuple[str, str]:
    """Create the developer's IAM user, who may do everything; return its key and secret."""
    backend = iam_backends[ACCOUNT]["aws"]
    backend.create_user("us-east-1", name, tags=[])
    backend.put_user_policy(name, "sandbox-administrator", _EVERYTHING)
    key = backend.create_access_key(name)
    return key.access_key_id, key.secret_access_key


def _iam_of_accounts() -> list[IAMBackend]:
    """Return IAM of every account."""
    return [account["aws"] for account in list(iam_backends.values())]


def role_named(account: str, name: str) -> str:
    """Return the ARN of an account's role, with its path; "" where there is none."""
    for role in _roles(f"arn:aws:iam::{account}:role/"):
        if role.name == name:
            return str(role.arn)
    return ""


def _roles(arn: str) -> list[Role]:
    """Return a copy of the list of roles in an ARN's account, so that another thread can read it.

    An account that does not exist has none.
    """
    backend = backend_of(iam_backends, Place(Place.of(arn).account, "aws"))
    if backend is None:
        return []
    return list(backend.roles.values())


def _documents(owner: Role | User | Group) -> list[str]:
    """Return the inline and the managed policies of a role, user or group as JSON text."""
    documents = list(owner.policies.values())
    documents += [_default_document(policy) for policy in owner.managed_policies.values()]
    return documents


def _default_document(policy: ManagedPolicy) -> str:
    (document,) = [version.document for version in policy.versions if version.is_default]
    return str(document)


def _find_owner(access_key_id: str) -> _KeyOwner:
    """Find the owner of a key. Raises SignatureError for an unknown or expired key."""
    return _find_user(access_key_id) or _find_role_session(access_key_id)


def _find_user(access_key_id: str) -> _KeyOwner | None:
    for backend in _iam_of_accounts():
        for user in list(backend.users.values()):
            for key in user.access_keys:
                if key.access_key_id != access_key_id or key.status != "Active":
                    continue
                documents = _documents(user)
                for group in backend.get_groups_for_user(user.name):
                    documents += _documents(group)
                account = backend.account_id
                caller = Caller(access_key_id, user.arn, user.id, tuple(documents), account)
                return _KeyOwner(caller, key.secret_access_key, "")
    return None


def _find_role_session(access_key_id: str) -> _KeyOwner:
    """Find the session of an assumed role, the newest first. Raises SignatureError."""
    for account in list(sts_backends.values()):
        for role in reversed(account["aws"].assumed_roles):
            if role.access_key_id != access_key_id:
                continue
            if role.expiration.timestamp() < time.time():
                raise sigv4.SignatureError(
                    "ExpiredToken", "The security token included in the request is expired"
                )
            documents = role_documents(role.role_arn)
            account_id = role.account_id
            boundary = role_boundary(role.role_arn)
            caller = Caller(access_key_id, role.arn, role.user_id, documents, account_id, boundary)
            return _KeyOwner(caller, role.secret_access_key, role.session_token)
    raise sigv4.SignatureError("InvalidClientTokenId", _UNKNOWN_KEY)
