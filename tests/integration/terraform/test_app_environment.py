"""Settings of users for their own Terraform reach the app, and not the debug stack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from terralive_stub.errors import TerraformError, TerraliveError
from terralive_terraform.data_folder import data_folder, selected_workspace
from terralive_terraform.runs.arguments import users_arguments
from terralive_terraform.runs.environment import debug_stack_environment, terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.runs.version import require_terraform
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.plain_app import PlainApp
from terralive_testing.deployers.terraform_account import actions, plan

# As in the debug stack: a local backend, and variables that a file sets.
OWN = """
terraform {
  backend "local" {
    path = "own.tfstate"
  }
}
variable "region" { default = "eu-west-1" }
resource "terraform_data" "broker" { input = var.region }
"""
PARTIAL = """
terraform {
  backend "local" {}
}
resource "terraform_data" "api" { input = terraform.workspace }
"""
FOR_THE_APP = {
    "arguments of all commands": {"TF_CLI_ARGS": "-no-such-option"},
    "arguments of the plan": {"TF_CLI_ARGS_plan": "-var-file=dev.tfvars"},
    "arguments of the init": {"TF_CLI_ARGS_init": "-backend-config=bucket=orders"},
    "arguments of the apply": {"TF_CLI_ARGS_apply": "-var-file=dev.tfvars"},
    "the workspace": {"TF_WORKSPACE": "blue"},
    "the data folder": {"TF_DATA_DIR": "elsewhere"},
    "a variable of the same name": {"TF_VAR_region": "us-east-1"},
    "a provider under a debugger": {"TF_REATTACH_PROVIDERS": '{"x/y": {}}'},
}


def environment(work: Path, **variables: str) -> dict[str, str]:
    return {**terraform_environment(os.environ, work), **variables}


def deploy(terraform: Terraform, folder: Path) -> list[tuple[str, str]]:
    made = plan(terraform, folder)
    done = list(actions(made))
    terraform.apply(made.file)
    return done


def outcome(folder: Path, environment: dict[str, str]) -> str:
    """Deploy and destroy a configuration like the debug stack's. Return its resource's input."""
    (folder / "main.tf").write_text(OWN)
    terraform = Terraform(folder, environment=environment, on_progress=lambda _: None)
    try:
        deploy(terraform, folder)
        state = json.loads((folder / "own.tfstate").read_text())
        assert not (folder / "elsewhere").exists()
        terraform.apply(plan(terraform, folder, destroy=True).file)
    except (OSError, AssertionError, TerraliveError) as error:
        return type(error).__name__
    return str(state["resources"][0]["instances"][0]["attributes"]["input"]["value"])


@pytest.mark.parametrize("variables", FOR_THE_APP.values(), ids=FOR_THE_APP)
def test_the_debug_stack_does_not_see_what_is_set_for_the_app(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
    users = environment(tmp_path / "work", **variables)

    assert outcome(tmp_path / "own", debug_stack_environment(users)) == "eu-west-1"
    # Without that care, the same variable does harm (an apply of a saved plan takes none anyway).
    if "TF_CLI_ARGS_apply" not in variables:
        assert outcome(tmp_path / "other", users) != "eu-west-1"


@pytest.mark.parametrize(("named", "folder"), [("", ".terraform"), (".tf", ".tf"), (" ", " ")])
def test_the_data_folder_is_the_one_that_terraform_itself_uses(
    tmp_path: Path, named: str, folder: str
) -> None:
    """Terraform takes an empty `TF_DATA_DIR` for one that is not set."""
    (tmp_path / "main.tf").write_text(PARTIAL)
    users = environment(tmp_path / "work", TF_DATA_DIR=named, TF_WORKSPACE="")
    for command in (["init", "-input=false"], ["workspace", "new", "blue"]):
        subprocess.run(["terraform", *command], cwd=tmp_path, env=users, check=True)

    assert data_folder(tmp_path, users) == tmp_path / folder
    assert (tmp_path / folder / "terraform.tfstate").is_file()
    assert selected_workspace(tmp_path, users) == "blue"
    app = PlainApp(tmp_path, "terraform")
    with app.opened(tmp_path / "work", users, tmp_path / "own.tfstate") as opened:
        assert opened.workspace == "blue"


def test_what_a_user_sets_for_all_commands_does_not_hide_terraforms_version(tmp_path: Path) -> None:
    users = environment(tmp_path, TF_CLI_ARGS="-lock=false")
    assert require_terraform("terraform", users)


def test_the_app_keeps_what_is_set_for_it(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.tf").write_text(
        'variable "size" {}\nvariable "team" {}\n'
        'resource "terraform_data" "api" {\n'
        '  input = "${var.size} ${var.team} ${terraform.workspace}"\n}\n'
    )
    (project / "dev.tfvars").write_text('size = "small"\n')
    users = environment(
        tmp_path / "work",
        TF_CLI_ARGS_plan="-var-file=dev.tfvars",
        # For the user's own `terraform apply`, which plans: a saved plan takes no variables.
        TF_CLI_ARGS_apply="-var-file=dev.tfvars -parallelism=2",
        TF_VAR_team="orders",
        TF_WORKSPACE="blue",
        TF_DATA_DIR=".tf",
        TF_LOG="info",
        TF_INPUT="1",
    )
    with find_app(project).prepared(None, tmp_path / "work", users) as prepared:
        terraform = prepared.terraform("terraform", users, lambda _: None)
        assert deploy(terraform, tmp_path) == [("create", "terraform_data.api")]
        assert not plan(terraform, tmp_path).has_changes
    state = json.loads((project / "terraform.tfstate.d" / "blue" / "terraform.tfstate").read_text())
    value = state["resources"][0]["instances"][0]["attributes"]["input"]["value"]
    assert value == "small orders blue"
    assert (project / ".tf").is_dir()
    assert not (project / ".terraform").exists()


def test_arguments_that_are_typed_are_those_of_every_plan_and_apply(tmp_path: Path) -> None:
    """`terralive start -- -var …`: as Terraform does, they win over the environment's."""
    log, wrapper = tmp_path / "commands.txt", tmp_path / "logged"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec terraform "$@"\n')
    wrapper.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.tf").write_text(
        'variable "size" {}\nvariable "team" {}\n'
        'resource "terraform_data" "api" {\n  input = "${var.size} ${var.team}"\n}\n'
    )
    (tmp_path / "dev.tfvars").write_text('size = "file"\nteam = "orders"\n')
    typed = ["-var-file", "dev.tfvars", "-var", "size=typed", "-parallelism=3", "-lock-timeout=5s"]
    users = environment(tmp_path / "work", TF_CLI_ARGS_plan="-var=size=environment")
    app = find_app(project, arguments=users_arguments(typed, tmp_path))
    with app.prepared(None, tmp_path / "work", users) as prepared:
        terraform = prepared.terraform(str(wrapper), users, lambda _: None)
        values = terraform.evaluate(tmp_path / "evaluation.tfplan").evaluation.variables()
        assert (values["size"], values["team"]) == ("typed", "orders")
        assert deploy(terraform, tmp_path) == [("create", "terraform_data.api")]
        assert not plan(terraform, tmp_path).has_changes
        assert actions(plan(terraform, tmp_path, destroy=True)) == [
            ("delete", "terraform_data.api")
        ]
    by_command: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        command = line.split()[0]
        by_command.setdefault(command, []).append(line)
    assert len(by_command["plan"]) >= 4
    for line in by_command["plan"] + by_command["apply"]:
        # The last value counts.
        assert line.index("-lock-timeout=5s") > line.index("-lock-timeout=60s")
        assert "-parallelism=3" in line
    assert all("-var=size=typed" in line for line in by_command["plan"])
    assert not any("-var" in line for line in by_command["apply"] + by_command["init"])


@pytest.mark.parametrize("form", ["key=value", "a file"])
def test_a_partly_configured_backend_is_found_from_every_fresh_clone(
    tmp_path: Path, form: str
) -> None:
    state = tmp_path / "orders.tfstate"
    argument = f"path={state}"
    if form == "a file":
        file = tmp_path / "dev.tfbackend"
        file.write_text(f'path = "{state}"\n')
        argument = str(file)
    clones = [tmp_path / "ana", tmp_path / "cleanup-job"]
    for clone in clones:
        clone.mkdir()
        (clone / "main.tf").write_text(PARTIAL)
    users = environment(tmp_path / "work")

    done = []
    for clone in clones:
        app = find_app(clone, backend_config=(argument,))
        with app.prepared(None, tmp_path / "work" / clone.name, users) as prepared:
            terraform = prepared.terraform("terraform", users, lambda _: None)
            done.append(deploy(terraform, tmp_path))
    assert done == [[("create", "terraform_data.api")], []]
    assert state.is_file()
    # A user's own `.terraform` may know another state, and stays as it is.
    assert not any((clone / ".terraform").exists() for clone in clones)


def test_a_fresh_clone_without_the_rest_of_the_backend_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('terraform {\n  backend "s3" {}\n}\n')
    users = environment(tmp_path / "work", TF_LOG="info")
    with find_app(tmp_path).prepared(None, tmp_path / "work", users) as prepared:
        terraform = prepared.terraform("terraform", users, lambda _: None)
        with pytest.raises(TerraformError, match='"bucket" is required') as caught:
            terraform.ensure_init()
    assert caught.value.reference == "backend-incomplete"
    assert "backend_config" in caught.value.hint


def test_a_folder_of_another_backend_is_not_reconfigured(tmp_path: Path) -> None:
    users = environment(tmp_path / "work")
    for name in ("one", "two"):
        backend = f'terraform {{\n  backend "local" {{\n    path = "{name}"\n  }}\n}}\n'
        (tmp_path / "main.tf").write_text(backend)
        terraform = Terraform(tmp_path, environment=users, on_progress=lambda _: None)
        if name == "one":
            terraform.ensure_init()
            continue
        with pytest.raises(TerraformError) as caught:
            terraform.ensure_init()
        assert caught.value.reference == "backend-changed"


def test_two_stages_of_one_checkout_have_their_own_backends(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(PARTIAL)
    users = environment(tmp_path / "cache")
    for _ in range(2):
        for stage in ("dev-ana", "dev-ben"):
            app = find_app(tmp_path, backend_config=(f"path={tmp_path}/{stage}.tfstate",))
            with app.prepared(None, tmp_path / "work" / stage, users) as prepared:
                terraform = prepared.terraform("terraform", users, lambda _: None)
                deploy(terraform, tmp_path)
                assert not terraform.state.is_empty()
    assert (tmp_path / "dev-ana.tfstate").is_file()
    assert (tmp_path / "dev-ben.tfstate").is_file()


def test_another_backend_config_is_another_init(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(PARTIAL)
    users = environment(tmp_path / "cache")
    for name in ("one", "two"):
        app = find_app(tmp_path, backend_config=(f"path={tmp_path}/{name}.tfstate",))
        with app.prepared(None, tmp_path / "work", users) as prepared:
            deploy(prepared.terraform("terraform", users, lambda _: None), tmp_path)
        assert (tmp_path / f"{name}.tfstate").is_file()


def test_terraform_that_hides_its_changes_is_not_applied(tmp_path: Path) -> None:
    """As HCP Terraform does: exit code 2, a plan file, and no line that says what changes."""
    quiet = tmp_path / "quiet"
    quiet.write_text(
        "#!/bin/sh\n"
        'if [ "$1" != plan ]; then exec terraform "$@"; fi\n'
        'terraform "$@" >plan.out; code=$?\n'
        """grep -v '"type":"\\(planned_change\\|outputs\\)"' plan.out; exit $code\n"""
    )
    quiet.chmod(0o755)
    for name, content in {
        "resource": 'resource "terraform_data" "a" {}\n',
        "output": 'output "a" { value = 1 }\n',
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.tf").write_text(content)
        terraform = Terraform(
            folder,
            binary=str(quiet),
            environment=environment(tmp_path / "work"),
            on_progress=lambda _: None,
        )
        with pytest.raises(TerraformError) as caught:
            plan(terraform, folder)
        assert caught.value.reference == "plan-not-listed"
        assert not list((folder / "plans").iterdir())


def test_the_state_is_read_once_and_again_after_an_apply(tmp_path: Path) -> None:
    """A backend of the team's may take a second for each `terraform state pull`."""
    log, wrapper = tmp_path / "commands.txt", tmp_path / "logged"
    wrapper.write_text(f'#!/bin/sh\necho "$1" >>{log}\nexec terraform "$@"\n')
    wrapper.chmod(0o755)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.tf").write_text('output "url" { value = 1 }\n')
    terraform = Terraform(
        folder,
        binary=str(wrapper),
        environment=environment(tmp_path / "work"),
        on_progress=lambda _: None,
    )
    terraform.ensure_init()

    assert (terraform.state.is_empty(), terraform.state.functions(), terraform.state.outputs()) == (
        True,
        {},
        {},
    )
    assert log.read_text().split().count("state") == 1
    deploy(terraform, tmp_path)
    assert terraform.state.outputs()["url"].value == 1
    assert (terraform.state.is_empty(), terraform.state.functions()) == (True, {})
    assert log.read_text().split().count("state") == 2


def test_a_change_of_outputs_alone_is_a_change_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('output "url" { value = 1 }\n')
    users = environment(tmp_path / "work")
    terraform = Terraform(tmp_path, environment=users, on_progress=lambda _: None)
    made = plan(terraform, tmp_path)
    assert (made.has_changes, made.changes, made.outputs) == (True, (), ("url",))
    terraform.apply(made.file)
    assert plan(terraform, tmp_path).outputs == ()
    shutil.rmtree(tmp_path / "plans")


def test_resources_are_imported_by_a_generated_file(tmp_path: Path) -> None:
    """A destroy plan ignores `import` blocks, so an ordinary plan applies them first."""
    (tmp_path / "main.tf").write_text('resource "terraform_data" "broker" {}\n')
    imports = {"import": [{"to": "terraform_data.broker", "id": "abc"}]}
    file = tmp_path / "imports.tf.json"
    file.write_text(json.dumps(imports))
    users = environment(tmp_path / "work")
    terraform = Terraform(tmp_path, environment=users, on_progress=lambda _: None)
    assert deploy(terraform, tmp_path) == [("import", "terraform_data.broker")]
    file.unlink()
    assert not plan(terraform, tmp_path).has_changes
    gone = plan(terraform, tmp_path, destroy=True)
    assert actions(gone) == [("delete", "terraform_data.broker")]
    terraform.apply(gone.file)
    assert terraform.state.is_empty()
