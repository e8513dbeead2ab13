"""What a Dockerfile says of a function: runtime, handler, and the files of its code."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from terralive_terraform.images.code_folder import CodeFolder, code_folder, has_sources
from terralive_terraform.images.dockerfile import Stage, final_stage
from terralive_terraform.images.instructions import DockerfileError
from terralive_terraform.images.lambda_bases import lambda_base
from terralive_terraform.images.lambda_image import LambdaImage, lambda_image


def stage_of(content: str, target: str | None = None, **arguments: str) -> Stage:
    return final_stage(dedent(content), arguments, target)


def image_of(content: str) -> LambdaImage:
    return lambda_image(stage_of(content))


def folder_of(content: str, context: Path, handler: str | None = None) -> CodeFolder:
    stage = stage_of(content)
    image = lambda_image(stage)
    return code_folder(stage, image, handler or image.handler, context)


def files(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


@pytest.mark.parametrize(
    ("base", "runtime"),
    [
        ("public.ecr.aws/lambda/python:3.12", "python3.12"),
        ("public.ecr.aws/lambda/python:3.13-arm64", "python3.13"),
        ("public.ecr.aws/lambda/python:3.11.2024.05.07.12", "python3.11"),
        ("public.ecr.aws/lambda/nodejs:22", "nodejs22.x"),
        ("public.ecr.aws/lambda/nodejs:20-x86_64@sha256:00ff", "nodejs20.x"),
        ("public.ecr.aws/lambda/provided:al2023", "provided.al2023"),
        ("public.ecr.aws/lambda/java:21", "java21"),
        ("public.ecr.aws/lambda/dotnet:8", "dotnet8"),
        ("public.ecr.aws/lambda/ruby:3.3", "ruby3.3"),
        ("amazon/aws-lambda-python:3.12", "python3.12"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror/lambda/python:3.12", "python3.12"),
        ("public.ecr.aws/lambda/python:latest", ""),
        ("public.ecr.aws/lambda/python@sha256:00ff", ""),
        ("python:3.12-slim", None),
        ("example.com/not-lambda/python:3.12", None),
    ],
)
def test_a_base_image_tells_the_runtime(base: str, runtime: str | None) -> None:
    assert lambda_base(base) == runtime


def test_an_image_of_one_stage_tells_its_runtime_and_handler() -> None:
    image = image_of(
        """\
        FROM public.ecr.aws/lambda/python:3.12
        COPY requirements.txt ${LAMBDA_TASK_ROOT}
        RUN pip install -r requirements.txt
        COPY app.py ${LAMBDA_TASK_ROOT}
        CMD [ "app.handler" ]
        """
    )
    assert image == LambdaImage("python3.12", "app.handler", ("/var/task",))


@pytest.mark.parametrize(
    ("content", "runtime", "handler"),
    [
        # The arguments before FROM count in it.
        (
            'ARG VERSION=22\nFROM public.ecr.aws/lambda/nodejs:${VERSION}\nCMD ["a.b"]',
            "nodejs22.x",
            "a.b",
        ),
        (
            "FROM --platform=linux/arm64 public.ecr.aws/lambda/python:3.12 AS x\nCMD app.run",
            "python3.12",
            "app.run",
        ),
        # A stage that follows another one has what that has.
        (
            'FROM public.ecr.aws/lambda/python:3.12 AS base\nCMD ["a.b"]\nFROM base\nCOPY . .',
            "python3.12",
            "a.b",
        ),
        # AWS's clients in other images.
        (
            (
                "FROM python:3.12-slim\nRUN pip install awslambdaric\n"
                'ENTRYPOINT ["/usr/local/bin/python", "-m", "awslambdaric"]\nCMD ["app.handler"]'
            ),
            "python3.12",
            "app.handler",
        ),
        (
            'FROM python:3.12\nENTRYPOINT ["python", "-m", "awslambdaric", "app.handler"]',
            "python3.12",
            "app.handler",
        ),
        (
            (
                "FROM node:22-bookworm-slim\n"
                'ENTRYPOINT ["/usr/local/bin/npx", "aws-lambda-ric"]\nCMD ["index.handler"]'
            ),
            "nodejs22.x",
            "index.handler",
        ),
        (
            (
                "FROM python:3.11\nRUN pip install \\\n    awslambdaric boto3\n"
                'ENTRYPOINT ["/entry_script.sh"]\nCMD ["app.handler"]'
            ),
            "python3.11",
            "app.handler",
        ),
        (
            "FROM public.ecr.aws/lambda/provided:al2023\nCOPY bootstrap /var/runtime/",
            "provided.al2023",
            "",
        ),
        # Continued lines, comments between them, another escape character, a byte order mark.
        (
            (
                "\ufeff# escape=`\nFROM `\n# the base\n\n  public.ecr.aws/lambda/python:3.12\n"
                'cmd [`\n"a.b"]'
            ),
            "python3.12",
            "a.b",
        ),
    ],
)
def test_ways_to_say_runtime_and_handler(content: str, runtime: str, handler: str) -> None:
    image = image_of(content)
    assert (image.runtime, image.handler, image.problem) == (runtime, handler, "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            'FROM ubuntu:24.04\nENTRYPOINT ["/app/server"]',
            "starts a program of its own (/app/server)",
        ),
        ("FROM alpine:3.20", "none of Lambda's"),
        ("FROM public.ecr.aws/lambda/python:3.12\nCOPY . .", "does not tell the handler (CMD)"),
        ('FROM public.ecr.aws/lambda/python:${V}\nCMD ["a.b"]', "does not tell the runtime"),
        (
            (
                "FROM python:3.12\n"
                "COPY --from=public.ecr.aws/awsguru/aws-lambda-adapter:0.9.0 /lambda-adapter "
                '/opt/extensions/lambda-adapter\nCMD ["uvicorn"]'
            ),
            "Lambda Web Adapter",
        ),
    ],
)
def test_what_is_not_known_has_its_reason(content: str, problem: str) -> None:
    assert problem in image_of(content).problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("FROM python:3.12\nCOPPY a b\n", "2: 'COPPY a b'"),
        ("# nothing\n", "no FROM"),
        ("RUN x\nFROM y", "1: RUN before FROM"),
    ],
)
def test_what_is_no_dockerfile_is_named_with_its_line(content: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said):
        final_stage(content)


def test_a_target_and_build_arguments_choose_what_is_built() -> None:
    content = """\
        ARG PYTHON=3.11
        FROM public.ecr.aws/lambda/python:$PYTHON AS api
        ARG NAME=api
        CMD ["${NAME}.handler"]
        FROM api AS jobs
        COPY jobs.py ./
        CMD ["jobs.handler"]
        """
    assert lambda_image(stage_of(content, "api")).runtime == "python3.11"
    assert lambda_image(stage_of(content, PYTHON="3.13")).runtime == "python3.13"
    assert lambda_image(stage_of(content)).handler == "jobs.handler"
    with pytest.raises(DockerfileError, match="no stage 'other'"):
        stage_of(content, "other")


def test_a_here_document_is_no_instruction() -> None:
    stage = stage_of(
        """\
        FROM public.ecr.aws/lambda/python:3.12
        COPY <<EOF /etc/motd
        FROM nothing
        EOF
        RUN <<'EOF'
        CMD wrong
        EOF
        CMD ["a.b"]
        """
    )
    assert (stage.copies, stage.command) == ([], ("a.b",))


BASE = "FROM public.ecr.aws/lambda/python:3.12\n"


@pytest.mark.parametrize(
    ("copy", "handler", "present", "folder"),
    [
        ("COPY app.py ${LAMBDA_TASK_ROOT}", "app.handler", "app.py", "."),
        ("COPY app.py ./", "app.handler", "app.py", "."),
        ("COPY . .", "app.handler", "app.py", "."),
        ("COPY src/ ${LAMBDA_TASK_ROOT}/", "app.handler", "src/app.py", "src"),
        ("COPY src ${LAMBDA_TASK_ROOT}/src", "src.app.handler", "src/app.py", "."),
        ("COPY src ./src", "src/app.handler", "src/app.py", "."),
        (
            "COPY services/a/*.py requirements.txt ./",
            "app.handler",
            "services/a/app.py",
            "services/a",
        ),
        (
            "COPY services/a/ ./\nCOPY shared ./shared",
            "app.handler",
            "services/a/app.py",
            "services/a",
        ),
        ("COPY pkg ./pkg", "pkg.handler", "pkg/__init__.py", "."),
        ('COPY ["src/app.py", "./"]', "app.handler", "src/app.py", "src"),
        # The last copy counts.
        ("COPY old/ ./\nCOPY new/ ./", "app.handler", "new/app.py", "new"),
        ("COPY src/app.py /var/task/app.py", "app.handler", "src/app.py", "src"),
        ("ENV PYTHONPATH=/opt/code\nCOPY src /opt/code", "app.handler", "src/app.py", "src"),
    ],
)
def test_the_handlers_file_is_followed_back_to_its_folder(
    tmp_path: Path, copy: str, handler: str, present: str, folder: str
) -> None:
    files(tmp_path, present, "requirements.txt")
    found = folder_of(f"{BASE}{copy}", tmp_path, handler)
    assert found.path == (tmp_path / folder)


def test_a_file_is_followed_through_the_stages(tmp_path: Path) -> None:
    files(tmp_path, "dist/index.mjs", "src/index.ts", "package.json")
    content = """\
        FROM node:22 AS build
        WORKDIR /usr/app
        COPY package.json ./
        COPY . .
        RUN npm run build
        FROM public.ecr.aws/lambda/nodejs:22
        COPY --from=build /usr/app/dist/ ${LAMBDA_TASK_ROOT}/
        CMD ["index.handler"]
        """
    assert folder_of(content, tmp_path).path == tmp_path / "dist"
    (tmp_path / "dist/index.mjs").unlink()
    missing = folder_of(content, tmp_path)
    assert (missing.path, missing.built) == (None, tmp_path / "dist")
    assert "made while its image is built (npm run build)" in missing.problem


def test_a_bootstrap_in_the_context_is_the_code_of_a_custom_runtime(tmp_path: Path) -> None:
    files(tmp_path, "out/bootstrap")
    content = (
        "FROM public.ecr.aws/lambda/provided:al2023\nCOPY out/bootstrap /var/runtime/bootstrap\n"
    )
    assert folder_of(content, tmp_path).path == tmp_path / "out"


def test_a_program_that_the_image_builds_is_named(tmp_path: Path) -> None:
    content = """\
        FROM golang:1.23 AS build
        COPY . /src
        RUN go build -o /bootstrap ./cmd
        FROM public.ecr.aws/lambda/provided:al2023
        COPY --from=build /bootstrap /var/runtime/bootstrap
        """
    found = folder_of(content, files(tmp_path, "go.mod"))
    assert found.path is None
    assert found.problem.startswith("its program is made while its image is built (go build")


def test_code_that_has_another_name_in_the_image_is_not_guessed(tmp_path: Path) -> None:
    files(tmp_path, "lambda/main.py")
    found = folder_of(f"{BASE}COPY lambda/main.py ./app.py", tmp_path, "app.handler")
    assert found.path is None
    assert "under another name" in found.problem


def test_a_folder_is_a_build_context_only_with_all_files_that_are_copied(tmp_path: Path) -> None:
    files(tmp_path, "services/a/app.py", "shared/x.py")
    stage = stage_of(f"{BASE}COPY services/a/*.py ./\nCOPY shared ./shared")
    assert has_sources(stage, tmp_path)
    assert not has_sources(stage, tmp_path / "services/a")
