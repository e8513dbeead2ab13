"""Public API: `attach(app)`, by which a CDK for Terraform program defines its functions' stubs."""

from __future__ import annotations

from terralive_terraform.substitution.aspect import LiveFunctions, attach

__all__ = ["LiveFunctions", "attach"]
