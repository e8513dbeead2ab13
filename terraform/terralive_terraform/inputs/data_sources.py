"""Data sources of a plan: what they read, and whether they may have other values next time. Pure.

A data source that looks at the world may have another value at any time, so a plan that reads one
has to be made again. Not so those that only compute, that name the caller (who is compared
elsewhere), or that hold a constant of AWS:
https://developer.hashicorp.com/terraform/language/data-sources
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section, text
from terralive_terraform.discovery.archives import ARCHIVE
from terralive_terraform.evaluation.document import MANAGED, Evaluated, Evaluation
from terralive_terraform.inputs.calls import Kind, Read, Undecided

# Computed from their arguments alone, from the caller and the provider's region, or constants.
_PURE: Final = frozenset(
    (
        "aws_arn",
        "aws_billing_service_account",
        "aws_caller_identity",
        "aws_canonical_user_id",
        "aws_cloudfront_log_delivery_canonical_user_id",
        "aws_cloudtrail_service_account",
        "aws_default_tags",
        "aws_elb_hosted_zone_id",
        "aws_elb_service_account",
        "aws_iam_policy_document",
        "aws_partition",
        "aws_redshift_service_account",
        "aws_region",
        "aws_service",
        "aws_service_principal",
        "cloudinit_config",
        "null_data_source",
        "template_cloudinit_config",
        "template_file",
        "tls_public_key",
    )
)
_FILES: Final = ("local_file", "local_sensitive_file")
# The program of terraform-aws-modules/lambda only hashes the sources of a package:
# https://registry.terraform.io/modules/terraform-aws-modules/lambda/aws
_PACKAGE_PROGRAM: Final = "package.py"


def reads_of(evaluation: Evaluation, read: Collection[str]) -> Iterator[Read | Undecided]:
    """Yield the files and folders that data sources and archives read, and what is undecided.

    Args:
        evaluation: the app without stubs. It has all data sources.
        read: the addresses of those that the plan with stubs has read. It is limited to the live
            functions and what they depend on:
            https://developer.hashicorp.com/terraform/cli/commands/plan#resource-targeting
    """
    for item in (*evaluation.data_sources(), *evaluation.instances(ARCHIVE, MANAGED)):
        if item.type == ARCHIVE:
            yield from _of_archive(item)
        elif item.type in _FILES:
            yield Read(text(item.values, "filename"), Kind.CONTENT, is_file=True)
        elif item.address in read and item.type not in _PURE and not _hashes_a_package(item):
            address = item.address.partition("[")[0]
            yield Undecided(f"{address} may have another value now")


def archive_files(evaluation: Evaluation) -> Iterator[str]:
    """Yield the paths of the archives that Terraform makes in a plan or an apply."""
    for item in (*evaluation.data_sources(), *evaluation.instances(ARCHIVE, MANAGED)):
        if item.type == ARCHIVE:
            yield text(item.values, "output_path")


def _of_archive(item: Evaluated) -> Iterator[Read | Undecided]:
    if {"source_dir", "source_file"} & item.unknown:
        yield Undecided(f"only Terraform knows what {item.address} is made of")
    folder = text(item.values, "source_dir")
    file = text(item.values, "source_file")
    if folder:
        yield Read(folder, Kind.HASH, is_file=False)
    if file:
        yield Read(file, Kind.HASH, is_file=True)


def _hashes_a_package(item: Evaluated) -> bool:
    if item.type != "external" or not section(item.values, "query"):
        return False
    program: list[Json] = list(items(item.values, "program"))
    words = [word for word in program if isinstance(word, str)]
    return any(word.endswith(_PACKAGE_PROGRAM) for word in words)
