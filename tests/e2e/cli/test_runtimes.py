"""Functions of other runtimes than Python, live in one app.

The stub is the same, the local process is their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from terralive_testing.drivers.plain_app import add, plain_project, start
from terralive_testing.drivers.project import Live
from terralive_testing.drivers.workers import save
from terralive_testing.machine.waiting import eventually

pytestmark = [
    pytest.mark.timeout(300),
    # The deployed nodejs18.x differs from every Node that is still maintained.
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("curl")), reason="needs node and curl on PATH"
    ),
]

FUNCTIONS = """
resource "aws_lambda_function" "web" {
  function_name = "plain-web"
  role          = aws_iam_role.greet.arn
  runtime       = "nodejs18.x"
  handler       = "src/index.handler"
  timeout       = 30
  filename      = "${path.module}/greet.zip"
  environment {
    variables = {
      GREETING            = "hello"
      TZ                  = "Asia/Tokyo"
      HTTPS_PROXY         = "http://10.0.0.9:3128"
      NODE_EXTRA_CA_CERTS = "/opt/authorities.pem"
      NODE_OPTIONS        = "--enable-source-maps --import=${abspath("functions/planted.mjs")}"
    }
  }
}

resource "aws_lambda_function" "shell" {
  function_name = "plain-shell"
  role          = aws_iam_role.greet.arn
  runtime       = "provided.al2023"
  handler       = "greet"
  timeout       = 30
  filename      = "${path.module}/greet.zip"
}

resource "aws_lambda_function" "built" {
  function_name = "plain-built"
  role          = aws_iam_role.greet.arn
  runtime       = "nodejs18.x"
  handler       = "index.handler"
  filename      = "${path.module}/greet.zip"
}

resource "aws_lambda_function" "typed" {
  function_name = "plain-typed"
  role          = aws_iam_role.greet.arn
  runtime       = "nodejs18.x"
  handler       = "src/app.handler"
  timeout       = 30
  filename      = "${path.module}/greet.zip"
}

resource "aws_lambda_function" "stream" {
  function_name = "plain-stream"
  role          = aws_iam_role.greet.arn
  runtime       = "nodejs18.x"
  handler       = "app.handler"
  timeout       = 30
  filename      = "${path.module}/greet.zip"
}

resource "aws_lambda_function_url" "stream" {
  function_name      = aws_lambda_function.stream.function_name
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"
}

resource "aws_lambda_function" "lonely" {
  function_name = "plain-lonely"
  role          = aws_iam_role.greet.arn
  runtime       = "nodejs18.x"
  handler       = "app.handler"
  filename      = "${path.module}/greet.zip"
}

resource "aws_lambda_function" "report" {
  function_name = "plain-report"
  role          = aws_iam_role.greet.arn
  runtime       = "java21"
  handler       = "example.Report"
  timeout       = 30
  filename      = "${path.module}/greet.zip"
}

resource "aws_lambda_function" "image" {
  function_name = "plain-image"
  role          = aws_iam_role.greet.arn
  package_type  = "Image"
  image_uri     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/resize:7"
  timeout       = 30
  image_config { command = ["resize.handler"] }
  environment { variables = { GREETING = "from an image" } }
}

resource "aws_ecr_repository" "mail" { name = "acme/mail" }

resource "aws_lambda_function" "letters" {
  function_name = "plain-letters"
  role          = aws_iam_role.greet.arn
  package_type  = "Image"
  architectures = ["arm64"]
  image_uri     = "${aws_ecr_repository.mail.repository_url}:latest"
  timeout       = 30
  environment { variables = { GREETING = "from another image" } }
}
"""

CONFIGURATION = """
[functions."aws_lambda_function.web"]
path = "functions/web"

[functions."aws_lambda_function.shell"]
path = "functions/shell"

[functions."aws_lambda_function.built"]
path = "functions/built/dist"
build = "sh functions/built/compile"
watch = ["../src/**"]

[functions."aws_lambda_function.typed"]
path = "functions/typed"

[functions."aws_lambda_function.stream"]
path = "functions/stream"

[functions."aws_lambda_function.lonely"]
path = "functions/lonely"

[functions."aws_lambda_function.report"]
path = "functions/web"
"""

WEB = """
    export const handler = async (event, context) => {
      if (event.fail) throw new RangeError(`no ${event.fail}`)
      const { GREETING, AWS_EXECUTION_ENV, AWS_ACCESS_KEY_ID } = process.env
      if (event.machine) {
        const { HTTPS_PROXY, NODE_EXTRA_CA_CERTS, NODE_OPTIONS } = process.env
        const hour = new Date(0).getHours()
        const planted = 'planted' in globalThis
        return { hour, planted, HTTPS_PROXY, NODE_EXTRA_CA_CERTS, NODE_OPTIONS }
      }
      const role = AWS_ACCESS_KEY_ID.startsWith('ASIA')
      return { GREETING, AWS_EXECUTION_ENV, name: context.functionName, role }
    }
    """

IMAGE = """
    import os

    def handler(event, context):
        if event.get("fail"):
            raise LookupError(event["fail"])
        key_start = os.environ["AWS_ACCESS_KEY_ID"][:4]
        return [event, os.environ["GREETING"], key_start, context.function_name]
    """

DOCKERFILE = """
    FROM public.ecr.aws/lambda/python:3.12
    COPY resize.py ${LAMBDA_TASK_ROOT}
    """

LETTERS = """
    ARG PYTHON=3.13
    FROM public.ecr.aws/lambda/python:${PYTHON}-arm64 AS packages
    RUN pip install --target /packages boto3
    FROM public.ecr.aws/lambda/python:${PYTHON}-arm64
    COPY --from=packages /packages ./
    COPY mail/src/ ./
    CMD ["app.handler"]
    """

SHELL = """\
    #!/bin/sh
    api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
    headers=$(mktemp)
    while true; do
      event=$(curl -sS -D "$headers" "$api/next") || exit 1
      id=$(grep -i '^lambda-runtime-aws-request-id' "$headers" | tr -d '[:space:]' | cut -d: -f2)
      echo "$_HANDLER runs"
      curl -sS "$api/$id/response" -d "{\\"shell\\": $event}" > /dev/null
    done
    """

# Code that the deployed function's environment names.
PLANTED = "globalThis.planted = true\n"
# Variables of which workers get this machine's value, if it has one.
MACHINES_OWN = ("HTTPS_PROXY", "NODE_EXTRA_CA_CERTS")

# TypeScript that is not built. Node.js itself runs no enums, so it takes esbuild.
TYPED = """
    import { Size } from "./sizes"

    export const handler = async (event: { size?: string }): Promise<Size> => {
      if (!event.size) throw new RangeError("no size")
      return Size.Big
    }
    """
SIZES = "export enum Size { Small, Big = 'big' }\n"
# From tests/contract/workers/node/package-lock.json, as `make` installs it.
ESBUILD = Path(sys.prefix) / "aws-lambda-ric" / "node_modules" / "esbuild"

STREAM = """
    export const handler = awslambda.streamifyResponse(async (event, stream) => {
      for (const part of event.parts) stream.write(part)
      stream.end()
    })
    """
TYPESCRIPT = "export const handler = async (event: Event) => {}\n"
# As much of a TypeScript compiler as it takes.
COMPILE = """\
    cd functions/built && mkdir -p dist || exit 1
    if grep -n wrong src/index.ts; then
      echo 'src/index.ts: there is something wrong' >&2; exit 2
    fi
    sed 's/: [A-Z][a-z]*//' src/index.ts > dist/index.mjs
    """


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    project = plain_project(tmp_path_factory.mktemp("project") / "plain")
    add(project, FUNCTIONS)
    with (project.root / "terralive.toml").open("a", encoding="utf-8") as settings:
        settings.write(CONFIGURATION)
    sources = {
        "web/src/index.mjs": WEB,
        "planted.mjs": PLANTED,
        "image/resize.py": IMAGE,
        "image/Dockerfile": DOCKERFILE,
        "mail/src/app.py": IMAGE,
        "mail/Dockerfile": LETTERS,
        "shell/bootstrap": SHELL,
        "built/src/index.ts": TYPESCRIPT.format("'first'"),
        "built/compile": COMPILE,
        "typed/src/app.ts": TYPED,
        "typed/src/sizes.ts": SIZES,
        "stream/app.mjs": STREAM,
        "lonely/app.ts": f"{SIZES}export const handler = async () => Size.Big\n",
    }
    for name, source in sources.items():
        file = project.root / "functions" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source), "utf-8")
        file.chmod(0o755)
    packages = project.root / "functions" / "typed" / "node_modules"
    packages.mkdir()
    if ESBUILD.is_dir():
        (packages / "esbuild").symlink_to(ESBUILD)
    with start(project) as command:
        ready = command.wait_for_type("ready", timeout_s=180)
        project.sandbox = ready["sandbox"]
        yield Live(project, command, ready)


def invoke(live: Live, function: str, event: object) -> Any:  # noqa: ANN401  # whatever the handler gives
    answer = live.project.client("lambda").invoke(
        FunctionName=function, Payload=json.dumps(event).encode()
    )
    return json.loads(answer["Payload"].read())


def reloads(live: Live, function: str) -> int:
    return len([event for event in live.command.of_type("reload") if event["function"] == function])


def test_a_node_function_runs_here_with_the_deployed_ones_environment_and_role(live: Live) -> None:
    answer = invoke(live, "plain-web", {})
    assert answer == {
        "GREETING": "hello",
        "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs18.x",
        "name": "plain-web",
        "role": True,
    }


def test_what_would_run_code_here_or_belongs_to_this_machine_is_not_the_deployed_functions(
    live: Live,
) -> None:
    answer = invoke(live, "plain-web", {"machine": True})
    own = {name: os.environ[name] for name in MACHINES_OWN if name in os.environ}
    assert answer == {
        "hour": 9,  # the epoch in Tokyo: the time zone is the function's
        "planted": False,
        "NODE_OPTIONS": "--enable-source-maps",
        **own,
    }
    warning = live.eventually("warning", reference="variables-left-out", function="plain-web")
    assert "NODE_OPTIONS" in warning["message"]
    assert "planted" not in warning["message"]


def test_a_node_error_reaches_the_caller_in_nodes_shape_with_the_local_stack(live: Live) -> None:
    answer = invoke(live, "plain-web", {"fail": "luck"})
    file = live.project.root / "functions" / "web" / "src" / "index.mjs"
    assert (answer["errorType"], answer["errorMessage"]) == ("RangeError", "no luck")
    assert answer["trace"][0] == "RangeError: no luck"
    assert f"{file}:3:" in answer["trace"][1]
    assert "bootstrap" not in str(answer)


def test_an_edited_node_function_answers_with_its_new_code(live: Live) -> None:
    file = live.project.root / "functions" / "web" / "src" / "index.mjs"
    save(file, "export const handler = async () => 'edited'\n")
    live.eventually("reload", function="plain-web")
    assert invoke(live, "plain-web", {}) == "edited"


def test_a_streamed_response_comes_in_pieces_and_is_shown(live: Live) -> None:
    api = live.project.client("lambda")
    deployed = api.get_function_configuration(FunctionName="plain-stream")
    assert deployed["Handler"] == "terralive_stub.live.streaming_handler"
    event = json.dumps({"parts": ["one ", "two"]})
    answer = api.invoke_with_response_stream(FunctionName="plain-stream", Payload=event)
    body = b""
    for item in answer["EventStream"]:
        body += item.get("PayloadChunk", {}).get("Payload", b"")
    assert body == b"one two"
    shown = live.eventually("result", function="plain-stream")
    assert (shown["ok"], shown["streamed_bytes"]) == (True, 7)
    assert shown["first_byte_ms"] >= 0


def test_built_code_is_built_before_its_first_use_and_after_every_edit(live: Live) -> None:
    file = live.project.root / "functions" / "built" / "src" / "index.ts"
    assert invoke(live, "plain-built", {}) == "first"
    save(file, "wrong")
    warning = live.eventually("warning", reference="build-failed", function="plain-built")
    assert "exit status 2" in warning["message"]
    answer = invoke(live, "plain-built", {})
    assert answer["errorType"] == "Terralive.BuildFailed"
    assert answer["errorMessage"].endswith("src/index.ts: there is something wrong")
    # An edit is told when its build begins.
    eventually(lambda: reloads(live, "plain-built") == 1)
    save(file, TYPESCRIPT.format("'healed'"))
    eventually(lambda: reloads(live, "plain-built") == 2)
    assert invoke(live, "plain-built", {}) == "healed"


@pytest.mark.skipif(not ESBUILD.is_dir(), reason="esbuild is not installed (no npm)")
def test_typescript_runs_without_a_build_and_after_an_edit(live: Live) -> None:
    assert invoke(live, "plain-typed", {"size": "L"}) == "big"
    answer = invoke(live, "plain-typed", {})
    assert (answer["errorType"], answer["errorMessage"]) == ("RangeError", "no size")
    folder = live.project.root / "functions" / "typed" / "src"
    assert f"{folder / 'app.ts'}:5:" in answer["trace"][1]
    save(folder / "sizes.ts", "export enum Size { Small, Big = 'huge' }\n")
    live.eventually("reload", function="plain-typed")
    assert invoke(live, "plain-typed", {"size": "L"}) == "huge"


def test_typescript_that_nothing_runs_is_told_and_stops_no_other_function(live: Live) -> None:
    (event,) = [
        event
        for event in live.command.of_type("warning")
        if (event["reference"], event["function"]) == ("not-live", "aws_lambda_function.lonely")
    ]
    assert "`npm i -D esbuild`" in event["message"]
    assert "`terralive plan` shows the lines" in event["message"]
    assert "plain-lonely" not in {item["name"] for item in live.ready["functions"]}


def test_a_custom_runtime_is_an_executable_in_the_functions_folder(live: Live) -> None:
    assert invoke(live, "plain-shell", {"a": "ä"}) == {"shell": {"a": "ä"}}
    assert live.eventually("log", function="plain-shell")["line"] == "greet runs"


def test_a_function_that_is_an_image_runs_here_with_the_stubs_image_in_its_place(
    live: Live,
) -> None:
    image = stub_image_of(live, "plain-image")
    assert image.endswith("-x86_64")
    repositories = live.project.client("ecr").describe_repositories()["repositories"]
    assert image.partition(":")[0] in {item["repositoryUri"] for item in repositories}
    assert invoke(live, "plain-image", {"n": 1}) == [
        {"n": 1},
        "from an image",
        "ASIA",
        "plain-image",
    ]
    answer = invoke(live, "plain-image", {"fail": "no such size"})
    assert (answer["errorType"], answer["errorMessage"]) == ("LookupError", "no such size")
    assert str(live.project.root / "functions" / "image" / "resize.py") in str(answer["stackTrace"])


def stub_image_of(live: Live, function: str) -> str:
    deployed = live.project.client("lambda").get_function(FunctionName=function)
    image: str = deployed["Code"]["ImageUri"]
    assert re.search(r"/terralive-stub:v2-[0-9a-f]{16}-\w+$", image)
    return image


def test_an_image_needs_no_setting_where_its_repositorys_name_leads_to_its_dockerfile(
    live: Live,
) -> None:
    assert stub_image_of(live, "plain-letters").endswith("-arm64")
    assert invoke(live, "plain-letters", {})[:2] == [{}, "from another image"]
    (letters,) = [item for item in live.ready["functions"] if item["name"] == "plain-letters"]
    assert (letters["runtime"], letters["handler"]) == ("python3.13", "app.handler")
    assert letters["path"] == str(live.project.root / "functions" / "mail" / "src")


def test_what_runs_by_another_version_or_not_at_all_is_told_by_function(live: Live) -> None:
    by_function = {
        (event["reference"], event["function"]): event["message"]
        for event in live.command.of_type("warning")
    }
    assert "nodejs18.x" in by_function["runtime-differs", "aws_lambda_function.web"]
    assert "command = " in by_function["not-live", "aws_lambda_function.report"]
