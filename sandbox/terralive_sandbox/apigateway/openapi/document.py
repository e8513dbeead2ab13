"""Read an OpenAPI document: its syntax, its version, its references and AWS's variables.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-import-api.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, section, text

EXTENSION: Final = "x-amazon-apigateway-"
_REFERENCES: Final = 20  # a longer chain of references is a circle


class DocumentError(Exception):
    """A document that API Gateway does not import. The text is for the client."""


@dataclass(frozen=True, slots=True)
class Document:
    """An OpenAPI document.

    Attributes:
        root: the whole document.
        is_swagger: whether it is Swagger 2.0; else it is OpenAPI 3.0.
    """

    root: Mapping[str, Json]
    is_swagger: bool

    @property
    def info(self) -> Mapping[str, Json]:
        """The API's title, description and version."""
        return section(self.root, "info")

    @property
    def version(self) -> str:
        """The API's version as text; YAML may have it as a number."""
        return str(self.info.get("version", ""))

    @property
    def security_schemes(self) -> Mapping[str, Json]:
        """The security schemes by name."""
        if self.is_swagger:
            return section(self.root, "securityDefinitions")
        return section(section(self.root, "components"), "securitySchemes")

    @property
    def schemas(self) -> Mapping[str, Json]:
        """The schemas of models by name."""
        if self.is_swagger:
            return section(self.root, "definitions")
        return section(section(self.root, "components"), "schemas")

    def extension(self, name: str) -> Json:
        """Return the value of one of API Gateway's extensions at the top of the document."""
        return self.root.get(EXTENSION + name)

    def resolved(self, value: Json) -> dict[str, Json]:
        """Return an object of the document, or the one that it refers to.

        Raises:
            DocumentError: it refers to something that is not in the document.
        """
        found = as_object(value)
        for _ in range(_REFERENCES):
            reference = text(found, "$ref")
            if not reference:
                return found
            found = self._referenced(reference)
        raise DocumentError(f"A reference leads to itself: {reference}")

    def _referenced(self, reference: str) -> dict[str, Json]:
        place, _, path = reference.partition("#/")
        target: Json = dict(self.root)
        for part in path.split("/"):
            target = as_object(target).get(part.replace("~1", "/").replace("~0", "~"))
        if place or not isinstance(target, dict):
            raise DocumentError(f"Unable to resolve the reference {reference}")
        return target


def read(content: str, *, region: str = "", account: str = "") -> Document:
    """Read a document in JSON or YAML.

    Args:
        content: the document.
        region: the value of `${AWS::Region}`; without it, variables stay.
        account: the value of `${AWS::AccountId}`.

    Raises:
        DocumentError: it is no OpenAPI document of a version that API Gateway imports.
    """
    if region:
        content = _with_variables(content, region, account)
    root = as_object(_parsed(content))
    version = str(root.get("openapi", ""))
    is_swagger = str(root.get("swagger", "")) == "2.0"
    if not is_swagger and not version.startswith("3.0"):
        raise DocumentError(
            "Invalid OpenAPI input: neither OpenAPI 3.0 nor Swagger 2.0 is its version"
        )
    if not isinstance(root.get("paths", {}), dict):
        raise DocumentError("Invalid OpenAPI input: paths is no object")
    return Document(root, is_swagger)


def _with_variables(content: str, region: str, account: str) -> str:
    """Fill in AWS's variables.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/import-api-aws-variables.html
    """
    variables = {"AccountId": account, "Partition": "aws", "Region": region}
    for name, value in variables.items():
        content = content.replace(f"${{AWS::{name}}}", value)
    return content


def _parsed(content: str) -> object:
    """Return the document as JSON has it: YAML's keys may be numbers, and its values dates."""
    try:
        return json.loads(content)
    except ValueError:
        pass
    # Only YAML needs it, and it comes with the extra `sandbox`.
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        return json.loads(json.dumps(yaml.safe_load(content), default=str))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise DocumentError("Invalid OpenAPI input: neither JSON nor YAML") from error
