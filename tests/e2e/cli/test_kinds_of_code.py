"""Functions whose code a configuration names in all the ways that teams use, live with no setting.

One app in the sandbox, with HashiCorp's providers (or stand-ins for them). In order: planned, live,
restored, destroyed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from terralive_testing.drivers.command import Event
from terralive_testing.drivers.plain_app import left, refused
from terralive_testing.drivers.project import InSandbox
from terralive_testing.machine.stand_in_providers import with_stand_ins

pytestmark = pytest.mark.timeout(600)

KINDS = Path(__file__).parent / "kinds"
# Function -> the code that runs, and how its place was found.
EXPECTED = {
    "kinds-folder": ("folder", "archive_file data.archive_file.folder"),
    "kinds-file": ("file", "archive_file data.archive_file.file"),
    "kinds-blocks": ("blocks", "archive_file data.archive_file.blocks"),
    "kinds-s3": ("s3", "archive_file data.archive_file.s3"),
    "kinds-makefile": ("makefile", "content of dist/makefile.zip"),
    "kinds-each-first": ("each/first", "archive_file data.archive_file.each"),
    "kinds-each-second": ("each/second", "archive_file data.archive_file.each"),
    "kinds-wrapped": ("wrapped", "archive_file data.archive_file.wrapped"),
    "kinds-managed": ("managed", "archive_file archive_file.managed"),
    "kinds-built-left": ("built", "content of dist/built.zip"),
    "kinds-built-right": ("built", "content of dist/built.zip"),
    "kinds-stored-0": ("s3", "archive_file data.archive_file.s3"),
    "kinds-stored-1": ("s3", "archive_file data.archive_file.s3"),
    "kinds-wrapped-too": ("wrapped", "archive_file module.wrapped.data.archive_file.code[0]"),
    "kinds-orders": ("orders", "archive_file module.orders.data.archive_file.code[0]"),
    "kinds-nightly": (
        "jobs.nightly",
        'archive_file module.group.module.job["nightly"].data.archive_file.code[0]',
    ),
    "kinds-hourly": (
        "jobs.hourly",
        'archive_file module.group.module.job["hourly"].data.archive_file.code[0]',
    ),
}
FILE, BLOCKS = "aws_lambda_function.file", "aws_lambda_function.blocks"
JOB = "module.group.module.job.aws_lambda_function.this"
# The functions that have an alias and a published version.
ALIASES = ("kinds-managed", "kinds-orders", "kinds-nightly", "kinds-hourly")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InSandbox]:
    folder = tmp_path_factory.mktemp("kinds")
    environment = with_stand_ins(dict(os.environ), folder)
    root = folder / "app"
    shutil.copytree(KINDS, root)
    (root / "dist").mkdir()
    for name in ("built", "makefile"):
        with zipfile.ZipFile(root / "dist" / f"{name}.zip", "w") as built:
            built.write(root / "code" / name / "app.py", "app.py")
    with zipfile.ZipFile(root / "dist" / "vendor.zip", "w") as vendor:
        vendor.writestr("of_a_vendor.py", "def handler(event, context):\n    return 'vendor'\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    with InSandbox.opened(root, environment) as made:
        yield made


@pytest.fixture(scope="class")
def ready(kinds: InSandbox) -> Iterator[Event]:
    with kinds.start() as command:
        yield command.wait_for_type("ready", timeout_s=400)


def test_a_function_that_is_not_deployed_yet_cannot_be_created_without_its_archive(
    kinds: InSandbox,
) -> None:
    code = kinds.project.root / "code" / "file"
    elsewhere = code.rename(kinds.project.root.parent / "file")
    command = kinds.run("plan")
    elsewhere.rename(code)

    assert command.process.returncode == 3, command.story()
    (plan,) = command.of_type("plan")
    live = {item["address"] for item in plan["functions"]}
    assert live > {"aws_lambda_function.folder", BLOCKS}
    assert FILE not in live
    assert FILE in plan["refused"]
    (error,) = command.of_type("error")
    assert error["reference"] == "build-missing"
    assert "could not archive missing file: ./code/file/single.py" in error["message"]


def test_every_function_whose_source_is_here_is_live_with_no_setting(kinds: InSandbox) -> None:
    command = kinds.run("plan")

    assert command.process.returncode == 0, command.story()
    (plan,) = command.of_type("plan")
    root = kinds.project.root
    found = {(item["found_by"], item["handler"]): item for item in plan["functions"]}
    assert {found_by for found_by, _ in found} == {by for _, by in EXPECTED.values()}
    assert all(Path(item["path"]).is_relative_to(root / "code") for item in found.values())
    triggers = {key: item["triggers"] for key, item in found.items() if item["triggers"]}
    assert triggers == {
        (EXPECTED["kinds-orders"][1], "app.handler"): ["Step Functions"],
        (EXPECTED["kinds-each-first"][1], "first.handler"): ["Step Functions"],
    }
    notes = [event["message"] for event in command.of_type("note")]
    assert any("profiles of the configuration: team" in note for note in notes)
    assert list(plan["refused"]) == ["aws_lambda_function.elsewhere"]
    assert (
        "[functions.'aws_lambda_function.elsewhere']"
        in plan["refused"]["aws_lambda_function.elsewhere"]
    )
    (stays,) = plan["not_live"]
    assert stays["add"] == ["[functions.'aws_lambda_function.elsewhere']", 'path = "…"']
    assert stays["reason"] in plan["refused"]["aws_lambda_function.elsewhere"]
    (changes,) = command.of_type("changes")
    assert plan["other_changes"] == changes["changes"]


class TestWhileLive:
    """One `terralive start`."""

    def test_each_function_runs_its_own_code_here_with_its_real_environment(
        self, kinds: InSandbox, ready: Event
    ) -> None:
        assert {item["name"] for item in ready["functions"]} == set(EXPECTED)
        for name, (where, _) in EXPECTED.items():
            answer = kinds.invoke(name)
            kind = name.removeprefix("kinds-").removeprefix("each-")
            assert answer["where"] == where
            assert answer["kind"].removeprefix("kinds-") == kind

    @pytest.mark.usefixtures("ready")
    def test_an_alias_leads_to_this_machine_and_no_stub_was_published(
        self, kinds: InSandbox
    ) -> None:
        client = kinds.project.client("lambda")
        for name in ALIASES:
            answer = kinds.invoke(f"{name}:live")
            assert answer["where"] == EXPECTED[name][0]
            assert answer["arn"].endswith(f":{name}:live")
            versions = client.list_versions_by_function(FunctionName=name)["Versions"]
            # Version 1 is what Terraform has published of the function's own code.
            assert [item["Version"] for item in versions] == ["$LATEST", "1"]
            own = client.invoke(FunctionName=name, Qualifier="1")
            assert json.loads(own["Payload"].read())["arn"].endswith(f":{name}:1")

    @pytest.mark.usefixtures("ready")
    def test_the_layer_of_a_wrapper_stays_and_its_wrapper_loads_nothing_here(
        self, kinds: InSandbox
    ) -> None:
        client = kinds.project.client("lambda")
        configuration = client.get_function_configuration(FunctionName="kinds-wrapped")
        (layer,) = configuration["Layers"]
        assert ":layer:kinds-wrapper:" in layer["Arn"]
        assert configuration["Runtime"] == "python3.13", "what the layer was made for"
        for name in ("kinds-wrapped", "kinds-wrapped-too"):
            wrapper = kinds.invoke(name)["wrapper"]
            # The wrapper has started the stub. What it sets is taken over, but nothing that loads
            # code.
            assert wrapper == {"WRAPPED": "yes", "NODE_OPTIONS": None, "PYTHONSTARTUP": None}

    @pytest.mark.usefixtures("ready")
    def test_a_function_that_stays_as_it_is_answers_as_it_is_deployed(
        self, kinds: InSandbox
    ) -> None:
        client = kinds.project.client("lambda")
        answer = client.invoke(FunctionName="kinds-elsewhere")
        assert json.loads(answer["Payload"].read()) == "vendor"


def test_a_destroy_whose_code_is_refused_keeps_the_debug_stack(kinds: InSandbox) -> None:
    with refused(kinds.project, "lambda:UpdateFunctionCode"):
        command = kinds.run("destroy")

    assert command.process.returncode == 4, command.story()
    assert len(left(kinds.project)["apis"]) == 2
    # The provider has written the configuration, and its own state says that the code is there.
    client = kinds.project.client("lambda")
    answer = client.invoke(FunctionName="kinds-folder")
    assert b"ImportModuleError" in answer["Payload"].read()


def test_a_restore_brings_everything_back(kinds: InSandbox) -> None:
    """Also what Terraform takes for done: files, archives, modules, S3, a published version."""
    command = kinds.run("restore")

    assert command.process.returncode == 0, command.story()
    said = [event["message"] for event in command.of_type("stack") if event["action"] == "note"]
    assert any("folder still has the stub's code" in text for text in said), command.story()
    client = kinds.project.client("lambda")
    for name, (where, _) in EXPECTED.items():
        configuration = client.get_function_configuration(FunctionName=name)
        assert configuration["Description"] == ""
        assert kinds.invoke(name)["where"] == where
    for name in ALIASES:
        assert client.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "1"
        assert kinds.invoke(f"{name}:live")["where"] == EXPECTED[name][0]


def test_terraform_itself_finds_nothing_to_change_after_a_restore(kinds: InSandbox) -> None:
    plan = kinds.run("plan", "--detailed-exitcode", "--terraform-output")
    (shown,) = plan.of_type("plan")
    texts = {event["phase"]: event["text"] for event in plan.of_type("terraform")}
    assert set(texts) == {"app", "debug-stack"}
    assert "aws_lambda_function.makefile will be updated in-place" in texts["app"]
    assert not plan.of_type("changes"), plan.story()
    assert shown["changes"] == len(EXPECTED) + len(ALIASES)


def test_a_plan_among_a_thousand_other_resources_is_about_the_functions_only(
    kinds: InSandbox,
) -> None:
    with a_thousand_resources(kinds.project.root):
        plan = kinds.run("plan")

    assert plan.process.returncode == 0, plan.story()
    (shown,) = plan.of_type("plan")
    assert {item["address"] for item in shown["functions"]} > {
        "module.orders.aws_lambda_function.this[0]",
        'module.group.module.job["nightly"].aws_lambda_function.this[0]',
    }
    assert shown["changes"] == len(EXPECTED) + len(ALIASES)
    assert shown["other_changes"] == [], "what is pending elsewhere is left alone"
    (left_alone,) = [
        event for event in plan.of_type("warning") if event["reference"] == "not-deployed"
    ]
    assert "and 490 more" in left_alone["message"]


@contextmanager
def a_thousand_resources(root: Path) -> Iterator[None]:
    """Give the app 1,000 resources: 500 are deployed and have a pending change, 500 are new."""
    (state_file,) = (root / ".terralive" / "sandbox").glob("*/*/app.tfstate")
    before = state_file.read_bytes()
    state = json.loads(before)
    blocks = []
    for number in range(1000):
        name = f"other_{number:03}"
        blocks.append(f'resource "terraform_data" "{name}" {{\n  input = "new"\n}}\n')
        if number < 500:
            state["resources"].append(deployed_data(name))
    file = root / "other.tf"
    file.write_text("".join(blocks), "utf-8")
    state_file.write_text(json.dumps(state), "utf-8")
    try:
        yield
    finally:
        file.unlink()
        state_file.write_bytes(before)


def deployed_data(name: str) -> dict[str, Any]:
    """Return the entry of a `terraform_data` in a state."""
    attributes = {
        "id": name,
        "input": {"value": "old", "type": "string"},
        "output": {"value": "old", "type": "string"},
        "triggers_replace": None,
    }
    return {
        "mode": "managed",
        "type": "terraform_data",
        "name": name,
        "provider": 'provider["terraform.io/builtin/terraform"]',
        "instances": [{"schema_version": 0, "attributes": attributes}],
    }


def test_a_zip_that_is_not_built_stops_nothing(kinds: InSandbox) -> None:
    (kinds.project.root / "dist" / "makefile.zip").unlink()
    command = kinds.run("plan")

    assert command.process.returncode == 0, command.story()
    (plan,) = command.of_type("plan")
    assert len(plan["functions"]) == len(EXPECTED)
    # Now only the names of folder and function tell which app.py it is.
    found_by = {item["address"]: item["found_by"] for item in plan["functions"]}
    assert found_by["aws_lambda_function.makefile"].startswith("handler code/makefile/app.py")


def test_archives_of_what_is_not_there_cost_only_their_functions(kinds: InSandbox) -> None:
    """A file, a file in a `source` block, and a folder in modules with for_each, all at once."""
    for name in ("file", "blocks", "jobs"):
        shutil.rmtree(kinds.project.root / "code" / name)
    command = kinds.run("plan")

    assert command.process.returncode == 0, command.story()
    (plan,) = command.of_type("plan")
    assert {item["address"] for item in plan["functions"]} == {
        "aws_lambda_function.folder",
        "aws_lambda_function.s3",
        "aws_lambda_function.makefile",
        'aws_lambda_function.each["first"]',
        'aws_lambda_function.each["second"]',
        "aws_lambda_function.wrapped",
        "aws_lambda_function.managed",
        'module.built["left"].aws_lambda_function.this[0]',
        'module.built["right"].aws_lambda_function.this[0]',
        "module.stored[0].aws_lambda_function.this[0]",
        "module.stored[1].aws_lambda_function.this[0]",
        "module.wrapped.aws_lambda_function.this[0]",
        "module.orders.aws_lambda_function.this[0]",
    }
    stays = {item["address"]: item for item in plan["not_live"]}
    assert stays.keys() == {FILE, BLOCKS, JOB, "aws_lambda_function.elsewhere"}
    assert stays[FILE]["reason"].startswith(
        "archive_file data.archive_file.file is made of code/file/single.py, which does not exist"
    )
    assert stays[FILE]["add"] == [f"[functions.'{FILE}']", 'path = "code/file"', 'build = "…"']
    assert "code/jobs, which does not exist" in stays[JOB]["reason"]
    assert stays[JOB]["add"] == [f"[functions.'{JOB}']", 'path = "code/jobs"', 'build = "…"']
    assert "data.archive_file.blocks is made of does not exist" in stays[BLOCKS]["reason"]
    # The functions, and the aliases of `managed` and `orders`. One of them depends on a function
    # whose archive is missing.
    assert plan["changes"] == len(plan["functions"]) + 2
    assert plan["other_changes"] == []


def test_destroy_with_app_needs_no_zip_and_leaves_nothing(kinds: InSandbox) -> None:
    command = kinds.run("destroy", "--app")

    assert command.process.returncode == 0, command.story()
    assert left(kinds.project) == {}
