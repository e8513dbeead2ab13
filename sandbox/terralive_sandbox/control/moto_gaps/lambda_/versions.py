"""Published versions of functions, and the resource policies of versions and aliases.

Moto publishes the same code twice, gives the number of a deleted version to the next one, deletes
versions that an alias names, and does not tell the policies of a function's qualifiers apart.
"""

from __future__ import annotations

import copy
import json
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from moto.awslambda.exceptions import GenericResourcNotFound, InvalidParameterValueException
from moto.awslambda.models import LambdaFunction, LambdaStorage
from moto.awslambda.policy import Policy
from moto.awslambda.responses import LambdaResponse
from moto.core.exceptions import JsonRESTError

from terralive_sandbox.control.moto_gaps.errors import api_error
from terralive_sandbox.control.moto_gaps.replacements import Replacements

_Answer: TypeAlias = tuple[int, dict[str, int], str]

_NO_CONTENT: Final = int(HTTPStatus.NO_CONTENT)
# What differs between a version and the function that it was published from.
_OWN_NAMES: Final = frozenset({"FunctionArn", "Version", "LastModified", "Description"})
# The attribute of a version that has the configuration of `$LATEST` when it was published.
_SNAPSHOT: Final = "terralive_snapshot"
# The attribute of a storage that has the last number of each function's versions, by its name.
_NUMBERS: Final = "terralive_version_numbers"


def declare(replacements: Replacements) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
    """
    _replace_publishing(replacements)
    _replace_deletion(replacements)
    _replace_policies(replacements)


def _replace_publishing(replacements: Replacements) -> None:
    """Publish a version where something has changed since the last one. Numbers are never reused.

    https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
    """

    def publish(self: LambdaStorage, name_or_arn: str, description: str = "") -> LambdaFunction:
        latest = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
        versions = self._functions[latest.function_name]["versions"]
        snapshot = _snapshot(latest)
        if versions and vars(versions[-1]).get(_SNAPSHOT) == snapshot:
            found: LambdaFunction = versions[-1]
            return found
        numbers: dict[str, int] = vars(self).setdefault(_NUMBERS, {})
        number = numbers.get(latest.function_name, 0) + 1
        numbers[latest.function_name] = number
        # The policy of all versions is one object; its statements name what they are about.
        version = copy.copy(latest)
        version.set_version(number)
        vars(version)[_SNAPSHOT] = snapshot
        version.description = description or latest.description
        versions.append(version)
        self._arns[version.function_arn] = version
        return version

    def answer(self: LambdaResponse) -> _Answer:
        name = unquote(self.path.split("/")[-2])
        wanted = self._get_param("CodeSha256")
        code = self.backend.get_function(name).code_sha_256
        if wanted and wanted != code:
            message = (
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({code}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
            raise InvalidParameterValueException(message)
        description = self._get_param("Description") or ""
        # moto's types allow None, which the method above never returns.
        version: Any = self.backend.publish_version(name, description)
        return 201, {"status": 201}, json.dumps(version.get_configuration())

    replacements.replace(LambdaStorage, "publish_version", publish)
    replacements.replace(LambdaResponse, "publish_version", answer)


def _snapshot(function: LambdaFunction) -> str:
    """Return a function's configuration, without what is a version's own, for comparison."""
    configuration = function.get_configuration()
    kept = {name: value for name, value in configuration.items() if name not in _OWN_NAMES}
    kept["description"] = function.description
    return json.dumps(kept, sort_keys=True, default=str)


def _replace_deletion(replacements: Replacements) -> None:
    """Keep a version that an alias names, and list the aliases of one version.

    https://docs.aws.amazon.com/lambda/latest/api/API_DeleteFunction.html
    https://docs.aws.amazon.com/lambda/latest/api/API_ListAliases.html
    """
    moto_delete = LambdaStorage.del_function

    def delete(self: LambdaStorage, name_or_arn: str, qualifier: str | None = None) -> None:
        function = self.get_function_by_name_or_arn_with_qualifier(name_or_arn, qualifier)
        version = str(function.version)
        if version == "$LATEST":
            moto_delete(self, name_or_arn, qualifier)
            return
        for alias in self.list_aliases(function.function_name):
            if alias.function_version == version:
                message = f"The function version is referenced by the alias {alias.name}."
                raise _conflict(message)
        self._functions[function.function_name]["versions"].remove(function)
        del self._arns[function.function_arn]
        statements = function.policy.statements
        statements[:] = [item for item in statements if item["Resource"] != function.function_arn]

    def list_aliases(self: LambdaResponse) -> _Answer:
        name = unquote(self.path.split("/")[-2])
        version = self._get_param("FunctionVersion")
        found: list[dict[str, Any]] = []
        for alias in self.backend.list_aliases(name):
            if version in {None, alias.function_version}:
                found.append(alias.to_json())
        return 200, {}, json.dumps({"Aliases": found})

    replacements.replace(LambdaStorage, "del_function", delete)
    replacements.replace(LambdaResponse, "list_aliases", list_aliases)


def _replace_policies(replacements: Replacements) -> None:
    """Tell the policies of a function, of its versions and of its aliases apart.

    https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
    https://docs.aws.amazon.com/lambda/latest/api/API_GetPolicy.html
    """
    moto_add = Policy.add_statement
    moto_principal = Policy.principal_formatter

    def principal(self: Policy, obj: Any) -> Any:
        if isinstance(obj, str) and obj.startswith("arn:"):
            return {"AWS": obj}
        return moto_principal(self, obj)

    def add(self: Policy, raw: str, qualifier: str | None = None) -> tuple[Any, str]:
        wanted = str(json.loads(raw).get("StatementId"))
        resource = _resource(self, qualifier)
        if any(_is(item, wanted, resource) for item in self.statements):
            message = (
                f"The statement id ({wanted}) provided already exists. Please provide a new "
                "statement id, or remove the existing statement."
            )
            raise _conflict(message)
        return moto_add(self, raw, qualifier)

    def get(self: LambdaResponse) -> str:
        name = unquote(self.path.split("/")[-2])
        qualifier = self._get_param("Qualifier")
        policy = self.backend.get_function(name, qualifier).policy
        resource = _resource(policy, qualifier)
        statements = [item for item in policy.statements if item.get("Resource") == resource]
        if not statements:
            raise GenericResourcNotFound
        document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        return json.dumps({"Policy": json.dumps(document), "RevisionId": policy.revision})

    def remove(self: LambdaResponse) -> _Answer:
        *_, name, _, sid = self.path.split("/")
        qualifier = self._get_param("Qualifier")
        policy = self.backend.get_function(unquote(name), qualifier).policy
        resource = _resource(policy, qualifier)
        wanted = unquote(sid)
        kept = [item for item in policy.statements if not _is(item, wanted, resource)]
        if len(kept) == len(policy.statements):
            raise GenericResourcNotFound
        policy.statements[:] = kept
        return _NO_CONTENT, {"status": _NO_CONTENT}, ""

    replacements.replace(Policy, "principal_formatter", principal)
    replacements.replace(Policy, "add_statement", add)
    replacements.replace(LambdaResponse, "get_policy", get)
    replacements.replace(LambdaResponse, "remove_permission", remove)


def _resource(policy: Policy, qualifier: str | None) -> str:
    """Return the ARN that statements about a function's qualifier name."""
    arn = policy.parent.function_arn if isinstance(policy.parent, LambdaFunction) else ""
    if qualifier is None:
        return arn
    return f"{arn}:{qualifier}"


def _is(statement: dict[str, Any], sid: str, resource: str) -> bool:
    return bool(statement.get("Sid") == sid and statement.get("Resource") == resource)


def _conflict(message: str) -> JsonRESTError:
    return api_error("ResourceConflictException", message, HTTPStatus.CONFLICT)
