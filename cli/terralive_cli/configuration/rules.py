"""Rules of AWS and terralive for names, tags, paths and ARNs.

Each rule returns what is wrong with a value, or "". It names the AWS page that it comes from.
`closest` suggests a known name for a mistyped one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from terralive_workers.variables import names

# Names of AWS resources hold at most 64 characters, and these names are part of them
# (`resource_name` of the debug stack's settings shortens longer ones).
NAME_CHARACTERS: Final = 40
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")
# https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-identifiers.html
_ACCOUNT: Final = re.compile(r"\d{12}")

# https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
_ROLE_PATH: Final = re.compile(r"/|/[\x21-\x7e]+/")
_ROLE_PATH_CHARACTERS: Final = 512
_BOUNDARY: Final = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/.+")
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")
# https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-key-ARN
_KEY: Final = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/.+")

# https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html, then a tag or a digest
# A host has a dot or a port: without one, Docker means an image of Docker Hub.
_BASE_IMAGE: Final = re.compile(
    r"[\w{}-]*[.:][\w.:{}-]*/[\w./-]+(?::[\w.-]+|@sha256:[0-9a-f]{64})", re.ASCII
)
_IMAGE: Final = re.compile(
    r"\d{12}\.dkr\.ecr(-fips)?\.([a-z0-9-]+|\{region\})\.amazonaws\.com(\.cn)?"
    r"/[a-z0-9][a-z0-9._/-]*(:[\w.-]+|@sha256:[0-9a-f]{64})"
)

# Variables that describe a worker. A function cannot have them, either:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_OF_WORKERS: Final = frozenset(
    {"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "_HANDLER", "TERRALIVE"}
)

# AWS allows 50 tags for a resource, and terralive adds six:
# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
_TAGS: Final = 44
_TAG_KEY_CHARACTERS: Final = 128
_TAG_VALUE_CHARACTERS: Final = 256
_TAG_TEXT: Final = re.compile(r"[\w\s.:/=+\-@]*")
_RESERVED_TAG_PREFIXES: Final = ("aws:", "terralive:")

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)

# The quotas of an account for all its APIs in a Region, which no stage can exceed:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MOST_REQUESTS: Final = 10_000
LARGEST_BURST: Final = 5_000

# Backends of Terraform and OpenTofu: https://developer.hashicorp.com/terraform/language/backend
BACKENDS: Final = (
    *("azurerm", "consul", "cos", "gcs", "http", "kubernetes"),
    *("local", "oci", "oss", "pg", "remote", "s3"),
)


def sanitise(text: str) -> str:
    """Return a name of a-z, 0-9 and `-` made from any text; "" if no such character remains."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:NAME_CHARACTERS].strip("-")


def terraform_binary(value: str) -> str:
    """Return what is wrong with the name of a Terraform: terralive reads the output of its runs."""
    if PurePath(value).name.startswith("terragrunt"):
        return (
            "terralive runs Terraform or OpenTofu itself, and not Terragrunt, which prints other "
            "output."
        )
    return ""


def name(value: str) -> str:
    if _NAME.fullmatch(value) and len(value) <= NAME_CHARACTERS:
        return ""
    better = sanitise(value)
    suggestion = f' "{better}" would do.' if better else ""
    return (
        f'"{value}" cannot be part of AWS names: allowed are letters, digits, "-" and "_" (not at '
        f"either end), at most {NAME_CHARACTERS} characters.{suggestion}"
    )


def region(value: str) -> str:
    if _REGION.fullmatch(value):
        return ""
    return f'"{value}" is no AWS region; a region looks like "eu-west-1".'


def role_path(value: str) -> str:
    if _ROLE_PATH.fullmatch(value) and len(value) <= _ROLE_PATH_CHARACTERS:
        return ""
    return (
        f'"{value}" is no IAM path; a path starts and ends with "/" and has no spaces '
        '("/teams/orders/").'
    )


def permissions_boundary(value: str) -> str:
    if _BOUNDARY.fullmatch(value):
        return ""
    return f'"{value}" is no ARN of an IAM policy ("arn:aws:iam::123456789012:policy/boundary").'


def kms_key(value: str) -> str:
    if _KEY.fullmatch(value):
        return ""
    return (
        f'"{value}" is no ARN of a KMS key ("arn:aws:kms:eu-west-1:123456789012:key/…"). An alias '
        "is not allowed."
    )


def image(value: str) -> str:
    if _IMAGE.fullmatch(value):
        return ""
    return (
        f'"{value}" is no image in ECR '
        "(123456789012.dkr.ecr.eu-west-1.amazonaws.com/terralive-stub:v2)."
    )


def base_image(value: str) -> str:
    if _BASE_IMAGE.fullmatch(value):
        return ""
    return (
        f'"{value}" is no image with its registry '
        "(123456789012.dkr.ecr.eu-west-1.amazonaws.com/ecr-public/lambda/python:3.13)."
    )


def accounts(values: Sequence[str]) -> str:
    for value in values:
        if not _ACCOUNT.fullmatch(value):
            return f'"{value}" is no AWS account id; an id has twelve digits ("123456789012").'
    return ""


def role_arn(value: str) -> str:
    if _ROLE.fullmatch(value):
        return ""
    return f'"{value}" is no ARN of an IAM role ("arn:aws:iam::123456789012:role/deploy").'


def retention(value: int) -> str:
    if value in RETENTION_DAYS:
        return ""
    allowed = ", ".join(map(str, RETENTION_DAYS))
    return f"CloudWatch Logs cannot keep {value} days; allowed are {allowed}."


def backend(value: str) -> str:
    if value in BACKENDS:
        return ""
    suggestion = closest(value, BACKENDS)
    return f'"{value}" is no Terraform backend.{suggestion} Known: {", ".join(BACKENDS)}.'


def tags(values: Mapping[str, str]) -> str:
    if len(values) > _TAGS:
        return f"{len(values)} tags are too many; AWS allows 50, and terralive needs six of them."
    for key, value in values.items():
        wrong = _wrong_tag(key, value)
        if wrong:
            return wrong
    return ""


def variables(values: Mapping[str, str]) -> str:
    for name in values:
        if not names.is_name(name):
            return f'"{name}" is no name of an environment variable.'
        if name in _OF_WORKERS:
            return f"{name} describes the worker, and terralive sets it itself."
    return ""


def import_path(value: str) -> str:
    module, _, name = value.partition(":")
    if name.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return ""
    return f'"{value}" is no import path; one looks like "infra.debug:AcmeDebugStack".'


def source(value: str) -> str:
    """The source is a tag of the debug stack."""
    if len(value) <= _TAG_VALUE_CHARACTERS and _TAG_TEXT.fullmatch(value):
        return ""
    return (
        f'"{value}" cannot be the value of a tag: allowed are letters, digits, spaces and '
        f"_.:/=+-@, at most {_TAG_VALUE_CHARACTERS} characters."
    )


def _wrong_tag(key: str, value: str) -> str:
    if not 0 < len(key) <= _TAG_KEY_CHARACTERS or len(value) > _TAG_VALUE_CHARACTERS:
        return (
            f'tag "{key}" is too long or empty; a key has 1 to {_TAG_KEY_CHARACTERS} characters, '
            f"and a value at most {_TAG_VALUE_CHARACTERS}."
        )
    if key.lower().startswith(_RESERVED_TAG_PREFIXES):
        return f'tag "{key}" starts with a reserved prefix ({", ".join(_RESERVED_TAG_PREFIXES)}).'
    if not _TAG_TEXT.fullmatch(key + value):
        return (
            f'tag "{key}" has a character that AWS does not allow; allowed are letters, digits, '
            "spaces and _.:/=+-@."
        )
    return ""


def closest(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for a mistyped name, ` Did you mean "stage"?`, or ""."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if not found:
        return ""
    return f' Did you mean "{found[0]}"?'
