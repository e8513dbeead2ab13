"""The note of a backend in a data folder, made where Terraform finds no other state.

`terraform init` with a backend that the data folder does not know moves a `terraform.tfstate` that
is beside the configuration: it asks, or it copies the state and empties the file. So Terraform
notes the backend of the stage in an empty folder first.
https://developer.hashicorp.com/terraform/language/backend#initialize-the-backend
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import read_object, section, text
from terralive_terraform.output.failures import failure
from terralive_terraform.overrides.override_files import backend_override
from terralive_terraform.runs.environment import debug_stack_environment
from terralive_terraform.runs.process import private_directory, run_process

_NOTE: Final = "terraform.tfstate"


@dataclass(frozen=True, slots=True)
class BackendNote:
    """The note that a state file of the stage is the backend.

    Attributes:
        work: the stage's own folder.
        data_dir: the data folder that gets the note.
        state: the state file.
    """

    work: Path
    data_dir: Path
    state: Path

    def write(self, binary: str, environment: Mapping[str, str]) -> None:
        """Let Terraform write the note, unless it is there.

        Raises:
            TerraformError: `terraform init` failed.
        """
        noted = section(section(read_object(self.data_dir / _NOTE), "backend"), "config")
        if text(noted, "path") == str(self.state.resolve()):
            return
        folder = private_directory(self.work / "backend")
        document = json.dumps(backend_override(self.state))
        (folder / "main.tf.json").write_text(document, "utf-8")
        (self.data_dir / _NOTE).unlink(missing_ok=True)
        lines: list[str] = []
        own = debug_stack_environment(environment)
        code = run_process(
            [binary, "init", "-input=false", "-no-color"],
            cwd=folder,
            environment={**own, "TF_DATA_DIR": str(self.data_dir)},
            scratch=self.work,
            on_line=lines.append,
        )
        if code != 0:
            raise failure("init", (), "\n".join(lines))
