"""Public API: the `Function` construct, a Lambda function whose local code terralive knows."""

from __future__ import annotations

from terralive_terraform.constructs.function import Function

__all__ = ["Function"]
