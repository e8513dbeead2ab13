"""The resources of a debug stack that functions get the stub from: a bucket, and a repository.

The bucket is for the stub's zip. The zip contains the stage's secret, so it is no resource of
Terraform: the command line uploads it, and no state, plan or log knows more than its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from terralive_terraform.constructs.cdk import cdk
from terralive_terraform.constructs.resources import Attribute, Resource, policy

if TYPE_CHECKING:
    from terralive_terraform.debug_stack.stack import DebugStack

# Each version of the stub has an image for each architecture. Live functions use the newest ones.
_KEPT_IMAGES: Final = 30


def stub_bucket(stack: DebugStack) -> Resource:
    """Add the bucket of the stub's zip: private, encrypted, open to TLS only.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html
    """
    bucket = stack.tagged(
        "stubs",
        "aws_s3_bucket",
        {"bucket": stack.variable("stub_bucket"), "force_destroy": True},
    )
    Resource(
        stack,
        "stubs_encryption",
        "aws_s3_bucket_server_side_encryption_configuration",
        {
            "bucket": bucket.ref("id"),
            "rule": [
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": '${var.kms_key == null ? "AES256" : "aws:kms"}',
                        "kms_master_key_id": stack.variable("kms_key"),
                    },
                    "bucket_key_enabled": "${var.kms_key != null}",
                }
            ],
        },
    )
    access = Resource(
        stack,
        "stubs_access",
        "aws_s3_bucket_public_access_block",
        {
            "bucket": bucket.ref("id"),
            "block_public_acls": True,
            "block_public_policy": True,
            "ignore_public_acls": True,
            "restrict_public_buckets": True,
        },
    )
    arn = bucket.ref("arn")
    tls_only: dict[str, Attribute] = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    Resource(
        stack,
        "stubs_policy",
        "aws_s3_bucket_policy",
        {
            "bucket": bucket.ref("id"),
            "policy": cdk.Fn.jsonencode(policy(tls_only)),
            # S3 refuses two changes of a bucket's protection at one time.
            "depends_on": [access.address],
        },
    )
    return bucket


def image_repository(stack: DebugStack) -> Resource:
    """Add the repository of the stub's image. A tag never changes its image."""
    count: dict[str, Attribute] = {"count": "${var.image_repository == null ? 0 : 1}"}
    images = stack.tagged(
        "images",
        "aws_ecr_repository",
        {
            **count,
            "name": stack.variable("image_repository"),
            "image_tag_mutability": "IMMUTABLE",
            "force_delete": True,
            "dynamic": {
                "encryption_configuration": {
                    "for_each": "${var.kms_key == null ? [] : [var.kms_key]}",
                    "content": {
                        "encryption_type": "KMS",
                        "kms_key": "${encryption_configuration.value}",
                    },
                }
            },
        },
    )
    repository: dict[str, Attribute] = {
        **count,
        "repository": f"${{{images.address}[0].name}}",
    }
    Resource(
        stack,
        "images_policy",
        "aws_ecr_repository_policy",
        {**repository, "policy": stack.variable("image_policy")},
    )
    rule = {
        "rulePriority": 1,
        "description": "older images of the stub",
        "selection": {
            "tagStatus": "any",
            "countType": "imageCountMoreThan",
            "countNumber": _KEPT_IMAGES,
        },
        "action": {"type": "expire"},
    }
    Resource(
        stack,
        "images_lifecycle",
        "aws_ecr_lifecycle_policy",
        {**repository, "policy": cdk.Fn.jsonencode({"rules": [rule]})},
    )
    return images
