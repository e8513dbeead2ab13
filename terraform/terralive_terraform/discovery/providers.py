"""The AWS providers that a root module declares. It reads files only.

A setting is known where it is a literal, or a variable whose value stands in a file or in the
environment: https://developer.hashicorp.com/terraform/language/values/variables
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, section, text
from terralive_terraform.discovery.declared import literal
from terralive_terraform.discovery.hcl.folders import (
    configuration_files,
    first_block,
    nested_blocks,
    read_file,
)
from terralive_terraform.discovery.variables import GivenVariables

# Arguments and blocks by which a provider may act as another identity than the environment's.
_CREDENTIALS: Final = frozenset(
    {
        "access_key",
        "assume_role_with_web_identity",
        "dynamic",
        "secret_key",
        "shared_config_files",
        "shared_credentials_files",
        "token",
    }
)
_VARIABLE: Final = re.compile(r"^\$\{var\.([\w-]+)\}$")


@dataclass(frozen=True, slots=True)
class AwsProvider:
    """One `provider "aws"` block. A setting is "" where it is not set.

    https://registry.terraform.io/providers/hashicorp/aws/latest/docs

    Attributes:
        file: the file that declares it.
        alias: its alias; "" for the default provider.
        region: the region; None where only Terraform can compute it.
        profile: the AWS profile; None where only Terraform can compute it.
        role_arn: the ARN of the role that it assumes; None where only Terraform can compute it.
        external_id: the external id with which it assumes the role.
        has_credentials: whether it may have credentials by other arguments.
    """

    file: Path
    alias: str = ""
    region: str | None = ""
    profile: str | None = ""
    role_arn: str | None = ""
    external_id: str = ""
    has_credentials: bool = False


def provider_blocks(directory: Path, *, opentofu: bool = False) -> Iterator[Mapping[str, Json]]:
    """Yield the arguments of each AWS provider of a root module, as they stand in its files."""
    for document in _documents(directory, opentofu=opentofu).values():
        yield from _aws_blocks(document)


def find_aws_providers(
    directory: Path,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    opentofu: bool = False,
) -> tuple[AwsProvider, ...]:
    """Return the AWS providers that a root module declares.

    Args:
        directory: the root module's folder.
        arguments: arguments for `terraform plan`, each of them one word.
        environ: the environment of Terraform.
        opentofu: whether OpenTofu reads the configuration, and not Terraform.
    """
    documents = _documents(directory, opentofu=opentofu)
    # By alias. A block in an override file changes single settings of the one that it overrides:
    # https://developer.hashicorp.com/terraform/language/files/override
    declared: dict[str, tuple[Path, Mapping[str, Json]]] = {}
    for path, document in documents.items():
        for block in _aws_blocks(document):
            alias = text(block, "alias")
            _, overridden = declared.get(alias, (path, {}))
            declared[alias] = (path, {**overridden, **block})
    if not declared:
        return ()
    variables = _variables(directory, documents, GivenVariables(arguments, environ))
    return tuple(_provider(path, block, variables) for path, block in declared.values())


def default_provider(providers: Sequence[AwsProvider]) -> AwsProvider | None:
    """Return the provider without an alias; None if there is none."""
    for provider in providers:
        if not provider.alias:
            return provider
    return None


def provider_by_key(providers: Sequence[AwsProvider], key: str) -> AwsProvider | None:
    """Return the provider that a plan names by its key; None where it is not known.

    https://developer.hashicorp.com/terraform/internals/json-format#configuration-representation

    Args:
        providers: the AWS providers that the root module declares.
        key: `aws`, or `aws.us` for an alias; "" where the plan tells no key. Other keys are those
            of providers that a module declares.
    """
    declared = list(providers)
    # Terraform has a default provider without a block for it.
    if default_provider(declared) is None:
        declared.append(AwsProvider(Path()))
    if not key and len(declared) == 1:
        return declared[0]
    for provider in declared:
        own_key = "aws"
        if provider.alias:
            own_key = f"aws.{provider.alias}"
        if own_key == key:
            return provider
    return None


def _provider(path: Path, block: Mapping[str, Json], variables: Mapping[str, str]) -> AwsProvider:
    role = first_block(block.get("assume_role"))
    return AwsProvider(
        file=path,
        alias=text(block, "alias"),
        region=_value(block, "region", variables),
        profile=_value(block, "profile", variables),
        role_arn=_value(role, "role_arn", variables),
        external_id=_value(role, "external_id", variables) or "",
        has_credentials=not _CREDENTIALS.isdisjoint(block),
    )


def _value(block: Mapping[str, Json], name: str, variables: Mapping[str, str]) -> str | None:
    """Return a setting; "" where it is not set, None where it is not known."""
    given = block.get(name)
    if given is None:
        return ""
    if not isinstance(given, str):
        return None
    reference = _VARIABLE.match(given)
    if reference is not None:
        return variables.get(reference[1])
    return literal(given)


def _documents(directory: Path, *, opentofu: bool) -> dict[Path, Mapping[str, Json]]:
    """Return the providers and variables in the root module's files; override files come last."""
    files = configuration_files(directory, opentofu=opentofu)
    return {path: read_file(path, _is_wanted).content for path in files}


def _is_wanted(kind: str, labels: tuple[str, ...]) -> bool:
    return kind == "variable" or (kind == "provider" and labels == ("aws",))


def _aws_blocks(document: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    for by_name in nested_blocks(document.get("provider")):
        yield from nested_blocks(by_name.get("aws"))


def _variables(
    directory: Path, documents: Mapping[Path, Mapping[str, Json]], given: GivenVariables
) -> dict[str, str]:
    """Return the values of variables that are texts."""
    declared: dict[str, Json] = {}
    for document in documents.values():
        for by_name in nested_blocks(document.get("variable")):
            for name, value in by_name.items():
                block = first_block(value)
                declared[name] = {**section(declared, name), **block}
    values = given.values(directory, declared)
    return {name: value for name, value in values.items() if isinstance(value, str)}
