"""The functions of `test_kinds_of_code` in CDK for Terraform programs, live with no setting.

One stack in the sandbox, which programs of both packages write: `cdktf`, and its fork `cdktn` with
terralive's Aspect. In order: live with one, live with the other, restored, planned, destroyed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from terralive_testing.drivers.command import Command
from terralive_testing.drivers.plain_app import left
from terralive_testing.drivers.project import InSandbox
from terralive_testing.machine.stand_in_providers import with_stand_ins
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(600)

KINDS = Path(__file__).parent / "kinds"
FORK = "cdktn"
if importlib.util.find_spec(FORK) is None:
    # `test_program_packages` says by name that its tests of it are skipped.
    FORK = "cdktf"
PICTURE = "code/picture/Dockerfile (the name acme/picture)"
# Function -> the code that runs, and how its place was found.
EXPECTED = {
    "kinds-folder": ("folder", "archive_file data.archive_file.folder_zip"),
    "kinds-file": ("file", "archive_file data.archive_file.file_zip"),
    "kinds-blocks": ("blocks", "archive_file data.archive_file.blocks_zip"),
    "kinds-managed": ("managed", "archive_file archive_file.managed_zip"),
    "kinds-s3": ("s3", "archive_file data.archive_file.s3_zip"),
    "kinds-makefile": ("makefile", "content of dist/makefile.zip"),
    "kinds-each-first": ("each/first", "archive_file data.archive_file.each_zip"),
    "kinds-each-second": ("each/second", "archive_file data.archive_file.each_zip"),
    "kinds-counted-0": ("each/first", "archive_file data.archive_file.each_zip"),
    "kinds-counted-1": ("each/first", "archive_file data.archive_file.each_zip"),
    "kinds-asset": ("asset", "content of TerraformAsset asset_code"),
    "kinds-stored": ("asset", "content of TerraformAsset stored_code"),
    "kinds-passed": ("asset", "content of TerraformAsset passed_code"),
    "kinds-orders": ("orders", "archive_file module.orders.data.archive_file.code[0]"),
    "kinds-nightly": (
        "jobs.nightly",
        'archive_file module.group.module.job["nightly"].data.archive_file.code[0]',
    ),
    "kinds-hourly": (
        "jobs.hourly",
        'archive_file module.group.module.job["hourly"].data.archive_file.code[0]',
    ),
    "kinds-picture": ("picture", PICTURE),
    "kinds-left": ("picture", PICTURE),
    "kinds-right": ("picture", PICTURE),
    "kinds-wrapped": ("wrapped", "archive_file data.archive_file.wrapped_zip"),
}
ALIASES = ("kinds-file", "kinds-orders", "kinds-nightly", "kinds-hourly")


class Programs(InSandbox):
    """The project in a running sandbox."""

    def use(self, *words: str) -> None:
        """Let another program write the stack."""
        content = {"language": "python", "app": " ".join(["python program.py", *words])}
        (self.project.root / "cdktf.json").write_text(json.dumps(content), "utf-8")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    folder = tmp_path_factory.mktemp("programs")
    environment = with_stand_ins(dict(os.environ), folder)
    root = folder / "app"
    shutil.copytree(KINDS, root)
    (root / "main.tf").unlink()
    (root / "dist").mkdir()
    with zipfile.ZipFile(root / "dist" / "makefile.zip", "w") as built:
        built.write(root / "code" / "makefile" / "app.py", "app.py")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    with Programs.opened(root, environment) as made:
        yield made


def require_live(programs: Programs, command: Command) -> None:
    """Require that every function runs its own code here, with its real environment."""
    ready = command.wait_for_type("ready", timeout_s=400)
    found = {item["name"]: item["found_by"] for item in ready["functions"]}
    assert found == {name: found_by for name, (_, found_by) in EXPECTED.items()}
    for name, (where, _) in EXPECTED.items():
        answer = programs.invoke(name)
        assert answer["where"] == where
        assert f"kinds-{answer['kind'].removeprefix('kinds-')}" == name
    assert programs.invoke("kinds-wrapped")["wrapper"]["WRAPPED"] == "yes"
    client = programs.project.client("lambda")
    for name in ALIASES:
        assert programs.invoke(f"{name}:live")["arn"].endswith(f":{name}:live")
        versions = client.list_versions_by_function(FunctionName=name)["Versions"]
        latest, own = versions
        assert (latest["Version"], own["Version"]) == ("$LATEST", "1")
        assert own["CodeSha256"] != latest["CodeSha256"], "no stub was published"
    eventually(lambda: EXPECTED.keys() <= ran_here(command), "each of them ran here")


def ran_here(command: Command) -> set[str]:
    return {event["function"] for event in command.of_type("invocation")}


@pytest.mark.parametrize("words", [("cdktf",), (FORK, "attach")], ids=["cdktf", "fork and Aspect"])
def test_every_function_of_a_program_is_live_with_no_setting(
    programs: Programs, words: tuple[str, ...]
) -> None:
    programs.use(*words)
    with programs.start() as command:
        require_live(programs, command)


def test_a_restore_brings_everything_back(programs: Programs) -> None:
    command = programs.run("restore")

    assert command.process.returncode == 0, command.story()
    client = programs.project.client("lambda")
    for name in EXPECTED:
        configuration = client.get_function_configuration(FunctionName=name)
        assert configuration["Description"] == ""
    for name in ("kinds-passed", "kinds-wrapped", "kinds-file:live"):
        assert programs.invoke(name)["where"] == EXPECTED[name.partition(":")[0]][0]
    for name in ALIASES:
        assert client.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "1"
    code = client.get_function(FunctionName="kinds-right")["Code"]
    assert code["ImageUri"].endswith("/acme/picture:1")


def test_a_plan_after_a_restore_has_the_functions_and_nothing_else(programs: Programs) -> None:
    command = programs.run("plan")

    assert command.process.returncode == 0, command.story()
    (plan,) = command.of_type("plan")
    assert plan["other_changes"] == []
    assert plan["refused"] == {}
    assert {item["found_by"] for item in plan["functions"]} == {by for _, by in EXPECTED.values()}
    assert plan["changes"] == len(EXPECTED) + len(ALIASES)


def test_destroy_with_app_leaves_nothing(programs: Programs) -> None:
    command = programs.run("destroy", "--app")

    assert command.process.returncode == 0, command.story()
    assert left(programs.project) == {}
