"""An unchanged start runs no Terraform: each thing that differs makes it plan again."""

from __future__ import annotations

import dataclasses
import stat
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from terralive_cli.app.live_plan import LiveApp, PlanSources
from terralive_cli.configuration.loading import load
from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record as work_files
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.functions.debugging import NO_DEBUGGING, Debugging
from terralive_cli.joining.description import StackDescription
from terralive_cli.live import holder
from terralive_cli.live.stub_check import DeployedCode, Look, Stub
from terralive_cli.output.events import Message
from terralive_cli.unchanged import decision, record
from terralive_cli.unchanged.decision import Versions
from terralive_cli.unchanged.files import FileInputs, take
from terralive_cli.unchanged.heard import Heard
from terralive_cli.unchanged.record import DeployedStub, Record, Shown
from terralive_cli.unchanged.settings import Situation, first_change, settings_of
from terralive_cli.unchanged.sources import not_decided_by_files
from terralive_relay.events import Event, Warned
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_stub.errors import StageHeldError
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.marker import StageName
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalFunction

Flag: TypeAlias = str | bool | tuple[str, ...]
SECRET = bytes(range(32))
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/terralive-stub:v2"
ADDRESS = "aws_lambda_function.orders"
STUB = Stub("stub's sum", "wss://stub", StageName("shop", "dev-ana"))
CODE = DeployedCode("stub's sum", STUB_HANDLER, modified="2026-11-30T03:00:00.000+0000")
STACK = StackDescription(
    app="shop",
    stage="dev-ana",
    source="github.com/acme/shop",
    owner="ana",
    created="2026-11-30",
    version="1.2.3",
    protocol=2,
    wishes={"log_retention_days": 7},
    outputs={"stub_url": "wss://stub", "relay_url": "wss://relay", "table_name": "table"},
)
VERSIONS = Versions("1.2.3", 2)


def function(folder: Path) -> LocalFunction:
    return LocalFunction(
        name="orders",
        arn=ARN,
        address=ADDRESS,
        runtime="python3.12",
        handler="app.handler",
        path=folder,
        python=Path(sys.executable),
    )


def last(folder: Path) -> Record:
    """Return the record of a start."""
    (folder / "main.tf").write_text("# 1", "utf-8")
    inputs = FileInputs(
        files=frozenset({folder / "main.tf"}),
        modules=frozenset({folder}),
        names=frozenset({folder}),
        left_out=frozenset({folder / "code"}),
    )
    return Record(
        table="table",
        directory=folder,
        description=decision.digest_of(STACK),
        settings=settings_of(situation(folder), SECRET),
        inputs=inputs,
        snapshot=take(inputs, 10),
        deployed={ARN: DeployedStub(CODE.sha256, CODE.modified)},
        aliases={ARN: {"live": "$LATEST"}},
        shown=Shown(
            functions=(function(folder),),
            ports={ARN: 5678},
            refused={"a.b": NotLive("a.b", "it is old", "durable_config", ("live = false",))},
            outputs={"url": "https://x", "list": [1, {"a": None}]},
            found_by={ADDRESS: "terralive.toml"},
            warnings=(Warned("some-warning", "Take care.", "orders"),),
            schedules={"nightly": "rate(5 minutes)"},
        ),
    )


def config(folder: Path, **flags: Flag) -> Config:
    return load(project=folder, flags={"stage": "dev-ana", **flags}, environ={}, user="ana")


def situation(folder: Path, **flags: Flag) -> Situation:
    return Situation(
        config=config(folder, **flags),
        debugging=NO_DEBUGGING,
        environment={"TF_VAR_size": "1", "AWS_ACCESS_KEY_ID": "a", "HOME": "/home/ana"},
        versions={"terralive": "1.2.3", "Terraform": "1.12.0"},
        caller="arn:aws:sts::123456789012:assumed-role/dev/session-1",
        place="account 123456789012, eu-west-1",
        workspace="",
    )


# The record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = last(tmp_path)
    record.write(tmp_path / "unchanged.json", written)
    assert record.read(tmp_path / "unchanged.json") == written


def test_only_its_owner_reads_a_record_and_it_has_no_secret(tmp_path: Path) -> None:
    environment = {"TF_VAR_password": "hunter2", "TF_CLI_ARGS_plan": "-var token=hunter2"}
    settings = settings_of(replace(situation(tmp_path), environment=environment), SECRET)
    file = tmp_path / "unchanged.json"
    record.write(file, replace(last(tmp_path), settings=settings))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text("utf-8")
    assert "TF_VAR_password" in text
    assert "hunter2" not in text
    assert SECRET.hex() not in text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "0"}'])
def test_a_damaged_record_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "unchanged.json").write_text(content, "utf-8")
    assert record.read(tmp_path / "unchanged.json") is None


def test_a_record_whose_code_is_gone_is_none(tmp_path: Path) -> None:
    gone = replace(function(tmp_path), path=tmp_path / "gone")
    written = replace(last(tmp_path), shown=Shown((gone,)))
    record.write(tmp_path / "unchanged.json", written)
    assert record.read(tmp_path / "unchanged.json") is None


def test_a_command_that_changes_functions_removes_the_record(tmp_path: Path) -> None:
    file = work_files.last_start(tmp_path)
    record.write(file, last(tmp_path))
    assert work_files.begun_ns(tmp_path) is None
    work_files.begin_change(tmp_path)
    assert record.read(file) is None
    assert work_files.begun_ns(tmp_path) is not None


def test_a_command_that_only_plans_leaves_the_record_until_functions_change(
    tmp_path: Path,
) -> None:
    file = work_files.last_start(tmp_path)
    written = last(tmp_path)
    record.write(file, written)
    work_files.begin_planning(tmp_path)
    assert work_files.begun_ns(tmp_path) is not None
    assert record.read(file) == written
    work_files.forget_last_start(tmp_path)
    assert record.read(file) is None
    # A command that ends now has not finished.
    assert work_files.begun_ns(tmp_path) is not None


def test_the_warnings_of_a_start_are_kept_each_of_them_once() -> None:
    shown: list[Event] = []
    heard = Heard(lambda *events: shown.extend(events))
    early, late = Warned("clock", "It is late."), Warned("vpc", "There is no route.", "orders")
    heard(early)
    heard.forget()
    heard(late, Message("A note."), late)
    heard(late)
    assert heard.warnings == (late,)
    assert len(shown) == 5


# Files


def test_nothing_has_changed(tmp_path: Path) -> None:
    known = last(tmp_path)
    now = take(known.inputs, 20, known.snapshot)
    assert decision.files_changed(known, now, tmp_path) == ""


def test_a_changed_file_is_named_from_the_project(tmp_path: Path) -> None:
    known = last(tmp_path)
    (tmp_path / "main.tf").write_text("# 2", "utf-8")
    now = take(known.inputs, 20, known.snapshot)
    assert decision.files_changed(known, now, tmp_path / "app") == "../main.tf has changed"


# Settings


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"only": ("orders",)}, "the setting `only`"),
        ({"except_": ("orders",)}, "the setting `except`"),
        ({"sandbox": True}, "the setting `sandbox`"),
        ({"stage": "dev-ben"}, "the setting `stage`"),
        ({"stack": "other"}, "the setting `terraform`"),
    ],
)
def test_a_changed_option_is_named(tmp_path: Path, flags: Mapping[str, Flag], name: str) -> None:
    before = settings_of(situation(tmp_path), SECRET)
    assert first_change(before, settings_of(situation(tmp_path, **flags), SECRET)) == name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ('accounts = ["123456789012"]', "the setting `accounts`"),
        ('production_words = ["live"]', "the setting `production-words`"),
        ("[functions.orders]\nlive = false", "the setting `functions`"),
        ('[functions.orders]\npath = "x"', "the setting `functions`"),
        (
            f'[stub_image]\nx86_64 = "{IMAGE}"',
            "the setting `stub-images`",
        ),
        ("[debug_stack]\nlog_retention_days = 30", "the setting `debug-stack`"),
        ('[terraform]\nvar_files = ["a.tfvars"]', "the setting `terraform`"),
        ('[backend]\ntype = "s3"\nconfig = { bucket = "b" }', "the setting `backend`"),
    ],
)
def test_a_changed_terralive_toml_is_named(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / "a.tfvars").write_text("", "utf-8")
    before = settings_of(situation(tmp_path), SECRET)
    (tmp_path / "terralive.toml").write_text(file, "utf-8")
    assert first_change(before, settings_of(situation(tmp_path), SECRET)) == name


@pytest.mark.parametrize("flags", [{"yes": True}, {"output": "json"}, {"forward_logs": True}])
def test_an_option_that_no_plan_depends_on_does_not_count(
    tmp_path: Path, flags: Mapping[str, Flag]
) -> None:
    before = settings_of(situation(tmp_path), SECRET)
    assert first_change(before, settings_of(situation(tmp_path, **flags), SECRET)) is None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"environment": {"TF_VAR_size": "2"}}, "the environment variable TF_VAR_size"),
        ({"environment": {}}, "the environment variable TF_VAR_size"),
        (
            {"environment": {"TF_VAR_size": "1", "TF_CLI_ARGS": "-var a=b"}},
            "the environment variable TF_CLI_ARGS",
        ),
        (
            {"environment": {"TF_VAR_size": "1", "AWS_PROFILE": "b"}},
            "the environment variable AWS_PROFILE",
        ),
        ({"versions": {"terralive": "1.2.3", "Terraform": "1.13.0"}}, "the version of Terraform"),
        ({"versions": {"terralive": "2", "Terraform": "1.12.0"}}, "the version of terralive"),
        ({"caller": "arn:aws:sts::123456789012:assumed-role/ops/session-1"}, "the caller"),
        ({"caller": "arn:aws:iam::123456789012:user/ana"}, "the caller"),
        ({"place": "account 123456789012, us-east-1"}, "the account or region"),
        ({"workspace": "blue"}, "the workspace"),
        ({"debugging": Debugging.of(["orders"])}, "the functions of --debug"),
        ({"debugging": Debugging.of(["orders:5679"])}, "the functions of --debug"),
    ],
)
def test_a_changed_environment_is_named(
    tmp_path: Path, changes: Mapping[str, object], name: str
) -> None:
    before = situation(tmp_path)
    now = dataclasses.replace(before, **changes)  # type: ignore[arg-type]
    assert first_change(settings_of(before, SECRET), settings_of(now, SECRET)) == name


@pytest.mark.parametrize(
    "changes",
    [
        {"caller": "arn:aws:sts::123456789012:assumed-role/dev/session-2"},
        {"environment": {"TF_VAR_size": "1", "AWS_ACCESS_KEY_ID": "b", "HOME": "/"}},
        {"environment": {"TF_VAR_size": "1", "AWS_SESSION_TOKEN": "x", "TF_LOG": "debug"}},
    ],
)
def test_a_renewed_login_is_no_matter(tmp_path: Path, changes: Mapping[str, object]) -> None:
    before = situation(tmp_path)
    now = dataclasses.replace(before, **changes)  # type: ignore[arg-type]
    assert first_change(settings_of(before, SECRET), settings_of(now, SECRET)) is None


def test_settings_of_another_secret_differ(tmp_path: Path) -> None:
    of_this = settings_of(situation(tmp_path), SECRET)
    of_another = settings_of(situation(tmp_path), bytes(32))
    assert not set(of_this.values()) & set(of_another.values())


# The debug stack


def test_the_debug_stack_is_as_it_was(tmp_path: Path) -> None:
    assert decision.debug_stack_changed(last(tmp_path), STACK, SECRET, VERSIONS) == ""


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "there is no debug stack"),
        (replace(STACK, version="1.2.4"), "the debug stack is of terralive 1.2.4"),
        (replace(STACK, protocol=3), "the debug stack is of terralive 1.2.3"),
        (replace(STACK, source="github.com/acme/other"), "the debug stack has changed"),
        (replace(STACK, wishes={}), "the debug stack has changed"),
        (replace(STACK, outputs={"stub_url": "wss://other"}), "the debug stack has changed"),
    ],
)
def test_another_debug_stack_is_named(
    tmp_path: Path, found: StackDescription | None, reason: str
) -> None:
    assert decision.debug_stack_changed(last(tmp_path), found, SECRET, VERSIONS) == reason


def test_a_debug_stack_without_a_secret_is_none(tmp_path: Path) -> None:
    found = decision.debug_stack_changed(last(tmp_path), STACK, None, VERSIONS)
    assert found == "there is no debug stack"


# The deployed functions


def test_the_functions_carry_the_stub_as_they_did(tmp_path: Path) -> None:
    assert decision.functions_changed(last(tmp_path), Look({ARN: CODE}), STUB) == ""


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (Look({}, "AccessDenied"), "orders cannot be looked at"),
        (Look({ARN: None}), "orders does not exist any more"),
        (Look({ARN: replace(CODE, sha256="x")}), "orders does not carry this stage's stub"),
        (
            Look({ARN: replace(CODE, handler="app.handler")}),
            "orders does not carry this stage's stub",
        ),
        (Look({ARN: replace(CODE, modified="today")}), "orders was changed at today"),
    ],
)
def test_a_function_that_is_not_as_it_was_is_named(tmp_path: Path, look: Look, reason: str) -> None:
    assert decision.functions_changed(last(tmp_path), look, STUB) == reason


def test_another_stub_is_named(tmp_path: Path) -> None:
    other = replace(STUB, sha256="of another version")
    found = decision.functions_changed(last(tmp_path), Look({ARN: CODE}), other)
    assert found == "orders does not carry this stage's stub"


def test_functions_are_remembered_only_if_all_carry_the_stub() -> None:
    assert decision.deployed_stubs(Look({ARN: CODE}), STUB) == {
        ARN: DeployedStub(CODE.sha256, CODE.modified)
    }
    assert decision.deployed_stubs(Look({ARN: replace(CODE, sha256="x")}), STUB) is None
    assert decision.deployed_stubs(Look({ARN: None}), STUB) is None


def test_the_aliases_point_at_the_stub_as_they_did(tmp_path: Path) -> None:
    assert decision.aliases_changed(last(tmp_path), {ARN: {"live": "$LATEST"}}) == ""


@pytest.mark.parametrize(
    "found", [{}, {ARN: {}}, {ARN: {"live": "7"}}, {ARN: {"live": "$LATEST", "new": "1"}}]
)
def test_an_alias_that_was_moved_is_named(
    tmp_path: Path, found: Mapping[str, Mapping[str, str]]
) -> None:
    assert decision.aliases_changed(last(tmp_path), found) == "an alias of orders has changed"


# What no file tells


class NoCaller:
    account = "123456789012"
    session = None


def live(
    folder: Path,
    *functions: DeclaredFunction,
    not_found: NotLive | None = None,
    is_planned: bool = True,
) -> LiveApp:
    sources = None
    if is_planned:
        missing = {not_found.address: not_found} if not_found is not None else {}
        evaluation = Evaluation({}, folder)
        sources = PlanSources(
            Prepared(folder, None, (), ()), evaluation, functions, frozenset(), missing
        )
    accounts = Accounts(NoCaller())  # type: ignore[arg-type]
    return LiveApp((), {}, {}, accounts, sources=sources)


def test_a_plain_configuration_is_decided_by_its_files(tmp_path: Path) -> None:
    zipped = DeclaredFunction(ADDRESS, "orders")
    assert not_decided_by_files(config(tmp_path), live(tmp_path, zipped)) == ""


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (
            '[terraform]\napp = "python main.py"',
            "a CDKTF program may compute another configuration",
        ),
        ('[debug_stack]\nclass = "stack.py:Own"', "the debug stack has a class of your own"),
    ],
)
def test_programs_are_planned_always(tmp_path: Path, file: str, reason: str) -> None:
    (tmp_path / "stack.py").write_text("class Own: ...\n", "utf-8")
    (tmp_path / "terralive.toml").write_text(file, "utf-8")
    assert not_decided_by_files(config(tmp_path), live(tmp_path)) == reason


def test_a_function_whose_code_was_not_found_is_decided_by_files(tmp_path: Path) -> None:
    missing = NotLive("a.b", "no file", lines=("[functions.'a.b']", 'path = "…"'))
    assert not_decided_by_files(config(tmp_path), live(tmp_path, not_found=missing)) == ""


def test_a_dockerfile_is_read_again(tmp_path: Path) -> None:
    image = DeclaredFunction(ADDRESS, "orders", package_type="Image")
    found = not_decided_by_files(config(tmp_path), live(tmp_path, image))
    assert found == f"a Dockerfile tells the code of {ADDRESS}"
    (tmp_path / "terralive.toml").write_text(
        f'[functions."{ADDRESS}"]\npath = "x"\nruntime = "python3.12"\nhandler = "app.handler"\n',
        "utf-8",
    )
    assert not_decided_by_files(config(tmp_path), live(tmp_path, image)) == ""


def test_a_start_that_made_no_plan_says_so(tmp_path: Path) -> None:
    found = not_decided_by_files(config(tmp_path), live(tmp_path, is_planned=False))
    assert found == "the last start made no plan"


# Who is connected


def lease(**changes: object) -> Lease:
    given = Lease(
        relay="r",
        connection="c",
        owner="ben",
        machine="his",
        arn="arn",
        functions=frozenset(),
        state=LeaseState.HELD,
        since_ms=1,
        until_ms=0,
        expires_ms=1000,
        version=1,
    )
    return dataclasses.replace(given, **changes)  # type: ignore[arg-type]


def test_another_user_holds_the_stage(tmp_path: Path) -> None:
    held = holder.held(lease(), 500)
    assert holder.is_of_another(config(tmp_path), held)
    with pytest.raises(StageHeldError):
        holder.require_mine(config(tmp_path), held)


@pytest.mark.parametrize("found", [None, lease(state=LeaseState.RELEASED), lease(expires_ms=400)])
def test_nobody_holds_the_stage(tmp_path: Path, found: Lease | None) -> None:
    held = holder.held(found, 500)
    assert held is None
    holder.require_mine(config(tmp_path), held)
