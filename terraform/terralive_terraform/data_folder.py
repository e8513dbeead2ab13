"""Terraform's data folder of a root module, and the workspace that is selected there.

https://developer.hashicorp.com/terraform/cli/config/environment-variables#tf_data_dir
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def data_folder(directory: Path, environment: Mapping[str, str]) -> Path:
    """Return the data folder of a root module.

    Terraform takes an empty `TF_DATA_DIR` for one that is not set.

    Args:
        directory: the root module's folder. A relative `TF_DATA_DIR` starts there.
        environment: the environment of Terraform.
    """
    return directory / (environment.get("TF_DATA_DIR") or ".terraform")


def selected_workspace(directory: Path, environment: Mapping[str, str]) -> str:
    """Return the selected workspace of a root module; "" where none is.

    https://developer.hashicorp.com/terraform/language/state/workspaces

    Args:
        directory: the root module's folder.
        environment: the environment of Terraform.
    """
    named = environment.get("TF_WORKSPACE")
    if named:
        return named
    try:
        return (data_folder(directory, environment) / "environment").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
