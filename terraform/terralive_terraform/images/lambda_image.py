"""Runtime, handler and task root of the function whose image a Dockerfile builds. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/images-create.html: Lambda's base images start the
handler that CMD names; other images start a runtime interface client (`awslambdaric`,
`aws-lambda-ric`) with it, or a program of their own.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Final

from terralive_terraform.images.dockerfile import Stage
from terralive_terraform.images.instructions import is_known
from terralive_terraform.images.lambda_bases import lambda_base, other_base

_CLIENTS: Final = ("awslambdaric", "aws-lambda-ric")
# The scripts of Lambda's base images and of AWS's documentation pass the handler on.
_SCRIPT: Final = re.compile(r"\S*entry[\w-]*(?:\.sh)?")
# https://github.com/awslabs/aws-lambda-web-adapter
_WEB_ADAPTER: Final = ("aws-lambda-adapter", "lambda-adapter", "aws-lambda-web-adapter")
_HANDLER: Final = re.compile(r"[\w./:-]+")


@dataclass(frozen=True, slots=True)
class LambdaImage:
    """A function's image.

    Attributes:
        runtime: the runtime that runs the same handler from a zip; "" where it is not known.
        handler: the handler; "" where the image has none.
        roots: the folders in the image that the handler is looked for in.
        problem: the reason why the rest is not known, as the end of a sentence; "" for none.
    """

    runtime: str
    handler: str
    roots: tuple[str, ...]
    problem: str = ""


def lambda_image(stage: Stage) -> LambdaImage:
    """Return what an image says of its function."""
    roots = _roots(stage)
    if _has_web_adapter(stage):
        return LambdaImage(
            "",
            "",
            roots,
            "its image runs a web server behind the Lambda Web Adapter, which terralive does not "
            "support",
        )
    runtime = lambda_base(stage.base)
    client = _client_arguments(stage.entrypoint or stage.command)
    if runtime is None:
        if client is None and not _installs_client(stage):
            return LambdaImage("", "", roots, _own_program(stage))
        runtime = other_base(stage.base)
    handler = ""
    if not runtime.startswith("provided"):
        handler = _handler(stage, client)
    problem = ""
    if not runtime:
        problem = f"its base image, {stage.base}, does not tell the runtime"
    elif not handler and not runtime.startswith("provided"):
        problem = "its Dockerfile does not tell the handler (CMD)"
    return LambdaImage(runtime, handler, roots, problem)


def _roots(stage: Stage) -> tuple[str, ...]:
    folders = [stage.variables.get("LAMBDA_TASK_ROOT", ""), stage.directory]
    folders += stage.variables.get("PYTHONPATH", "").split(":")
    known = [folder for folder in folders if folder.startswith("/") and is_known(folder)]
    return tuple(dict.fromkeys(known))


def _has_web_adapter(stage: Stage) -> bool:
    for copy in stage.copies:
        names = [posixpath.basename(source) for source in copy.sources]
        image = copy.image.rpartition("/")[2].partition(":")[0]
        if any(name in _WEB_ADAPTER for name in (*names, image)):
            return True
    return "AWS_LWA_PORT" in stage.variables


def _installs_client(stage: Stage) -> bool:
    text = " ".join(stage.commands)
    return any(client in text for client in _CLIENTS)


def _client_arguments(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the words behind the runtime interface client; None where it is not started."""
    for at, word in enumerate(words):
        if posixpath.basename(word) in _CLIENTS:
            return words[at + 1 :]
    return None


def _handler(stage: Stage, client: tuple[str, ...] | None) -> str:
    words = stage.command
    if client:
        words = client
    elif stage.entrypoint and client is None and not _SCRIPT.fullmatch(stage.entrypoint[0]):
        # A program of its own decides what runs.
        return ""
    if len(words) == 1 and is_known(words[0]) and _HANDLER.fullmatch(words[0]):
        return words[0]
    return ""


def _own_program(stage: Stage) -> str:
    program = " ".join((*stage.entrypoint, *stage.command))
    if not program:
        return f"its base image, {stage.base}, is none of Lambda's"
    return f"its image, which is built from {stage.base}, starts a program of its own ({program})"
