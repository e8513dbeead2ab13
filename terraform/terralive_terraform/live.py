"""Public API: `attach(app)`, which a CDK for Terraform program may still call. It does nothing.

A program needs no line of terralive's: its functions become live by an override file beside its
output (see `programs.cdktf_app`).
"""

from __future__ import annotations


def attach(app: object) -> None:
    """Do nothing. Programs that call it work as they did."""
    del app
