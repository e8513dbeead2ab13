"""The files that count whatever the configuration says, and the aliases of live functions."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from terralive_cli.app.live_plan import LiveApp, PlanSources
from terralive_cli.configuration.loading import load
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.unchanged import sources
from terralive_cli.unchanged.files import FileInputs, first_difference, take, touched_since
from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.declared import FUNCTION_TYPE, DeclaredFunction
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.inputs.calls import Undecided
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalFunction

ADDRESS = "aws_lambda_function.orders"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


class NoCaller:
    account = "123456789012"
    session = None


class Project:
    """A project with a root module in `infra`, a module beside it, and code.

    Args:
        folder: the project's folder.
        arguments: arguments for Terraform.
        backend_config: arguments for the backend.
        environment: the environment of Terraform.
        changes: the changes of the plan.
    """

    def __init__(
        self,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        backend_config: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        changes: Sequence[Json] = (),
    ) -> None:
        self.root = folder / "infra"
        self.code = folder / "src"
        module = folder / "modules" / "queue"
        for made in (self.root, self.code, module):
            made.mkdir(parents=True, exist_ok=True)
        (self.root / "main.tf").write_text(
            'module "queue" {\n  source = "../modules/queue"\n}\n', "utf-8"
        )
        (module / "main.tf").write_text("", "utf-8")
        (folder / "terralive.toml").write_text('[terraform]\ndir = "infra"\n', "utf-8")
        caller = cast("Caller", NoCaller())
        given = {"HOME": str(folder), **(environment or {})}
        target = Target("account", "eu-west-1", given, caller, folder / "work")
        config = load(project=folder, flags={}, environ=given, user="ana")
        self.stage = Stage(config, target, lambda *_: None, given)
        instance = PlannedFunction(ADDRESS, "", name="orders", filename=self.root / "orders.zip")
        declared = DeclaredFunction(ADDRESS, "orders", instances=(instance,))
        document: dict[str, Json] = {"resource_changes": list(changes)}
        self.plan = PlanSources(
            Prepared(
                self.root,
                None,
                (),
                (),
                backend_config=tuple(backend_config),
                arguments=tuple(arguments),
            ),
            Evaluation(document, self.root),
            (declared,),
            frozenset(),
            {},
        )
        function = LocalFunction(
            name="orders",
            arn=ARN,
            address=ADDRESS,
            runtime="python3.12",
            handler="app.handler",
            path=self.code,
            python=Path(sys.executable),
        )
        self.live = LiveApp((function,), {}, {}, Accounts(caller), sources=self.plan)

    def inputs(self) -> FileInputs:
        found = sources.inputs_of(self.stage, self.live, self.plan)
        assert isinstance(found, FileInputs)
        return found

    def files(self) -> set[str]:
        """Return the single files, as seen from the root module's folder."""
        return {str(path).replace(str(self.root), ".") for path in self.inputs().files}


def test_modules_and_code_are_known(tmp_path: Path) -> None:
    project = Project(tmp_path)
    inputs = project.inputs()
    assert inputs.modules == {project.root, tmp_path / "modules" / "queue"}
    assert inputs.trees == inputs.modules
    assert inputs.left_out == {project.code, project.root / "orders.zip"}


def test_what_an_init_and_the_user_have_chosen_counts(tmp_path: Path) -> None:
    assert Project(tmp_path).files() >= {
        "./.terraform.lock.hcl",
        "./.terraform/modules/modules.json",
        "./.terraform/terraform.tfstate",
        "./.terraform/environment",
        "./terraform.tfstate",
    }


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ({"arguments": ["-var-file=/vars/dev.tfvars"]}, "/vars/dev.tfvars"),
        ({"environment": {"TF_CLI_ARGS_plan": "-var-file=dev.vars"}}, "./dev.vars"),
        ({"environment": {"TF_CLI_ARGS": "-var-file dev.vars"}}, "./dev.vars"),
        ({"backend_config": ["dev.backend", "bucket=b"]}, "./dev.backend"),
        ({"environment": {"TF_CLI_CONFIG_FILE": "/etc/own.tfrc"}}, "/etc/own.tfrc"),
        ({"environment": {"AWS_CONFIG_FILE": "/etc/aws"}}, "/etc/aws"),
        ({"environment": {"TF_DATA_DIR": "data"}}, "./data/modules/modules.json"),
        (
            {"environment": {"TF_WORKSPACE": "blue"}},
            "./terraform.tfstate.d/blue/terraform.tfstate",
        ),
    ],
)
def test_what_is_given_elsewhere_counts(
    tmp_path: Path, given: Mapping[str, object], file: str
) -> None:
    assert file in Project(tmp_path, **given).files()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("backend", "file"),
    [
        ({"type": "local", "config": {"path": "/states/app.tfstate"}}, "/states/app.tfstate"),
        ({"type": "s3", "config": {"bucket": "b"}}, None),
    ],
)
def test_a_state_counts_where_it_is_a_file(
    tmp_path: Path, backend: dict[str, Json], file: str | None
) -> None:
    project = Project(tmp_path)
    note = project.root / ".terraform" / "terraform.tfstate"
    note.parent.mkdir()
    note.write_text(json.dumps({"backend": backend}), "utf-8")
    states = {path for path in project.files() if path.endswith(".tfstate")}
    states.discard("./.terraform/terraform.tfstate")
    assert states == ({file} if file else set())


def test_what_the_configuration_leaves_undecided_is_undecided(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (project.root / "more.tf").write_text("locals {\n  now = timestamp()\n}\n", "utf-8")
    found = sources.inputs_of(project.stage, project.live, project.plan)
    assert isinstance(found, Undecided)


def test_files_that_terraform_itself_writes_do_not_count_as_touched(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name in (
        ".terraform.lock.hcl",
        ".terraform/modules/modules.json",
        "terraform.tfstate",
        "terraform.tfstate.backup",
        "other.zip",
    ):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text("", "utf-8")
    snapshot = take(project.inputs(), 1)
    others = sources.not_terraforms_own(project.stage, project.plan, snapshot)
    now = {path.name for path, mark in others.marks.items() if mark.sha256}
    assert now == {"main.tf"}
    assert touched_since(snapshot, 0) is not None


def test_the_aliases_of_live_functions_are_known(tmp_path: Path) -> None:
    def change(kind: str, address: str, **values: Json) -> Json:
        return {
            "address": address,
            "mode": "managed",
            "type": kind,
            "change": {"actions": ["no-op"], "after": values},
        }

    project = Project(
        tmp_path,
        changes=[
            change("aws_lambda_function", ADDRESS, function_name="orders"),
            change("aws_lambda_function", "aws_lambda_function.other", function_name="other"),
            change("aws_lambda_alias", "aws_lambda_alias.a", name="live", function_name="orders"),
            change("aws_lambda_alias", "aws_lambda_alias.b", name="live", function_name="other"),
        ],
    )
    assert sources.aliases_of(project.live, project.plan) == {ARN: ("live",)}


MISSING = "aws_lambda_function.vendor"


def not_found(*lines: str) -> dict[str, NotLive]:
    return {MISSING: NotLive(MISSING, "no file", lines=("[functions.'a.b']", *lines))}


@pytest.mark.parametrize(
    ("change", "happened"),
    [
        ("tools/vendor.py", "is new"),
        ("web/page.js", "has changed"),
        ("infra/.out/vendor.zip", "is new"),
        ("src/vendor.py", "has other files"),
    ],
)
def test_code_that_was_not_found_may_be_in_another_file_later(
    tmp_path: Path, change: str, happened: str
) -> None:
    (tmp_path / ".git").mkdir()
    for file in ("web/page.js", "src/app.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("", "utf-8")
    values: dict[str, Json] = {"filename": ".out/vendor.zip"}
    change_of_plan: Json = {"actions": ["create"], "after": values}
    vendor: dict[str, Json] = {"address": MISSING, "mode": "managed", "type": FUNCTION_TYPE}
    project = Project(tmp_path, changes=[{**vendor, "change": change_of_plan}])
    assert project.inputs().trees == project.inputs().modules
    project.plan = replace(project.plan, not_found=not_found('path = "…"'))
    before = take(project.inputs(), 1)
    # An edit of live code is no reason to plan.
    (project.code / "app.py").write_text("edited = True\n", "utf-8")
    assert first_difference(before, take(project.inputs(), 2, before)) is None
    (tmp_path / change).parent.mkdir(exist_ok=True)
    (tmp_path / change).write_text("found = True\n", "utf-8")
    found = first_difference(before, take(project.inputs(), 3, before))
    assert found is not None
    path, what = found
    assert what == happened
    assert path == (tmp_path if happened == "has other files" else tmp_path / change)


def test_a_function_that_lacks_a_command_is_looked_for_nowhere(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.plan = replace(project.plan, not_found=not_found('command = ["…"]'))
    assert project.inputs().trees == project.inputs().modules
