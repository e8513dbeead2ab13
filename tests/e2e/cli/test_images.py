"""A repository of functions that are container images, with no setting of terralive's.

One app in the sandbox, which runs images of terralive's stub only. In order: planned, live,
restored, destroyed. Nothing of it is deployed before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from textwrap import dedent

import pytest

from terralive_testing.drivers.command import Event
from terralive_testing.drivers.plain_app import left
from terralive_testing.drivers.project import InSandbox

pytestmark = pytest.mark.timeout(600)

MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

resource "aws_iam_role" "functions" {
  name = "images"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

# A repository and a function for each folder.
resource "aws_ecr_repository" "service" {
  for_each = toset(["mail", "resize"])
  name     = "acme/${each.key}"
}

resource "aws_lambda_function" "service" {
  for_each      = toset(["mail", "resize"])
  function_name = "images-${each.key}"
  role          = aws_iam_role.functions.arn
  package_type  = "Image"
  image_uri     = "${aws_ecr_repository.service[each.key].repository_url}:1"
  timeout       = 30

  environment {
    variables = { KIND = each.key }
  }
}

# One image for several functions, in the style of a registry's module.
resource "aws_ecr_repository" "jobs" {
  name = "acme/workers"
}

resource "terraform_data" "jobs" {
  provisioner "local-exec" {
    command = <<-EOT
      if false; then
        docker build -t ${aws_ecr_repository.jobs.repository_url}:1 -f docker/jobs.Dockerfile .
      fi
    EOT
  }
}

module "nightly" {
  source  = "./modules/function"
  name    = "nightly"
  role    = aws_iam_role.functions.arn
  image   = "${aws_ecr_repository.jobs.repository_url}:1"
  command = ["jobs.nightly"]
  publish = true
}

module "hourly" {
  source = "./modules/function"
  name   = "hourly"
  role   = aws_iam_role.functions.arn
  image  = "${aws_ecr_repository.jobs.repository_url}:1"
}

# Instances of a module, also in a module, with a name that only the module knows.
module "shift" {
  source     = "./modules/shifts"
  for_each   = toset(["early", "late"])
  name       = each.key
  role       = aws_iam_role.functions.arn
  repository = aws_ecr_repository.jobs.repository_url
}

# A program that its image builds.
resource "aws_lambda_function" "program" {
  function_name = "images-program"
  role          = aws_iam_role.functions.arn
  package_type  = "Image"
  image_uri     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/program:1"
}
"""

MODULE = """
variable "name" {}
variable "role" {}
variable "image" {}
variable "publish" { default = false }
variable "package_type" { default = "Image" }
variable "architectures" { default = null }
variable "handler" { default = null }
variable "runtime" { default = null }
variable "command" {
  type    = list(string)
  default = []
}

resource "aws_lambda_function" "this" {
  count = 1
  function_name = join("-", [
    "images", # not those of "others"
    replace(basename(path.module), "function", var.name),
  ])
  role          = var.role
  publish       = var.publish
  package_type  = var.package_type
  image_uri     = var.image
  architectures = var.architectures
  handler       = var.package_type == "Image" ? null : var.handler
  runtime       = var.package_type == "Image" ? null : var.runtime
  timeout       = 30

  environment {
    variables = { KIND = var.name }
  }

  dynamic "image_config" {
    for_each = length(var.command) > 0 ? [true] : []
    content {
      command = var.command
    }
  }
}

resource "aws_lambda_alias" "live" {
  count            = var.publish ? 1 : 0
  name             = "live"
  function_name    = aws_lambda_function.this[0].function_name
  function_version = aws_lambda_function.this[0].version
}
"""

SHIFTS = """
variable "name" {}
variable "role" {}
variable "repository" {}

module "job" {
  source  = "../function"
  count   = 2
  name    = "${var.name}-${count.index}"
  role    = var.role
  image   = "${var.repository}:1"
  command = ["jobs.shift"]
}
"""

SERVICE = 'FROM public.ecr.aws/lambda/python:3.13\nCOPY app.py ./\nCMD ["app.handler"]\n'
SAYS = """
import os

def handler(event, context):
    return ["{where}", os.environ["KIND"], context.invoked_function_arn]
"""
FILES = {
    "infra/main.tf": MAIN,
    "infra/modules/function/main.tf": MODULE,
    "infra/modules/shifts/main.tf": SHIFTS,
    "services/mail/Dockerfile": SERVICE,
    "services/mail/app.py": SAYS.format(where="mail"),
    "services/resize/Dockerfile": SERVICE,
    "services/resize/app.py": SAYS.format(where="resize"),
    "infra/docker/jobs.Dockerfile": """
        FROM public.ecr.aws/lambda/python:3.13
        COPY src/ ${LAMBDA_TASK_ROOT}/
        CMD ["jobs.hourly"]
        """,
    "infra/src/jobs.py": """
        import os

        def hourly(event, context):
            return ["hourly", os.environ["KIND"], context.invoked_function_arn]

        def nightly(event, context):
            return ["nightly", os.environ["KIND"], context.invoked_function_arn]

        def shift(event, context):
            return ["shift", os.environ["KIND"], context.invoked_function_arn]
        """,
    "services/program/Dockerfile": """
        FROM golang:1.23 AS build
        COPY . /src
        RUN go build -o /bootstrap ./cmd
        FROM public.ecr.aws/lambda/provided:al2023
        COPY --from=build /bootstrap /var/runtime/bootstrap
        """,
}
# Function -> how its code was found.
EXPECTED = {
    "images-mail": "../services/mail/Dockerfile (the name acme/mail)",
    "images-resize": "../services/resize/Dockerfile (the name acme/resize)",
    "images-nightly": "docker/jobs.Dockerfile (terraform_data.jobs)",
    "images-hourly": "docker/jobs.Dockerfile (terraform_data.jobs)",
    "images-early-0": "docker/jobs.Dockerfile (terraform_data.jobs)",
    "images-early-1": "docker/jobs.Dockerfile (terraform_data.jobs)",
    "images-late-0": "docker/jobs.Dockerfile (terraform_data.jobs)",
    "images-late-1": "docker/jobs.Dockerfile (terraform_data.jobs)",
}


class Images(InSandbox):
    """The project in a running sandbox."""

    def image_of(self, name: str) -> str:
        client = self.project.client("lambda")
        return str(client.get_function(FunctionName=name)["Code"]["ImageUri"])

    def repositories(self) -> set[str]:
        listed = self.project.client("ecr").describe_repositories()["repositories"]
        return {item["repositoryName"] for item in listed}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    top = tmp_path_factory.mktemp("images") / "repository"
    for name, content in FILES.items():
        file = top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(content), "utf-8")
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    with Images.opened(top / "infra") as made:
        yield made


@pytest.fixture(scope="class")
def ready(images: Images) -> Iterator[Event]:
    with images.start() as command:
        yield command.wait_for_type("ready", timeout_s=400)


def test_a_plan_says_which_dockerfile_it_has_read(images: Images) -> None:
    command = images.run("plan")

    assert command.process.returncode == 0, command.story()
    (plan,) = command.of_type("plan")
    assert {item["found_by"] for item in plan["functions"]} == set(EXPECTED.values())
    assert list(plan["refused"]) == ["aws_lambda_function.program"]
    reason = plan["refused"]["aws_lambda_function.program"]
    assert "made while its image is built (go build -o /bootstrap ./cmd)" in reason


class TestWhileLive:
    """One `terralive start`."""

    def test_each_function_runs_its_own_code_here(self, images: Images, ready: Event) -> None:
        assert {item["name"] for item in ready["functions"]} == set(EXPECTED)
        for name in EXPECTED:
            kind = name.removeprefix("images-")
            where = kind
            if "-" in kind:
                where = "shift"
            assert images.invoke(name)[:2] == [where, kind]

    @pytest.mark.usefixtures("ready")
    def test_an_alias_leads_to_this_machine_and_no_stub_was_published(self, images: Images) -> None:
        where, _, arn = images.invoke("images-nightly:live")
        assert where == "nightly"
        assert arn.endswith(":images-nightly:live")
        client = images.project.client("lambda")
        versions = client.list_versions_by_function(FunctionName="images-nightly")["Versions"]
        assert [item["Version"] for item in versions] == ["$LATEST"]

    @pytest.mark.usefixtures("ready")
    def test_all_have_the_stubs_image_of_the_debug_stack(self, images: Images) -> None:
        (own,) = [name for name in images.repositories() if name.startswith("terralive-")]
        assert own.endswith("/terralive-stub")
        assert {images.image_of(name).partition("/")[2].partition(":")[0] for name in EXPECTED} == {
            own
        }
        assert images.image_of("images-program").endswith("/acme/program:1")


def test_a_restore_brings_the_images_back(images: Images) -> None:
    command = images.run("restore")

    assert command.process.returncode == 0, command.story()
    assert images.image_of("images-mail").endswith("/acme/mail:1")
    assert images.image_of("images-nightly").endswith("/acme/workers:1")
    assert images.image_of("images-late-1").endswith("/acme/workers:1")
    alias = images.project.client("lambda").get_alias(FunctionName="images-nightly", Name="live")
    assert alias["FunctionVersion"] == "1"


def test_a_plan_after_a_restore_has_the_functions_and_nothing_else(images: Images) -> None:
    command = images.run("plan")

    assert command.process.returncode == 0, command.story()
    (plan,) = command.of_type("plan")
    assert plan["other_changes"] == []
    # The functions, and the alias of one of them.
    assert plan["changes"] == len(EXPECTED) + 1


def test_destroy_leaves_no_repository(images: Images) -> None:
    command = images.run("destroy", "--app")

    assert command.process.returncode == 0, command.story()
    assert images.repositories() == set()
    assert left(images.project) == {}
