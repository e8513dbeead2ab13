"""Public API: `attach(app)` makes the functions of a CDK for Terraform program live."""

from __future__ import annotations

from terralive_terraform.substitution.aspect import LiveFunctions, attach

__all__ = ["LiveFunctions", "attach"]
