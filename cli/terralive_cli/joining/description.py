"""The description of a deployed debug stack: one item of its table, written after every apply.

It has everything that a relay needs, so that another checkout uses the debug stack without its
Terraform state. It holds no secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terralive_stub.shared.json_documents import Json, parse_object

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

KEY: Final[Mapping[str, AttributeValueTypeDef]] = {
    "pk": {"S": "stage"},
    "sk": {"S": "description"},
}
_TEXTS: Final = ("app", "stage", "source", "owner", "created", "version")


@dataclass(frozen=True, slots=True)
class StackDescription:
    """A deployed debug stack.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        source: the project that it was deployed from (`configuration/source.py`).
        owner: the user who deployed it first.
        created: the ISO date of that.
        version: the version of terralive that has deployed it last.
        protocol: the version of the wire protocol that its broker and stubs use.
        wishes: the organisation's demands that it was deployed with, by their keys in
            terralive.toml.
        outputs: its Terraform outputs.
    """

    app: str
    stage: str
    source: str
    owner: str
    created: str
    version: str
    protocol: int
    wishes: Mapping[str, Json]
    outputs: Mapping[str, str]

    def differing_wishes(self, wishes: Mapping[str, Json]) -> tuple[str, ...]:
        """Return the names of the demands that are not those of a configuration."""
        names = {*self.wishes, *wishes}
        return tuple(sorted(name for name in names if self.wishes.get(name) != wishes.get(name)))


def to_item(description: StackDescription) -> dict[str, AttributeValueTypeDef]:
    """Return the item of a description."""
    item: dict[str, AttributeValueTypeDef] = {
        **KEY,
        "protocol": {"N": str(description.protocol)},
        "wishes": {"S": json.dumps(dict(description.wishes), sort_keys=True)},
        "outputs": {"S": json.dumps(dict(description.outputs), sort_keys=True)},
    }
    for name in _TEXTS:
        item[name] = {"S": getattr(description, name)}
    return item


def from_item(item: Mapping[str, AttributeValueTypeDef]) -> StackDescription:
    """Return the description of an item. What an item lacks is empty in it."""

    def text(name: str) -> str:
        return item.get(name, {}).get("S", "")

    outputs = parse_object(text("outputs"))
    return StackDescription(
        **{name: text(name) for name in _TEXTS},
        protocol=int(item.get("protocol", {}).get("N", "0")),
        wishes=parse_object(text("wishes")),
        outputs={name: value for name, value in outputs.items() if isinstance(value, str)},
    )
