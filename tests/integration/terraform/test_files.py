"""Files that terralive reads from and writes to a project's folder; no network."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import websocket

from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_terraform import artifacts
from terralive_terraform.artifacts import (
    StubCoordinates,
    build_broker_zip,
    build_stub_zip,
    zip_folder,
)
from terralive_terraform.discovery.files import module_calls, modules_of
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.overrides.team_folder import override_file, stage_lock_file
from terralive_terraform.programs.cdktf_app import CdktfApp
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.fingerprint import init_fingerprint
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.plain_app import PlainApp, tidy
from terralive_terraform.substitution.rules import LiveSettings

SECRET = bytes(range(32))
COORDINATES = StubCoordinates("wss://example.org/stub", "orders", 'dev-"ana"', SECRET)
LIVE = LiveSettings(Path("/stage/stub.zip"), "aGFzaA==")
# With a state of terralive's own, Terraform notes its backend first.
MACHINE = {"PATH": os.environ["PATH"]}
MAIN = """
resource "aws_lambda_function" "api" {
  function_name = "api"
  role          = aws_iam_role.x.arn
  handler       = "app.handler"
  runtime       = "python3.12"
  filename      = data.archive_file.code.output_path
  timeout       = 20
  lifecycle { ignore_changes = [tags] }
}
data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/src"
  output_path = "code.zip"
}
module "jobs" { source = "./jobs" }
"""
JOBS = """
resource "aws_lambda_function" "job" {
  for_each      = toset(["a", "b"])
  function_name = "job-${each.key}"
  role          = var.role
  handler       = "app.handler"
  runtime       = "python3.12"
  s3_bucket     = "b"
  s3_key        = "k"
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "jobs").mkdir(parents=True)
    (folder / "main.tf").write_text(MAIN)
    (folder / "jobs" / "main.tf").write_text(JOBS)
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_stubs_zip_is_the_same_every_time_and_carries_its_coordinates(tmp_path: Path) -> None:
    first, second = (build_stub_zip(COORDINATES, tmp_path / name) for name in ("a", "b"))
    assert first.sha256_base64 == second.sha256_base64
    assert first.path.read_bytes() == second.path.read_bytes()
    with zipfile.ZipFile(first.path) as archive:
        names = archive.namelist()
        settings: dict[str, str] = {}
        exec(archive.read("terralive_settings.py"), settings)  # noqa: S102  # what Lambda would import
    assert settings["URL"] == COORDINATES.url
    assert settings["STAGE"] == COORDINATES.stage
    assert bytes.fromhex(settings["SECRET"]) == SECRET
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert {"terralive_stub/live.py", "websocket/_app.py", "websocket/LICENSE"} <= set(names)
    assert names == sorted(names)
    assert not any("broker" in name or "__pycache__" in name or "/tests/" in name for name in names)
    shared = {name for name in names if name.startswith("terralive_stub/shared/")}
    assert shared == {
        "terralive_stub/shared/__init__.py",
        "terralive_stub/shared/endpoints.py",
        "terralive_stub/shared/json_documents.py",
        "terralive_stub/shared/sigv4.py",
        "terralive_stub/shared/trust_store.py",
    }


def test_two_installations_build_the_same_stub_whatever_websocket_client_they_have(
    tmp_path: Path,
) -> None:
    other = tmp_path / "site-packages" / "websocket"
    shutil.copytree(Path(websocket.__file__).parent, other)
    with (other / "__init__.py").open("a", encoding="utf-8") as init:
        init.write("__version__ = '99.0'\n")
    program = f"""
import sys
from pathlib import Path
import websocket
from terralive_terraform.artifacts import StubCoordinates, build_stub_zip
assert websocket.__version__ == "99.0"
coordinates = StubCoordinates(**{asdict(COORDINATES)!r})
print(build_stub_zip(coordinates, Path({str(tmp_path)!r})).sha256_base64)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(other.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == build_stub_zip(COORDINATES, tmp_path / "here").sha256_base64


def test_a_websocket_client_that_was_changed_is_in_no_stub() -> None:
    wheel = artifacts._WEBSOCKET_WHEEL.read_bytes()
    assert "websocket/LICENSE" in artifacts._websocket_client(wheel)
    with pytest.raises(TerraliveError) as caught:
        artifacts._websocket_client(wheel + b"x")
    assert caught.value.reference == "installation-incomplete"


def test_another_stage_is_another_stub(tmp_path: Path) -> None:
    other = replace(COORDINATES, stage="dev-ben")
    assert (
        build_stub_zip(COORDINATES, tmp_path).sha256_base64
        != build_stub_zip(other, tmp_path).sha256_base64
    )


def test_the_secret_shows_in_no_text_about_the_stub() -> None:
    for text in (repr(COORDINATES), str(COORDINATES), f"{COORDINATES}"):
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text


def test_the_brokers_zip_holds_the_broker(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_broker_zip(tmp_path).path) as archive:
        assert "terralive_stub/broker/lambda_function.py" in archive.namelist()


def test_a_functions_code_folder_is_zipped_whole_whenever_it_was_written(tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "templates").mkdir(parents=True)
    (code / "templates" / "a.html").write_text("a")
    (code / "app.py").write_text("b")
    first = zip_folder(code, tmp_path / "1.zip")
    os.utime(code / "app.py", (1, 1))
    assert zip_folder(code, tmp_path / "2.zip").sha256_base64 == first.sha256_base64
    with zipfile.ZipFile(first.path) as archive:
        assert archive.namelist() == ["app.py", "templates/a.html"]


def test_functions_are_found_in_plain_terraform_with_their_code(project: Path) -> None:
    modules = modules_of(module_calls(project, project / ".terraform"))
    facts = {item.address: item for module in modules for item in module.functions}
    assert set(facts) == {"aws_lambda_function.api", "module.jobs.aws_lambda_function.job"}
    api, job = facts["aws_lambda_function.api"], facts["module.jobs.aws_lambda_function.job"]
    assert (api.handler, api.runtime, api.timeout, api.path) == (
        "app.handler",
        "python3.12",
        20,
        project / "src",
    )
    assert (job.package_type, job.repeated, job.function_name) == ("Zip", "for_each", None)


def test_what_exists_several_times_is_known_also_inside_a_module_that_does(project: Path) -> None:
    (project / "main.tf").write_text(
        'module "a" {\n  source = "./one"\n  count = 2\n}\nmodule "b" {\n  source = "./one"\n}\n'
    )
    (project / "one").mkdir()
    (project / "one" / "main.tf").write_text(
        'resource "aws_lambda_function" "x" {}\nmodule "c" { source = "../two" }\n'
    )
    (project / "two").mkdir()
    (project / "two" / "main.tf").write_text('resource "aws_lambda_function" "y" {}\n')
    found = [
        facts
        for module in modules_of(module_calls(project, project / ".terraform"))
        for facts in module.functions
    ]
    assert {facts.address: facts.instanced for facts in found} == {
        "module.a.aws_lambda_function.x": True,
        "module.a.module.c.aws_lambda_function.y": True,
        "module.b.aws_lambda_function.x": False,
        "module.b.module.c.aws_lambda_function.y": False,
    }


def manifest(data_dir: Path) -> Path:
    """Write the manifest that `terraform init` would have written."""
    folders = {"": ".", "jobs": "jobs", "a": "jobs", "b": "jobs"}
    modules = [{"Key": key, "Source": "", "Dir": folder} for key, folder in folders.items()]
    (data_dir / "modules").mkdir(parents=True, exist_ok=True)
    (data_dir / "modules" / "modules.json").write_text(json.dumps({"Modules": modules}))
    return data_dir


def override(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / OVERRIDE_FILE).read_text())
    return document


def test_override_files_exist_only_while_terraform_reads_the_configuration(
    project: Path, tmp_path: Path
) -> None:
    state = tmp_path / "elsewhere.tfstate"
    (project / ".terraform.lock.hcl").write_text("# the team's")
    before = snapshot(project)
    data_dir = manifest(tmp_path / "data")
    with find_app(project).prepared(LIVE, tmp_path / "work", MACHINE, state) as prepared:
        assert snapshot(project) == before
        with prepared.files.during_init():
            root = override(project)
            assert root == {
                "terraform": {"backend": {"local": root["terraform"]["backend"]["local"]}}
            }
            assert not (project / ".terraform.lock.hcl").exists()
        assert snapshot(project) == before
        with prepared.files.during_plan(data_dir) as view:
            root = override(project)
            manifest_of_copies = json.loads((view.data_dir / "modules/modules.json").read_text())
            folders = {item["Key"]: item["Dir"] for item in manifest_of_copies["Modules"]}
            jobs = override(Path(folders["jobs"]))
            assert (project / ".terraform.lock.hcl").read_text() == "# the team's"
            assert not (project / "jobs" / OVERRIDE_FILE).exists(), "others use that folder, too"
        assert snapshot(project) == before
    assert folders[""] == "."
    assert root["terraform"]["backend"]["local"]["path"] == str(state)
    # Terraform runs in the root module's folder, also for what is in modules.
    seen = os.path.relpath("/stage/stub.zip", project)
    assert root["resource"]["aws_lambda_function"]["api"]["filename"] == seen
    assert jobs["resource"]["aws_lambda_function"]["job"]["filename"] == seen
    assert jobs["resource"]["aws_lambda_function"]["job"]["s3_key"] is None
    assert "terraform" not in jobs
    assert [facts.label for facts in prepared.functions] == ["api", "job"]
    assert snapshot(project) == before


def test_an_init_of_the_teams_own_state_adds_no_file(project: Path, tmp_path: Path) -> None:
    before = snapshot(project)
    with find_app(project).prepared(LIVE, tmp_path / "work", {}) as prepared:
        with prepared.files.during_init():
            assert snapshot(project) == before
        assert prepared.files.variables(tmp_path / "data") == {}


def test_the_teams_lock_file_is_the_same_file_after_an_init(project: Path, tmp_path: Path) -> None:
    lock = project / ".terraform.lock.hcl"
    lock.write_text("# the team's")
    lock.chmod(0o644)
    before = lock.stat()
    state = tmp_path / "elsewhere.tfstate"
    with find_app(project).prepared(LIVE, tmp_path / "work", MACHINE, state) as prepared:
        with prepared.files.during_init():
            lock.write_text("# the stage's")
        after = lock.stat()
        with prepared.files.during_init():
            assert lock.read_text() == "# the stage's"
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


STAGES_LOCK = """
provider "registry.terraform.io/hashicorp/aws" {
  version     = "5.100.0"
  constraints = "~> 5.0"
  hashes = ["h1:x"]
}

provider "registry.terraform.io/hashicorp/random" {
  version = "3.7.2"
}
"""


def test_a_state_of_terralives_own_uses_the_providers_of_the_stages_own_lock_file(
    project: Path, tmp_path: Path
) -> None:
    lock, data_dir = project / ".terraform.lock.hcl", tmp_path / "data"
    lock.write_text("# the team's")
    providers = data_dir / "providers" / "registry.terraform.io" / "hashicorp"
    for version in ("aws/5.90.0", "aws/5.100.0", "random/3.7.2"):
        (providers / version / "linux_amd64").mkdir(parents=True)
    users = tmp_path / "users.tfrc"
    users.write_text(
        'provider_installation {\n  dev_overrides {\n    "acme/x" = "/home/ana/x"\n  }\n}\n'
    )
    environment = {**MACHINE, "TF_CLI_CONFIG_FILE": str(users)}
    state = tmp_path / "elsewhere.tfstate"
    with find_app(project).prepared(LIVE, tmp_path / "work", environment, state) as prepared:
        assert prepared.files.variables(data_dir) == {}, "nothing is installed yet"
        with prepared.files.during_init():
            lock.write_text(STAGES_LOCK)
        variables = prepared.files.variables(data_dir)
    assert Path(variables["TF_CLI_CONFIG_FILE"]).read_text().split() == [
        *("provider_installation", "{", "dev_overrides", "{"),
        *('"registry.terraform.io/hashicorp/aws"', "="),
        f'"{providers}/aws/5.100.0/linux_amd64"',
        *('"registry.terraform.io/hashicorp/random"', "="),
        f'"{providers}/random/3.7.2/linux_amd64"',
        *('"registry.terraform.io/acme/x"', "=", '"/home/ana/x"', "}", "direct", "{}", "}"),
    ]


def test_one_call_of_a_module_becomes_live_and_the_other_stays_as_it_is(
    project: Path, tmp_path: Path
) -> None:
    (project / "main.tf").write_text(
        'module "a" { source = "./jobs" }\nmodule "b" { source = "./jobs" }\n'
    )
    data_dir = manifest(tmp_path / "data")
    live = replace(LIVE, exclude=("module.b.*",))
    with (
        find_app(project).prepared(live, tmp_path / "work", {}) as prepared,
        prepared.files.during_plan(data_dir) as view,
    ):
        assert [facts.address for facts in prepared.functions] == [
            "module.a.aws_lambda_function.job"
        ]
        modules = json.loads((view.data_dir / "modules" / "modules.json").read_text())["Modules"]
        folders = {item["Key"]: item["Dir"] for item in modules}
        assert override(Path(folders["a"]))
        assert folders["b"] == "jobs"
        assert view.original(f"{folders['a']}/main.tf:3") == "jobs/main.tf:3"
        assert not (project / OVERRIDE_FILE).exists()


@pytest.mark.parametrize(
    "more",
    [
        'resource "aws_iam_role" "x" {\n  inline_policy { name = "a" }\n}',
        (
            'resource "aws_iam_role" "x" {\n'
            '  dynamic "inline_policy" {\n    for_each = []\n    content {}\n  }\n}'
        ),
        (
            'resource "aws_iam_role_policies_exclusive" "x" {\n'
            "  role_name = aws_iam_role.x.name\n  policy_names = []\n}"
        ),
    ],
)
def test_a_role_that_takes_no_further_policy_is_no_hindrance(
    project: Path, tmp_path: Path, more: str
) -> None:
    (project / "iam.tf").write_text(more)
    before = set(snapshot(project))
    data_dir = manifest(tmp_path / "data")
    with (
        find_app(project).prepared(LIVE, tmp_path / "work", {}) as prepared,
        prepared.files.during_plan(data_dir),
    ):
        assert [facts.label for facts in prepared.functions] == ["api", "job"]
        assert prepared.refused == ()
        assert set(snapshot(project)) - before == {OVERRIDE_FILE}


def test_an_error_in_between_leaves_nothing_behind(project: Path, tmp_path: Path) -> None:
    before = snapshot(project)
    data_dir = manifest(tmp_path / "data")
    with (
        pytest.raises(KeyboardInterrupt),
        find_app(project).prepared(
            LIVE, tmp_path / "work", MACHINE, tmp_path / "state"
        ) as prepared,
        prepared.files.during_plan(data_dir),
    ):
        raise KeyboardInterrupt
    assert snapshot(project) == before


def test_what_a_killed_run_left_is_gone_with_the_next_one(project: Path, tmp_path: Path) -> None:
    before = left_by_a_killed_run(project)
    with find_app(project).prepared(None, tmp_path / "work", {}):
        assert snapshot(project) == before
    assert snapshot(project) == before


def test_what_a_killed_run_left_is_gone_with_any_command_but_not_under_one_that_runs(
    project: Path, tmp_path: Path
) -> None:
    before = left_by_a_killed_run(project)
    tidy(project)
    assert snapshot(project) == before
    data_dir = manifest(tmp_path / "data")
    with (
        find_app(project).prepared(LIVE, tmp_path / "work", {}) as prepared,
        prepared.files.during_plan(data_dir),
    ):
        tidy(project)
        assert (project / OVERRIDE_FILE).exists()


def left_by_a_killed_run(project: Path) -> dict[str, bytes]:
    (project / ".terraform.lock.hcl").write_text("# the team's")
    before = snapshot(project)
    (project / ".terraform.lock.hcl.terralive").write_text("# the team's")
    (project / ".terraform.lock.hcl").write_text("# the stage's")
    (project / OVERRIDE_FILE).write_text("{}")
    (project / f".{OVERRIDE_FILE}-half").write_text("{")
    return before


def test_a_folder_that_nobody_can_write_to_is_named(tmp_path: Path) -> None:
    for added in (
        override_file(Path("/proc"), {"resource": {}}),
        stage_lock_file(Path("/proc"), tmp_path / "own.lock.hcl"),
    ):
        with pytest.raises(ConfigurationError, match="/proc") as caught, added:
            pass
        assert caught.value.reference == "folder-not-writable"


def test_two_runs_in_one_folder_do_not_mix(project: Path, tmp_path: Path) -> None:
    app = find_app(project)
    with (  # noqa: SIM117
        app.prepared(LIVE, tmp_path / "a", {}),
        pytest.raises(ConfigurationError, match="Another terralive"),
    ):
        with app.prepared(LIVE, tmp_path / "b", {}):
            pass


def test_a_project_says_by_its_files_what_it_is(project: Path, tmp_path: Path) -> None:
    assert isinstance(find_app(project), PlainApp)
    assert isinstance(find_app(tmp_path, terraform_dir=Path("project")), PlainApp)
    assert isinstance(find_app(tmp_path, command="python main.py"), CdktfApp)
    (tmp_path / "cdktf.json").write_text('{"app": "python main.py"}')
    assert isinstance(find_app(tmp_path), CdktfApp)
    with pytest.raises(ConfigurationError, match="neither a cdktf"):
        find_app(tmp_path / "project" / "nothing")


def test_unreadable_terraform_is_named_and_costs_only_its_block(project: Path) -> None:
    broken = MAIN.replace('handler       = "app.handler"', "handler       = = {{{")
    (project / "main.tf").write_text(broken)
    root, jobs = modules_of(module_calls(project, project / ".terraform"))
    (unreadable,) = root.unreadable
    assert (unreadable.file, unreadable.line) == (project / "main.tf", 5)
    assert unreadable.block == 'resource "aws_lambda_function" "api"'
    assert unreadable.may_hide_functions
    assert root.functions == ()
    assert [item.address for item in jobs.functions] == ["module.jobs.aws_lambda_function.job"]


def test_an_init_is_due_when_what_it_depends_on_changes(tmp_path: Path) -> None:
    file = tmp_path / "cdk.tf.json"
    document: dict[str, dict[str, object]] = {
        "terraform": {"backend": {"local": {"path": "a"}}},
        "resource": {"aws_x": {}},
    }
    file.write_text(json.dumps(document))
    first = init_fingerprint(tmp_path)
    document["resource"]["aws_x"] = {"y": {"z": 1}}
    file.write_text(json.dumps(document))
    assert init_fingerprint(tmp_path) == first
    document["terraform"] = {"backend": {"local": {"path": "b"}}}
    file.write_text(json.dumps(document))
    assert init_fingerprint(tmp_path) != first


NEEDS = """
terraform {
  required_providers { aws = { source = "hashicorp/aws", version = "~> 5.0" } }
  backend "local" { path = "a" }
}
provider "aws" { region = "eu-west-1" }
module "jobs" {
  source = "./jobs"
  size   = 1
}
resource "aws_sqs_queue" "q" { name = "q" }
variable "a" { default = 1 }
output "b" { value = 1 }
"""


@pytest.mark.parametrize(
    ("before", "after", "needs"),
    [
        ('name = "q"', 'name = "other"', False),
        ('"aws_sqs_queue" "q"', '"aws_sqs_queue" "more"', False),
        ("size   = 1", "size   = 2", False),
        ("default = 1", "default = 2", False),
        ("value = 1", "value = 2", False),
        ("# comment", "", False),
        ('"eu-west-1"', "var.a", False),
        ("~> 5.0", "~> 6.0", True),
        ('path = "a"', 'path = "b"', True),
        ("./jobs", "./other", True),
        ('"aws_sqs_queue"', '"google_pubsub_topic"', True),
        ('name = "q"', "provider = google-beta.eu", True),
        ('output "b"', 'data "http" "b"', True),
        ('output "b" {', 'module "b" { source = "./b" }\noutput "b" {', True),
        ('region = "eu-west-1"', 'version = "5.1"', True),
        ('name = "q" }', "name = ", True),  # who knows
    ],
)
def test_only_what_an_init_installs_is_a_reason_for_one(
    tmp_path: Path, before: str, after: str, needs: bool
) -> None:
    file = tmp_path / "main.tf"
    text = f"# comment\n{NEEDS}"
    assert before in text
    file.write_text(text)
    first = init_fingerprint(tmp_path)
    file.write_text(text.replace(before, after, 1))
    assert (init_fingerprint(tmp_path) != first) is needs


def test_a_variable_that_a_source_is_computed_of_is_a_reason_for_an_init(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('module "jobs" { source = "./${var.a}" }\n')
    variables = tmp_path / "variables.tf"
    variables.write_text('variable "a" { default = "x" }\n')
    first = init_fingerprint(tmp_path)
    variables.write_text('variable "a" { default = "y" }\n')
    assert init_fingerprint(tmp_path) != first


def mirror_at(folder: Path) -> Path:
    plugin = folder / "registry.terraform.io" / "hashicorp" / "aws" / "5.100.0" / "linux_amd64"
    plugin.mkdir(parents=True)
    (plugin / "terraform-provider-aws_v5.100.0_x5").touch()
    return folder


def test_without_a_named_mirror_terraforms_own_installation_methods_stay(tmp_path: Path) -> None:
    environment = terraform_environment(
        {"HOME": str(tmp_path), "TF_CLI_CONFIG_FILE": str(tmp_path / "missing")}, tmp_path / "work"
    )
    assert "TF_CLI_CONFIG_FILE" not in environment
    assert environment["TF_IN_AUTOMATION"] == "1"
    assert Path(environment["TF_PLUGIN_CACHE_DIR"]).is_dir()


def test_a_named_mirror_is_taken_and_a_wrong_one_refused(tmp_path: Path) -> None:
    mirror = mirror_at(tmp_path / "mirror")
    named = {"HOME": str(tmp_path), "TERRALIVE_PROVIDER_MIRROR": str(mirror)}
    environment = terraform_environment(named, tmp_path / "work")
    assert f'path    = "{mirror}"' in Path(environment["TF_CLI_CONFIG_FILE"]).read_text()
    with pytest.raises(ConfigurationError, match="TERRALIVE_PROVIDER_MIRROR"):
        terraform_environment(
            {**named, "TERRALIVE_PROVIDER_MIRROR": str(tmp_path / "x")}, tmp_path / "work"
        )


def test_a_users_own_provider_installation_is_respected(tmp_path: Path) -> None:
    own = tmp_path / "own.tfrc"
    own.write_text("provider_installation {\n  direct {}\n}\n")
    environment = terraform_environment(
        {"HOME": str(tmp_path), "TF_CLI_CONFIG_FILE": str(own)},
        tmp_path / "work",
    )
    assert environment["TF_CLI_CONFIG_FILE"] == str(own)


def test_commands_that_need_no_cdktf_do_not_wait_for_it() -> None:
    light = (
        "substitution.find_app",
        "artifacts",
        "debug_stack.settings",
        "runs.environment",
        "runs.node",
        "runs.runner",
        "substitution.rules",
        "debug_stack.synth",
        "runs.version",
    )
    program = "import importlib, sys\n"
    program += f"for name in {light!r}: importlib.import_module('terralive_terraform.' + name)\n"
    heavy = ("cdktf", "constructs", "jsii", "jinja2")
    program += f"print([name for name in {heavy!r} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
