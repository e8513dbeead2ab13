"""The note of a backend in a data folder, made where Terraform finds no other state.

`terraform init` with a backend that the data folder does not know moves a `terraform.tfstate` that
is beside the configuration: it asks, or it copies the state and empties the file. So Terraform
notes the backend of the stage in an empty folder first.
https://developer.hashicorp.com/terraform/language/backend#initialize-the-backend
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import read_object, section, text
from terralive_terraform.overrides.override_files import backend_override
from terralive_terraform.runs.environment import debug_stack_environment
from terralive_terraform.runs.process import private_directory, run_process
from terralive_terraform.runs.progress import failure

_NOTE: Final = "terraform.tfstate"


def note_backend(
    binary: str, environment: Mapping[str, str], work: Path, data_dir: Path, state: Path
) -> None:
    """Let Terraform note in a data folder that a state file of the stage is the backend.

    Args:
        binary: Terraform.
        environment: the environment of Terraform.
        work: the stage's own folder.
        data_dir: the data folder.
        state: the state file.

    Raises:
        TerraformError: `terraform init` failed.
    """
    noted = section(section(read_object(data_dir / _NOTE), "backend"), "config")
    if text(noted, "path") == str(state.resolve()):
        return
    folder = private_directory(work / "backend")
    (folder / "main.tf.json").write_text(json.dumps(backend_override(state)), "utf-8")
    (data_dir / _NOTE).unlink(missing_ok=True)
    lines: list[str] = []
    code = run_process(
        [binary, "init", "-input=false", "-no-color"],
        cwd=folder,
        environment={**debug_stack_environment(environment), "TF_DATA_DIR": str(data_dir)},
        scratch=work,
        on_line=lines.append,
    )
    if code != 0:
        raise failure("init", (), "\n".join(lines))
