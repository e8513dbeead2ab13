"""The real Terraform against moto.

What is deployed, what a second plan shows, and what an interrupt leaves.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from terralive_stub.errors import ConfigurationError, CredentialsError, TerraformError
from terralive_terraform.artifacts import StubCoordinates, build_stub_zip, zip_folder
from terralive_terraform.debug_stack.configuration import write_configuration
from terralive_terraform.debug_stack.settings import DebugStackSettings, Endpoints, ImageReaders
from terralive_terraform.image_stub import ImageStub
from terralive_terraform.output.failures import PLAN_STALE
from terralive_terraform.output.progress import Progress, ResourceProgress, ResourceState
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.runs.version import require_terraform
from terralive_terraform.substitution.app import Prepared
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.rules import LiveSettings
from terralive_testing.deployers.terraform_account import (
    actions,
    aws_environment,
    plan,
    terraform_in,
)

pytestmark = pytest.mark.timeout(300)

PLAIN = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
  backend "s3" {}
}
provider "aws" { region = "eu-west-1" }
resource "aws_iam_role" "x" {
  name               = "shared"
  path               = "/team/"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
module "jobs" {
  source = "./jobs"
  role   = aws_iam_role.x.arn
}
"""
JOBS = """
variable "role" { type = string }
resource "aws_lambda_function" "image" {
  function_name = "image"
  role          = var.role
  package_type  = "Image"
  image_uri     = "1.dkr.ecr.eu-west-1.amazonaws.com/x:1"
}
resource "aws_lambda_function" "job" {
  for_each      = toset(["a", "b"])
  function_name = "job-${each.key}"
  role          = var.role
  s3_bucket     = "b"
  s3_key        = "k"
  handler       = "app.handler"
  runtime       = "python3.12"
}
resource "aws_lambda_function" "signed" {
  function_name           = "signed"
  role                    = var.role
  s3_bucket               = "b"
  s3_key                  = "k"
  handler                 = "app.handler"
  runtime                 = "python3.12"
  code_signing_config_arn = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-01"
}
"""
IMAGES = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" { region = "eu-west-1" }
resource "aws_iam_role" "x" {
  name               = "resize"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
resource "aws_lambda_function" "resize" {
  function_name = "resize"
  role          = aws_iam_role.x.arn
  package_type  = "Image"
  image_uri     = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/resize:7"
  architectures = ["arm64"]
  dynamic "image_config" {
    for_each = [1]
    content {
      entry_point = ["/run"]
      command     = ["app.handler"]
    }
  }
}
resource "aws_lambda_function" "keyed" {
  for_each      = toset(["large", "small.$${x}"])
  function_name = "keyed-${length(each.key)}"
  role          = aws_iam_role.x.arn
  package_type  = "Image"
  image_uri     = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/thumbs:7"
}
resource "aws_lambda_function" "counted" {
  count         = 2
  function_name = "counted-${count.index}"
  role          = aws_iam_role.x.arn
  package_type  = "Image"
  image_uri     = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/thumbs:7"
}
"""
SHARED = """
variable "name" { type = string }
resource "aws_iam_role" "x" {
  name               = var.name
  description        = "in ${path.module} of ${path.root}"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
resource "aws_lambda_function" "job" {
  function_name    = var.name
  role             = aws_iam_role.x.arn
  filename         = "${path.module}/code.zip"
  source_code_hash = filebase64sha256("${path.module}/code.zip")
  handler          = "app.handler"
  runtime          = "python3.12"
}
"""
CALLS = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" { region = "eu-west-1" }
module "shared" {
  for_each = toset(["a", "b"])
  source   = "./library"
  name     = "shared-${each.key}"
}
module "staying" {
  source = "./library"
  name   = "staying"
}
module "downloaded" {
  source = "SOURCE"
  name   = "downloaded"
}
"""
# Terraform's own built-in provider: nothing to download, and an apply that lasts until it is
# interrupted.
SLOW = """
resource "terraform_data" "quick" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.quick]
  provisioner "local-exec" { command = "while [ ! -e go ]; do sleep 0.1; done" }
}
"""


COORDINATES = StubCoordinates("wss://example.org/stub", "sns-demo", "dev-ana", bytes(range(32)))


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with aws_environment(tmp_path_factory.mktemp("terraform")) as environment:
        yield environment


def live_settings(work: Path) -> LiveSettings:
    stub = build_stub_zip(COORDINATES, work / "stub")
    return LiveSettings(stub.path, stub.sha256_base64)


def terraform_of(prepared: Prepared, environment: dict[str, str]) -> Terraform:
    return prepared.terraform("terraform", environment, lambda _: None)


def test_the_debug_stack_comes_stays_as_it_is_and_goes(tmp_path: Path, aws: dict[str, str]) -> None:
    endpoints = Endpoints(
        websocket="ws://127.0.0.1:1/{api}/{stage}", management="http://127.0.0.1:1/{api}/{stage}"
    )
    settings = DebugStackSettings(
        "orders", "dev-ana", "eu-west-1", "ana", "2026-01-01", "0.1.0", endpoints
    )
    made = write_configuration(settings, tmp_path / "debug")
    names = ["backend.tf.json", "broker.zip", "cdk.tf.json", "terraform.tfvars.json"]
    assert sorted(path.name for path in made.iterdir()) == names
    written = [(made / name).stat().st_mtime_ns for name in names]
    assert write_configuration(settings, tmp_path / "debug") == made
    assert [(made / name).stat().st_mtime_ns for name in names] == written
    elsewhere = write_configuration(settings, tmp_path / "another checkout" / "debug")
    for name in names:
        assert (elsewhere / name).read_bytes() == (made / name).read_bytes()
    terraform, events = terraform_in(made, aws, tmp_path / "data")
    terraform.apply(plan(terraform, tmp_path).file)
    states = {event.state for event in events if isinstance(event, ResourceProgress)}
    assert ResourceState.DONE in states
    outputs = {name: output.value for name, output in terraform.state.outputs().items()}
    (stub_api,) = re.findall("ws://127.0.0.1:1/([a-z0-9]+)/stub", str(outputs["stub_url"]))
    (relay_api,) = re.findall("ws://127.0.0.1:1/([a-z0-9]+)/relay", str(outputs["relay_url"]))
    assert stub_api != relay_api
    (broker,) = terraform.state.functions().values()
    assert broker.name == outputs["broker_name"] == "terralive-orders-dev-ana-broker"
    assert broker.arn.endswith(":function:terralive-orders-dev-ana-broker")
    assert not terraform.state.is_empty()
    assert not plan(terraform, tmp_path).has_changes
    later = replace(settings, created="2030-12-31", log_retention_days=14)
    write_configuration(later, tmp_path / "debug")
    assert actions(plan(terraform, tmp_path)) == [
        ("update", "aws_cloudwatch_log_group.broker_logs")
    ]
    # The first function that is a container image brings a repository, and leaves all else alone.
    readers = ImageReaders(account="123456789012", others=("222222222222",))
    write_configuration(
        replace(settings, has_images=True, image_readers=readers), tmp_path / "debug"
    )
    with_images = plan(terraform, tmp_path)
    assert sorted(actions(with_images)) == [
        ("create", "aws_ecr_lifecycle_policy.images_lifecycle[0]"),
        ("create", "aws_ecr_repository.images[0]"),
        ("create", "aws_ecr_repository_policy.images_policy[0]"),
    ]
    terraform.apply(with_images.file)
    repository = str(terraform.state.outputs()["image_repository"].value)
    assert repository.endswith("/terralive-orders-dev-ana/terralive-stub")
    assert not plan(terraform, tmp_path).has_changes
    terraform.apply(plan(terraform, tmp_path, destroy=True).file)
    assert terraform.state.is_empty()
    assert not list((tmp_path / "plans").glob("*.tfplan"))


def test_plain_terraform_is_made_live_inside_modules_and_left_as_it_was(
    tmp_path: Path, aws: dict[str, str]
) -> None:
    project = tmp_path / "project"
    (project / "jobs").mkdir(parents=True)
    (project / "main.tf").write_text(PLAIN)
    (project / "jobs" / "main.tf").write_text(JOBS)
    before = sorted(project.rglob("*"))
    live = live_settings(tmp_path)
    app = find_app(project)
    with app.prepared(live, tmp_path / "work", aws, tmp_path / "app.tfstate") as prepared:
        refused = [item.address.rpartition(".")[2] for item in prepared.refused]
        assert refused == ["image", "signed"]
        terraform = terraform_of(prepared, aws)
        terraform.ensure_init()
        made = actions(terraform.plan(tmp_path / "plans" / "p"))
    addresses = [address for _, address in made]
    assert 'module.jobs.aws_lambda_function.job["a"]' in addresses
    assert not any("aws_iam_role_policy" in address for address in addresses)
    assert sorted(project.rglob("*")) == before


def test_a_module_becomes_live_in_one_of_its_calls_and_nothing_else_of_it_changes(
    tmp_path: Path, aws: dict[str, str]
) -> None:
    """Also a downloaded one, which nobody may write to, with paths that are relative to it."""
    project, source = tmp_path / "project", tmp_path / "library"
    source.mkdir()
    (source / "main.tf").write_text(SHARED)
    zip_folder(source, source / "code.zip")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *command], cwd=source, check=True)
    (project / "library").mkdir(parents=True)
    for name in ("main.tf", "code.zip"):
        shutil.copy(source / name, project / "library" / name)
    (project / "main.tf").write_text(CALLS.replace("SOURCE", f"git::file://{source}"))
    users = {**aws, "TF_DATA_DIR": ".tf"}
    app, live = find_app(project), live_settings(tmp_path)
    exclude = ("module.staying.*",)

    with app.prepared(None, tmp_path / "work", users) as prepared:
        terraform = terraform_of(prepared, users)
        terraform.apply(plan(terraform, tmp_path).file)
    for folder in (project / ".tf" / "modules").rglob("*"):
        if folder.is_dir():
            folder.chmod(0o555)
    before = sorted(project.rglob("*"))
    with app.prepared(replace(live, exclude=exclude), tmp_path / "work", users) as prepared:
        terraform = terraform_of(prepared, users)
        made = plan(terraform, tmp_path)
        changed = [address for action, address in actions(made) if action == "update"]
        assert changed == [
            "module.downloaded.aws_lambda_function.job",
            'module.shared["a"].aws_lambda_function.job',
            'module.shared["b"].aws_lambda_function.job',
        ]
        assert sorted(project.rglob("*")) == before
        terraform.apply(made.file)
        assert not plan(terraform, tmp_path).has_changes
    with app.prepared(None, tmp_path / "work", users) as prepared:
        terraform = terraform_of(prepared, users)
        assert [
            address for action, address in actions(plan(terraform, tmp_path)) if action == "update"
        ] == changed
    for folder in (project / ".tf" / "modules").rglob("*"):
        if folder.is_dir():
            folder.chmod(0o755)


def test_images_give_their_place_to_the_stubs_image_and_get_it_back_without_being_replaced(
    tmp_path: Path, aws: dict[str, str]
) -> None:
    """Each instance gets a key of its own."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.tf").write_text(IMAGES)
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    prefix = "arn:aws:lambda:eu-west-1:123456789012:function:"
    app, work, state = find_app(project), tmp_path / "work", tmp_path / "app.tfstate"
    client = boto3.Session(
        aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"], region_name="eu-west-1"
    ).client("lambda", endpoint_url=aws["AWS_ENDPOINT_URL"])

    def deployed(name: str) -> tuple[str, dict[str, object]]:
        found = client.get_function(FunctionName=name)
        config = found["Configuration"].get("ImageConfigResponse", {}).get("ImageConfig", {})
        return found["Code"]["ImageUri"], {name: value for name, value in config.items() if value}

    with app.prepared(None, work, aws, state) as prepared:
        terraform = terraform_of(prepared, aws)
        terraform.apply(plan(terraform, tmp_path).file)
        functions = terraform.state.functions()
    assert len(functions) == 5
    # The ARN of one of them is made of its name.
    arns = {at: function.arn for at, function in functions.items() if function.name != "resize"}
    images = {"arm64": f"{registry}/terralive-stub:v2", "x86_64": f"{registry}/terralive-stub:v2-x"}
    stub = ImageStub(images, COORDINATES, prefix, arns)
    live = replace(live_settings(tmp_path), image_stub=stub)
    with app.prepared(live, work, aws, state) as prepared:
        assert prepared.refused == ()
        terraform = terraform_of(prepared, aws)
        made = plan(terraform, tmp_path)
        assert set(actions(made)) == {("update", address) for address in functions}
        terraform.apply(made.file)
        for function in functions.values():
            command = COORDINATES.image_command(COORDINATES.image_key(function.arn))
            tag = "v2" if function.name == "resize" else "v2-x"
            image = f"{registry}/terralive-stub:{tag}"
            assert deployed(function.name) == (image, {"Command": list(command)})
        assert not plan(terraform, tmp_path).has_changes
    with app.prepared(None, work, aws, state) as prepared:
        terraform = terraform_of(prepared, aws)
        restoring = plan(terraform, tmp_path)
        assert {("update", address) for address in functions} <= set(actions(restoring))
        terraform.apply(restoring.file)
        for function in functions.values():
            own: tuple[str, dict[str, object]] = (f"{registry}/thumbs:7", {})
            if function.name == "resize":
                own = (
                    f"{registry}/resize:7",
                    {"EntryPoint": ["/run"], "Command": ["app.handler"]},
                )
            assert deployed(function.name) == own
        assert not plan(terraform, tmp_path).has_changes
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("app.tfstate*")}
    assert modes == {"app.tfstate": 0o600, "app.tfstate.backup": 0o600}


def test_ctrl_c_waits_until_terraform_has_written_its_state(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(SLOW)

    def interrupt_the_slow_one(event: Progress) -> None:
        if event == ResourceProgress("terraform_data.slow", "create", ResourceState.STARTED):
            os.kill(os.getpid(), signal.SIGINT)

    environment = terraform_environment(os.environ, tmp_path / "work")
    terraform = Terraform(
        tmp_path,
        environment=environment,
        on_progress=interrupt_the_slow_one,
        data_dir=tmp_path / "data",
    )
    planned = plan(terraform, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        terraform.apply(planned.file)
    assert not list(tmp_path.glob(".terraform.tfstate.lock.info"))
    assert not planned.file.exists()
    assert not list((tmp_path / "data").rglob("output-*"))
    assert "quick" in (tmp_path / "terraform.tfstate").read_text()
    (tmp_path / "go").touch()
    terraform, _ = terraform_in(tmp_path, environment, tmp_path / "data")
    terraform.apply(plan(terraform, tmp_path).file)
    assert not plan(terraform, tmp_path).has_changes


def test_terraform_outlives_a_terralive_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(SLOW)
    program = f"""
import os, sys
from pathlib import Path
from terralive_terraform.output.progress import ResourceProgress, ResourceState
from terralive_terraform.runs.runner import Terraform
here = Path({str(tmp_path)!r})
def on_progress(event):
    if event == ResourceProgress("terraform_data.slow", "create", ResourceState.STARTED):
        os.kill(os.getpid(), 9)
terraform = Terraform(here, environment=os.environ, on_progress=on_progress, data_dir=here / "data")
terraform.ensure_init()
terraform.apply(terraform.plan(here / "plans" / "p").file)
"""
    environment = terraform_environment(os.environ, tmp_path / "work")
    ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    (tmp_path / "go").touch()
    terraform, _ = terraform_in(tmp_path, environment, tmp_path / "data")
    assert not plan(
        terraform, tmp_path
    ).has_changes  # waits for the orphan's lock; it has finished its work


def test_what_terraform_tells_beside_its_answer_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('output "a" { value = 1 }\n')
    environment = {**terraform_environment(os.environ, tmp_path / "work"), "TF_LOG": "info"}
    (tmp_path / ".terraform").mkdir(mode=0o755)
    terraform, _ = terraform_in(tmp_path, environment, None)
    terraform.apply(plan(terraform, tmp_path).file)
    assert terraform.state.outputs()["a"].value == 1
    assert terraform.state.is_empty()
    assert (tmp_path / ".terraform").stat().st_mode & 0o777 == 0o755


def test_what_terraform_says_is_what_the_user_reads(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('resource "terraform_data" "a" { inptu = 1 }\n')
    environment = terraform_environment(os.environ, tmp_path / "work")
    terraform, _ = terraform_in(tmp_path, environment, tmp_path / "data")
    with pytest.raises(TerraformError, match=r"Unsupported argument .*at main\.tf:1") as caught:
        plan(terraform, tmp_path)
    assert caught.value.exit_code == 3
    assert list((tmp_path / "plans").iterdir()) == []


def test_a_plan_is_stale_once_another_run_has_changed_the_state(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('resource "terraform_data" "a" {}\n')
    environment = terraform_environment(os.environ, tmp_path / "work")
    terraform, _ = terraform_in(tmp_path, environment, tmp_path / "data")
    file = plan(terraform, tmp_path).file
    stale = file.rename(tmp_path / "stale.tfplan")
    terraform.apply(plan(terraform, tmp_path).file)
    with pytest.raises(TerraformError, match="Saved plan is stale") as caught:
        terraform.apply(stale)
    assert caught.value.reference == PLAN_STALE


def test_an_endpoint_that_does_not_answer_is_no_fault_of_the_configuration(
    tmp_path: Path, aws: dict[str, str]
) -> None:
    (tmp_path / "main.tf").write_text(
        'provider "aws" { max_retries = 1 }\nresource "aws_sns_topic" "t" {}\n'
    )
    environment = {**aws, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    terraform, _ = terraform_in(tmp_path, environment, tmp_path / "data")
    with pytest.raises(CredentialsError):
        plan(terraform, tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        'terraform {\n required_providers {\n x = { source = "registry.acme.test/acme/x" }\n }\n}',
        'module "x" {\n source = "acme/x/aws"\n}',
        'module "x" {\n source = "https://acme.test/modules/orders-service/archive.zip"\n}',
        'module "x" {\n source = "git::https://acme.test/modules/orders-service.git"\n}',
    ],
    ids=["provider", "module of a registry", "module at a URL", "module in Git"],
)
def test_a_registry_that_does_not_answer_is_terraforms_failure_and_not_awss(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "main.tf").write_text(source)
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "TF_REGISTRY_DISCOVERY_RETRY": "0"}
    environment = {**terraform_environment(os.environ, tmp_path / "work"), **nowhere}
    terraform = Terraform(tmp_path, environment=environment, on_progress=lambda _: None)
    with pytest.raises(TerraformError) as caught:
        terraform.ensure_init()
    assert caught.value.reference == "registry-unreachable"
    assert caught.value.exit_code == 3


def test_the_terraform_that_will_run_is_known() -> None:
    numbers = require_terraform("terraform", os.environ).partition("-")[0].split(".")
    assert tuple(map(int, numbers)) >= (1, 5, 0)


def test_a_missing_terraform_says_how_to_get_one() -> None:
    with pytest.raises(ConfigurationError, match=r"needs Terraform 1\.5") as caught:
        require_terraform("no-such-terraform", os.environ)
    assert "https://developer.hashicorp.com/terraform/install" in caught.value.hint
