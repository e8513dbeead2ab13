"""The runtime of an image, by the name of its base image. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/images-create.html lists Lambda's base images:
`public.ecr.aws/lambda/python:3.13`, on Docker Hub `amazon/aws-lambda-python:3.13`. Organisations
mirror them under other names that end alike.
"""

from __future__ import annotations

import re
from typing import Final

_LAMBDA: Final = re.compile(
    r"(?:.*/)?(?:lambda/|aws-lambda-)(python|nodejs|java|dotnet|ruby|go|provided)"
    r"(?::([^@]*))?(?:@.*)?"
)
_OTHER: Final = re.compile(r"(?:.*/)?(python|node):([^@]*)(?:@.*)?")
# Language -> the pattern of its versions, and the runtime's name.
_RUNTIMES: Final = {
    "python": (r"\d+\.\d+", "python{}"),
    "nodejs": (r"\d+", "nodejs{}.x"),
    "java": (r"\d+(?:\.al2)?", "java{}"),
    "dotnet": (r"(?:core)?\d+(?:\.\d)?", "dotnet{}"),
    "ruby": (r"\d+\.\d+", "ruby{}"),
    "go": (r"\d+", "go{}.x"),
    "provided": (r"al2023|al2", "provided.{}"),
}


def lambda_base(image: str) -> str | None:
    """Return the runtime of a base image of Lambda's.

    Returns:
        The runtime; "" where the tag does not tell it; None for another image.
    """
    match = _LAMBDA.fullmatch(image)
    if match is None:
        return None
    return _runtime(match[1], match[2] or "")


def other_base(image: str) -> str:
    """Return the runtime whose language an image of Python's or Node.js's own has; "" for none."""
    match = _OTHER.fullmatch(image)
    if match is None:
        return ""
    language = "nodejs"
    if match[1] == "python":
        language = "python"
    return _runtime(language, match[2])


def _runtime(language: str, tag: str) -> str:
    pattern, name = _RUNTIMES[language]
    version = re.match(rf"(?:{pattern})(?![0-9])", tag)
    if version is None:
        return ""
    return name.format(version[0])
