"""The Dockerfile of a function's image, by the Terraform configuration or by its name."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from terralive_terraform.discovery.files import module_calls, modules_of
from terralive_terraform.images.builds import image_source, with_image_sources
from terralive_terraform.images.commands import BuildCommand, build_commands
from terralive_terraform.images.modules import Modules
from terralive_terraform.images.search import find_build
from terralive_terraform.images.source import ImageBuild, ImageSource

FUNCTION = "aws_lambda_function.resize"
DECLARED = """
resource "aws_lambda_function" "resize" {
  function_name = "resize"
  package_type  = "Image"
  image_uri     = IMAGE
}
"""
LAMBDA = 'FROM public.ecr.aws/lambda/python:3.12\nCOPY app.py ./\nCMD ["app.handler"]\n'


def write(root: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(content), "utf-8")
    return root


def source_of(root: Path, address: str = FUNCTION) -> ImageSource:
    return image_source(address, Modules(module_calls(root, root / ".terraform")))


def declared(image_uri: str) -> str:
    return DECLARED.replace("IMAGE", image_uri)


def test_a_docker_image_says_context_dockerfile_target_and_arguments(tmp_path: Path) -> None:
    root = write(
        tmp_path / "infra",
        {
            "main.tf": declared("docker_registry_image.resize.name"),
            "docker.tf": """
            locals { folder = "${path.module}/../services" }
            variable "python" { default = "3.12" }
            resource "docker_image" "resize" {
              name = "${aws_ecr_repository.resize.repository_url}:1"
              build {
                context    = "${local.folder}/resize"
                dockerfile = "Lambda.Dockerfile"
                target     = "lambda"
                build_args = { PYTHON = var.python, OTHER = timestamp() }
              }
            }
            resource "docker_registry_image" "resize" { name = docker_image.resize.name }
            resource "aws_ecr_repository" "resize" { name = "acme-${terraform.workspace}-resize" }
            """,
        },
    )
    folder = tmp_path / "services/resize"
    source = source_of(root)
    assert source.names == ("-resize",)
    assert source == ImageSource(
        (
            ImageBuild(
                folder / "Lambda.Dockerfile",
                folder,
                "lambda",
                (("PYTHON", "3.12"),),
                "docker_image.resize",
            ),
        ),
        ("acme-${terraform.workspace}-resize",),
    )


def test_a_docker_image_that_only_shares_the_repository_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": declared('"${aws_ecr_repository.images.repository_url}:latest"')
            + """
            resource "docker_image" "other" {
              name = "other"
              build { context = "other" }
            }
            resource "docker_image" "this" {
              name = "${aws_ecr_repository.images.repository_url}:latest"
              build { context = "app" }
            }
            """
        },
    )
    assert [build.context for build in source_of(root).builds] == [tmp_path / "app"]


def test_the_docker_build_module_is_read_without_its_files(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": declared("module.image.image_uri")
            + """
            module "image" {
              source           = "terraform-aws-modules/lambda/aws//modules/docker-build"
              create_ecr_repo  = true
              ecr_repo         = "resize"
              source_path      = "${path.module}/context"
              docker_file_path = "docker/Dockerfile"
              build_args       = { A = "1" }
            }
            """
        },
    )
    folder = tmp_path / "context"
    build = ImageBuild(folder / "docker/Dockerfile", folder, None, (("A", "1"),), "module.image")
    assert source_of(root) == ImageSource((build,), ("resize",))


def test_a_modules_image_is_followed_to_its_caller_and_to_another_modules_output(
    tmp_path: Path,
) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": """
            module "image" {
              source = "./image"
              folder = "${path.module}/src"
            }
            module "resize" {
              source = "./function"
              image  = module.image.uri
            }
            """,
            "function/main.tf": 'variable "image" {}\n' + declared("var.image"),
            "image/main.tf": """
            variable "folder" {}
            resource "docker_image" "this" {
              name = "x"
              build { context = var.folder }
            }
            output "uri" { value = docker_image.this.name }
            """,
        },
    )
    (build,) = source_of(root, f"module.resize.{FUNCTION}").builds
    assert build.context == tmp_path / "src"
    assert build.found_by == "module.image.docker_image.this"


def test_a_downloaded_module_is_followed_too(tmp_path: Path) -> None:
    manifest = {"Modules": [{"Key": "resize", "Dir": ".terraform/modules/resize"}]}
    root = write(
        tmp_path,
        {
            "main.tf": """
            module "resize" {
              source    = "terraform-aws-modules/lambda/aws"
              image_uri = docker_image.this.name
            }
            resource "docker_image" "this" {
              build { context = "src" }
            }
            """,
            ".terraform/modules/modules.json": json.dumps(manifest),
            ".terraform/modules/resize/main.tf": 'variable "image_uri" {}\n'
            + declared("var.image_uri"),
        },
    )
    (build,) = source_of(root, f"module.resize.{FUNCTION}").builds
    assert build.context == tmp_path / "src"


@pytest.mark.parametrize("kind", ["null_resource", "terraform_data"])
def test_a_docker_build_in_a_provisioner_counts(tmp_path: Path, kind: str) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": declared('"${aws_ecr_repository.resize.repository_url}:1"')
            + f"""
            resource "aws_ecr_repository" "resize" {{ name = "acme/resize" }}
            resource "{kind}" "image" {{
              provisioner "local-exec" {{
                working_dir = "${{path.module}}/services"
                command     = <<-EOT
                  aws ecr get-login-password | docker login --password-stdin x
                  cd resize && docker build --platform linux/amd64 \\
                    -t ${{aws_ecr_repository.resize.repository_url}}:1 -f Dockerfile.lambda .
                  docker push ${{aws_ecr_repository.resize.repository_url}}:1
                EOT
              }}
            }}
            """
        },
    )
    folder = tmp_path / "services/resize"
    build = ImageBuild(folder / "Dockerfile.lambda", folder, found_by=f"{kind}.image")
    assert source_of(root) == ImageSource((build,), ("acme/resize",))


def test_a_build_of_another_repository_is_not_taken(tmp_path: Path) -> None:
    build = """
    resource "terraform_data" "image" {
      provisioner "local-exec" { command = "docker build -t other:1 other" }
    }
    """
    known = '"${aws_ecr_repository.resize.repository_url}:1"'
    root = write(tmp_path / "known", {"main.tf": declared(known) + build})
    assert source_of(root).builds == ()
    root = write(tmp_path / "unknown", {"main.tf": declared("var.image") + build})
    (only,) = source_of(root).builds
    assert only.context == root / "other"


def test_the_only_build_is_not_taken_for_a_name_that_a_local_value_begins(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": declared('"${local.registry}/vendor/scan:7"'),
            "push.tf": """
            locals { registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com" }
            resource "null_resource" "push" {
              provisioner "local-exec" { command = "docker build -t x services/api" }
            }
            """,
        },
    )
    assert source_of(root) == ImageSource((), ("vendor/scan",))


def test_the_only_build_beside_an_unknown_image_is_a_guess(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": declared("var.image"),
            "push.tf": """
            variable "image" {}
            resource "null_resource" "push" {
              provisioner "local-exec" { command = "docker build -t x services/api" }
            }
            """,
        },
    )
    source = source_of(root)
    assert source.is_guess
    assert [build.found_by for build in source.builds] == ["null_resource.push"]


def test_an_image_from_elsewhere_has_the_name_of_its_repository_only(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": declared(
                '"123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders/resize:${var.tag}"'
            )
        },
    )
    assert source_of(root) == ImageSource((), ("orders/resize",))


def test_each_instance_of_for_each_has_its_own_build(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "main.tf": declared("docker_image.this[each.key].name")
            + """
            resource "docker_image" "this" {
              for_each = toset(["mail", "resize"])
              name     = "${aws_ecr_repository.this[each.key].repository_url}:1"
              build { context = "${path.module}/services/${each.key}" }
            }
            resource "aws_ecr_repository" "this" {
              for_each = toset(["mail", "resize"])
              name     = "acme/${each.key}"
            }
            """
        },
    )
    folder = tmp_path / "services/mail"
    source = source_of(root).of_instance("mail")
    assert source.names == ("acme/mail",)
    (build,) = source.builds
    assert (build.dockerfile, build.context) == (folder / "Dockerfile", folder)


def test_values_of_variables_files_and_functions_count(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "terraform.tfvars": 'service = "mail"\n',
            "main.tf": declared("docker_image.this.name")
            + """
            variable "service" { type = string }
            locals { repository = "${terraform.workspace}/${var.service}" }
            resource "docker_image" "this" {
              name = "${aws_ecr_repository.this.repository_url}:1"
              build { context = join("/", [path.module, "services", lower(var.service)]) }
            }
            resource "aws_ecr_repository" "this" { name = "acme/${local.repository}" }
            """,
        },
    )
    source = source_of(root)
    assert [build.context for build in source.builds] == [root / "services/mail"]
    assert source.repositories == ("acme/${terraform.workspace}/mail",)


def test_the_build_of_a_programs_asset_is_not_taken(tmp_path: Path) -> None:
    """An asset is a copy: the Dockerfile is found by the name."""
    stack = tmp_path / "cdktf.out" / "stacks" / "orders"
    repository = {"name": "acme/resize"}
    image = {"name": "resize", "build": {"context": "assets/resize"}}
    function = {
        "function_name": "resize",
        "package_type": "Image",
        "image_uri": "${aws_ecr_repository.r.repository_url}:1",
        "depends_on": ["docker_image.resize"],
    }
    document = {
        "resource": {
            "aws_ecr_repository": {"r": repository},
            "docker_image": {"resize": image},
            "aws_lambda_function": {"resize": function},
        }
    }
    write(stack, {"cdk.tf.json": json.dumps(document), "assets/resize/Dockerfile": LAMBDA})
    calls = module_calls(stack, stack / ".terraform")
    (module,) = with_image_sources(modules_of(calls), calls, copies=stack)
    (found,) = module.functions
    assert found.image == ImageSource(repositories=("acme/resize",))


def test_references_in_a_circle_end(tmp_path: Path) -> None:
    circle = 'locals {\n a = "${local.b}"\n b = "${local.a}"\n}\n'
    root = write(tmp_path, {"main.tf": circle + declared("local.a")})
    assert source_of(root) == ImageSource()


def test_an_unreadable_file_costs_only_what_stands_in_it(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "broken.tf": "resource {{{",
            "main.tf": declared("docker_image.this.name")
            + 'resource "docker_image" "this" {\n build { context = "app" }\n}\n',
        },
    )
    assert len(source_of(root).builds) == 1


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("docker build .", BuildCommand(".", "", None, (), ())),
        ("docker build -t a:1 app", BuildCommand("app", "", None, (), ("a:1",))),
        (
            (
                "docker buildx build --push --platform=linux/arm64 --build-arg A=1 --build-arg B "
                "--target x --file f/Dockerfile --tag t ctx"
            ),
            BuildCommand("ctx", "f/Dockerfile", "x", (("A", "1"),), ("t",)),
        ),
        ("set -e; cd app; cd api && podman build .", BuildCommand("app/api/.", "", None, (), ())),
        ("DOCKER_BUILDKIT=1 docker build --no-cache x", BuildCommand("x", "", None, (), ())),
    ],
)
def test_a_build_command_is_read(text: str, command: BuildCommand) -> None:
    assert list(build_commands(text)) == [command]


@pytest.mark.parametrize(
    "text",
    [
        "docker push a",
        "docker build - < x",
        "docker build https://github.com/a/b.git",
        "echo build",
    ],
)
def test_other_commands_build_nothing_here(text: str) -> None:
    assert list(build_commands(text)) == []


def test_a_folder_of_the_repositorys_name_has_the_dockerfile(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "services/resize/Dockerfile": LAMBDA,
            "services/resize/app.py": "",
            "services/orders/docker/Dockerfile": LAMBDA.replace("COPY app.py", "COPY docker"),
            "services/mail.Dockerfile": LAMBDA,
            "services/image/Dockerfile": LAMBDA,
            "web/Dockerfile": "FROM nginx",
            "node_modules/resize/Dockerfile": LAMBDA,
        },
    )
    for name, file in {
        "acme/resize": "services/resize/Dockerfile",
        "-resize": "services/resize/Dockerfile",
        "acme-dev-resize": "services/resize/Dockerfile",
        "orders": "services/orders/docker/Dockerfile",
        "mail": "services/mail.Dockerfile",
        "image": "services/image/Dockerfile",
    }.items():
        build = find_build(root, [name]).build
        assert build is not None
        assert build.dockerfile == root / file
    found = find_build(root, ["web", "unknown"])
    assert found.build is None
    assert len(found.several) == 4


def test_the_build_context_is_the_nearest_folder_with_all_copied_files(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "services/resize/Dockerfile": LAMBDA.replace("app.py", "services/resize/app.py"),
            "services/resize/app.py": "",
        },
    )
    build = find_build(root, ["anything"]).build
    assert build is not None
    assert (build.context, build.found_by) == (root, "the only Dockerfile for Lambda")
