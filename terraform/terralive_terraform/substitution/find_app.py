"""Discovery of the team's app in a project folder."""

from __future__ import annotations

from pathlib import Path

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import read_object, section, text
from terralive_terraform.discovery.hcl.folders import is_team_file
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.substitution.app import App
from terralive_terraform.substitution.plain_app import PlainApp


def find_app(
    project: Path,
    *,
    terraform_dir: Path | None = None,
    command: str | None = None,
    stacks: tuple[str, ...] = (),
    binary: str = "terraform",
    backend_config: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
) -> App:
    """Find the app of a project folder.

    Args:
        project: the project's folder.
        terraform_dir: where its `*.tf` files are, if not there.
        command: the CDKTF program's command, if `cdktf.json` does not name it.
        stacks: the names, or patterns, of the stacks of a CDKTF app to make live.
        binary: the Terraform that downloads modules.
        backend_config: arguments for `terraform init -backend-config`; paths are absolute.
        arguments: arguments for `terraform plan` and `apply`, each of them one word; paths are
            absolute.

    Raises:
        ConfigurationError: `app-not-found`.
    """
    project = project.resolve()
    described = read_object(project / "cdktf.json")
    command = command or text(described, "app")
    if command and terraform_dir is None:
        return CdktfApp(
            project, command, section(described, "context"), stacks, backend_config, arguments
        )
    directory = project
    if terraform_dir is not None:
        directory = (project / terraform_dir).resolve()
    if directory.is_dir() and any(is_team_file(path) for path in directory.iterdir()):
        return PlainApp(directory, binary, backend_config, arguments)
    raise ConfigurationError(
        "app-not-found",
        f'{directory} holds neither a cdktf.json with an "app" command nor *.tf files.',
        hint="Run terralive in the project's folder, or say in terralive.toml where Terraform is: "
        '[terraform] dir for *.tf files, or app = "python main.py" for CDK for Terraform.',
    )
