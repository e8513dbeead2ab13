"""Terraform in the tests knows the kinds of resources as the real plugin has them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from terralive_terraform.runs.environment import terraform_environment
from terralive_testing.machine.provider_mirror import VARIABLE

CONFIGURATION = (
    'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
)


def schema(mirror: Path, folder: Path) -> dict[str, Any]:
    """Return the schema that Terraform knows with a mirror."""
    folder.mkdir()
    (folder / "main.tf").write_text(CONFIGURATION, "utf-8")
    environment = terraform_environment({**os.environ, VARIABLE: str(mirror)}, folder / "work")
    binary = environment.get("TERRALIVE_TERRAFORM_BINARY") or "terraform"
    said = ""
    for words in (["init"], ["providers", "schema", "-json"]):
        said = subprocess.run(
            [binary, *words],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    (found,) = json.loads(said)["provider_schemas"].values()
    return dict(found)


def test_every_kind_that_tests_name_is_as_the_real_plugin_has_it(tmp_path: Path) -> None:
    light = Path(os.environ.get(VARIABLE, ""))
    plugins = list(light.glob("registry.terraform.io/hashicorp/aws/*/*/terraform-provider-aws_*"))
    if not (light.name == "mirror" and plugins):
        pytest.skip("Terraform's registry serves here, not a light mirror")
    real = plugins[0].read_text("utf-8").splitlines()[-1]
    assert shlex.split(real)[0] == "exec"
    always_real = tmp_path / "mirror" / plugins[0].relative_to(light)
    always_real.parent.mkdir(parents=True)
    always_real.write_text(f"#!/bin/sh\n{real}\n", "utf-8")
    always_real.chmod(0o755)

    told = schema(light, tmp_path / "light")
    complete = schema(tmp_path / "mirror", tmp_path / "complete")

    for table in ("resource_schemas", "data_source_schemas"):
        assert len(told[table]) < len(complete[table])
        complete[table] = {kind: complete[table][kind] for kind in told[table]}
    assert "aws_lambda_function" in told["resource_schemas"]
    assert told == complete
