"""Public API: generic constructs for resources of the AWS provider, without prebuilt bindings."""

from __future__ import annotations

from terralive_terraform.constructs.resources import (
    AwsProvider,
    Resource,
    lambda_trust,
    policy,
    statement,
)

__all__ = ["AwsProvider", "Resource", "lambda_trust", "policy", "statement"]
