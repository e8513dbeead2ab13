"""Repositories of functions, in the ways in which teams write them: images and TypeScript.

Each is written into a folder whose configuration a root module calls, so that one plan has them
all. Nothing in them is built by running a program.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_HANDLER: Final = "def handler(event, context):\n    return {name!r}\n"
_TYPESCRIPT: Final = "export const handler = async (): Promise<string> => {name!r}\n"
_JAVASCRIPT: Final = (
    '"use strict";\nconst name_of_the_function = {name!r};\n'
    "exports.handler = async () => name_of_the_function;\n//# sourceMappingURL={file}.map\n"
)
_ROLE: Final = "arn:aws:iam::123456789012:role/fn"


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected plan of a repository's functions, by their addresses in its module.

    Attributes:
        live: the folder of the code, relative to the repository, and the handler.
        lines: the lines of terralive.toml, without the table, that a function needs; () for any.
        reasons: the beginning of the reason of a function that needs something else.
    """

    live: dict[str, tuple[str, str]] = field(default_factory=dict)
    lines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def write(file: Path, content: str) -> None:
    """Write a file and the folders around it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def image_repository(top: Path) -> Expected:
    """Write a repository of 12 functions that are container images."""
    expected = Expected()
    services = ("intake", "score", "publish", "archive")
    for name in services:
        folder = f"services/{name}"
        write(top / folder / "Dockerfile", _DOCKERFILE.format(copy=". ${LAMBDA_TASK_ROOT}"))
        write(top / folder / "app.py", _HANDLER.format(name=name))
        expected.live[f'aws_lambda_function.service["{name}"]'] = (folder, "app.handler")
    jobs = ("hourly", "daily", "weekly", "monthly")
    write(top / "jobs" / "Dockerfile", _DOCKERFILE.format(copy="src/ ./"))
    for name in jobs:
        write(top / "jobs" / "src" / "tasks" / f"{name}.py", _HANDLER.format(name=name))
        expected.live[f'module.job["{name}"].aws_lambda_function.this[0]'] = (
            "jobs/src",
            f"tasks.{name}.handler",
        )
    write(top / "pushed" / "lambda.Dockerfile", _DOCKERFILE.format(copy="pushed/app.py ./"))
    write(top / "pushed" / "app.py", _HANDLER.format(name="pushed"))
    expected.live["aws_lambda_function.pushed"] = ("pushed", "app.handler")
    write(top / "web" / "Dockerfile", _BUILT_IN_AN_IMAGE)
    write(top / "web" / "package.json", '{"scripts": {"build": "tsc"}}')
    write(top / "web" / "src" / "index.ts", _TYPESCRIPT.format(name="web"))
    expected.lines["aws_lambda_function.other"] = ('path = "…"', 'runtime = "…"', 'handler = "…"')
    expected.lines["aws_lambda_function.web"] = (
        'path = "web/dist"',
        'build = "npm --prefix web run build"',
        'watch = ["../src/**"]',
    )
    write(top / "billing" / "Dockerfile", _JAVA)
    expected.reasons["aws_lambda_function.billing"] = (
        "terralive itself runs Python, Node.js and provided.*, and not java21"
    )
    configuration = _IMAGES.format(services=json.dumps(services), jobs=json.dumps(jobs), role=_ROLE)
    write(top / "infra" / "main.tf", configuration)
    write(top / "infra" / "job" / "main.tf", _IMAGE_MODULE.format(role=_ROLE))
    return expected


def typescript_monorepo(top: Path) -> Expected:
    """Write a monorepo of 9 functions in TypeScript, some of them built, and one in Python."""
    expected = Expected()
    write(top / ".gitignore", "dist/\n*.zip\nnode_modules/\n")
    write(top / "package.json", '{"workspaces": ["packages/*"]}')
    packages = ("orders", "billing", "mailer", "search")
    for name in packages:
        folder = f"packages/{name}"
        _package(top / folder, name, "esbuild src/index.ts --bundle --outfile=dist/index.js")
        if name in {"orders", "billing"}:
            content = _JAVASCRIPT.format(name=name, file="index.js")
            _built(top / folder, "index.js", content, "../src/index.ts")
            with zipfile.ZipFile(top / folder / f"{name}.zip", "w") as archive:
                archive.writestr("index.js", content)
    # Instances of one block become live together.
    for name in packages[2:]:
        expected.lines[f'module.package["{name}"].aws_lambda_function.this'] = (
            f'path = "packages/{name}/dist"',
            f'build = "npm --prefix packages/{name} run build"',
            'watch = ["../src/**"]',
        )
    for name in packages[:2]:
        built = ("packages/" + name + "/dist", "index.handler")
        expected.live[f'module.package["{name}"].aws_lambda_function.this'] = built
    for name in ("create", "read", "remove"):
        write(top / "api" / "src" / "users" / f"{name}.ts", _TYPESCRIPT.format(name=name))
        content = _JAVASCRIPT.format(name=name, file=f"{name}.js")
        source = f"../../src/users/{name}.ts"
        _built(top / "api", f"users/{name}.js", content, source)
        expected.live[f'aws_lambda_function.api["{name}"]'] = ("api", f"dist/users/{name}.handler")
    write(top / "api" / "package.json", '{"scripts": {"build": "tsc -p ."}}')
    for name in ("resize", "notify"):
        write(top / "jobs" / "src" / f"{name}.ts", _TYPESCRIPT.format(name=name))
        expected.lines[f'aws_lambda_function.job["{name}"]'] = (
            f'path = "jobs/out/{name}"',
            'build = "npm --prefix jobs run build"',
            'watch = ["../../src/**"]',
        )
    write(top / "jobs" / "package.json", '{"scripts": {"build": "node build.mjs"}}')
    write(top / "nightly" / "src" / "app.py", _HANDLER.format(name="nightly"))
    expected.live["aws_lambda_function.nightly"] = ("nightly/src", "app.handler")
    write(top / "infra" / "main.tf", _MONOREPO.format(packages=json.dumps(packages), role=_ROLE))
    write(top / "infra" / "package" / "main.tf", _ZIP_MODULE.format(role=_ROLE))
    return expected


def _package(folder: Path, name: str, build: str) -> None:
    write(folder / "src" / "index.ts", _TYPESCRIPT.format(name=name))
    write(
        folder / "package.json", json.dumps({"name": f"@acme/{name}", "scripts": {"build": build}})
    )


def _built(folder: Path, file: str, content: str, source: str) -> None:
    """Write what a compiler would have written, with a source map."""
    write(folder / "dist" / file, content)
    write(folder / "dist" / f"{file}.map", json.dumps({"version": 3, "sources": [source]}))


_DOCKERFILE: Final = """FROM public.ecr.aws/lambda/python:3.13
RUN pip install boto3
COPY {copy}
CMD ["app.handler"]
"""
_BUILT_IN_AN_IMAGE: Final = """FROM node:22 AS build
WORKDIR /app
COPY . .
RUN npm ci && npm run build
FROM public.ecr.aws/lambda/nodejs:22
COPY --from=build /app/dist ./
CMD ["index.handler"]
"""
_JAVA: Final = """FROM public.ecr.aws/lambda/java:21
COPY target/classes ${LAMBDA_TASK_ROOT}
CMD ["com.acme.Billing::handle"]
"""

_IMAGES: Final = """
locals {{
  services = toset({services})
  registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
}}

resource "aws_ecr_repository" "service" {{
  for_each = local.services
  name     = "acme/${{each.key}}"
}}

resource "aws_lambda_function" "service" {{
  for_each      = local.services
  function_name = "service-${{each.key}}"
  role          = "{role}"
  package_type  = "Image"
  image_uri     = "${{aws_ecr_repository.service[each.key].repository_url}}:latest"
}}

resource "aws_ecr_repository" "jobs" {{ name = "acme/jobs" }}

module "job" {{
  for_each = toset({jobs})
  source   = "./job"
  name     = each.key
  image    = "${{aws_ecr_repository.jobs.repository_url}}:latest"
}}

resource "aws_ecr_repository" "pushed" {{ name = "acme/edge-worker" }}

resource "null_resource" "push" {{
  triggers = {{ code = filemd5("${{path.module}}/../pushed/app.py") }}
  provisioner "local-exec" {{
    command = <<-EOT
      docker build -f ${{path.module}}/../pushed/lambda.Dockerfile \\
        -t ${{aws_ecr_repository.pushed.repository_url}}:1 ${{path.module}}/..
      docker push ${{aws_ecr_repository.pushed.repository_url}}:1
    EOT
  }}
}}

resource "aws_lambda_function" "pushed" {{
  function_name = "edge"
  role          = "{role}"
  package_type  = "Image"
  image_uri     = "${{aws_ecr_repository.pushed.repository_url}}:1"
  depends_on    = [null_resource.push]
}}

resource "aws_lambda_function" "web" {{
  function_name = "shop-web"
  role          = "{role}"
  package_type  = "Image"
  image_uri     = "${{local.registry}}/acme/web:7"
}}

resource "aws_lambda_function" "billing" {{
  function_name = "shop-billing"
  role          = "{role}"
  package_type  = "Image"
  image_uri     = "${{local.registry}}/acme/billing@sha256:${{sha256("1")}}"
}}

resource "aws_lambda_function" "other" {{
  function_name = "scanner"
  role          = "{role}"
  package_type  = "Image"
  image_uri     = "${{local.registry}}/vendor/scan:7"
}}
"""

# Blocks that are there for some calls only, as in modules that many teams use.
_IMAGE_MODULE: Final = """
variable "name" {{}}
variable "image" {{}}
variable "create" {{ default = true }}
variable "subnet_ids" {{ default = null }}

resource "aws_lambda_function" "this" {{
  count         = var.create ? 1 : 0
  function_name = "job-${{var.name}}"
  role          = "{role}"
  package_type  = "Image"
  image_uri     = var.image

  image_config {{
    command = ["tasks.${{var.name}}.handler"]
  }}

  dynamic "vpc_config" {{
    for_each = var.subnet_ids != null ? [true] : []
    content {{
      subnet_ids         = var.subnet_ids
      security_group_ids = []
    }}
  }}
}}
"""

_MONOREPO: Final = """
module "package" {{
  for_each = toset({packages})
  source   = "./package"
  name     = each.key
  zip      = "${{path.module}}/../packages/${{each.key}}/${{each.key}}.zip"
}}

data "archive_file" "api" {{
  type        = "zip"
  source_dir  = "${{path.module}}/../api"
  output_path = "${{path.module}}/zips/api.zip"
  excludes    = ["src"]
}}

resource "aws_lambda_function" "api" {{
  for_each         = toset(["create", "read", "remove"])
  function_name    = "users-${{each.key}}"
  role             = "{role}"
  handler          = "dist/users/${{each.key}}.handler"
  runtime          = "nodejs22.x"
  filename         = data.archive_file.api.output_path
  source_code_hash = data.archive_file.api.output_base64sha256
}}

resource "null_resource" "build" {{
  triggers = {{ always = timestamp() }}
  provisioner "local-exec" {{
    command = "npm --prefix ${{path.module}}/../jobs run build"
  }}
}}

data "archive_file" "job" {{
  for_each    = toset(["resize", "notify"])
  type        = "zip"
  source_file = "${{path.module}}/../jobs/out/${{each.key}}/index.js"
  output_path = "${{path.module}}/zips/${{each.key}}.zip"
  depends_on  = [null_resource.build]
}}

resource "aws_lambda_function" "job" {{
  for_each      = toset(["resize", "notify"])
  function_name = "job-${{each.key}}"
  role          = "{role}"
  handler       = "index.handler"
  runtime       = "nodejs22.x"
  filename      = data.archive_file.job[each.key].output_path
}}

resource "null_resource" "nightly" {{
  provisioner "local-exec" {{
    command = "cd ${{path.module}}/../nightly/src && zip -qr ${{abspath(path.module)}}/n.zip ."
  }}
}}

resource "aws_lambda_function" "nightly" {{
  function_name = "clean-up"
  role          = "{role}"
  handler       = "app.handler"
  runtime       = "python3.13"
  filename      = "${{path.module}}/n.zip"
  depends_on    = [null_resource.nightly]
}}
"""

_ZIP_MODULE: Final = """
variable "name" {{}}
variable "zip" {{}}

resource "aws_lambda_function" "this" {{
  function_name = "acme-${{var.name}}"
  role          = "{role}"
  handler       = "index.handler"
  runtime       = "nodejs22.x"
  filename      = var.zip
}}
"""
