"""A debug stack whose Terraform state is lost, or lacks what an interrupted apply has made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from terralive_terraform.debug_stack import adoption
from terralive_terraform.debug_stack.adoption import (
    Import,
    find,
    import_blocks,
    is_complete,
    resources,
    unknown,
    without_updates,
)
from terralive_terraform.debug_stack.configuration import TEMPLATE
from terralive_terraform.debug_stack.settings import DebugStackSettings

SETTINGS = DebugStackSettings(
    "orders", "dev-ana", "eu-west-1", "ana", "2026-01-01", "0.1.0", has_images=True
)
DOCUMENT = json.loads(TEMPLATE.read_text("utf-8"))
WANTED = resources(DOCUMENT, SETTINGS.variables())


@dataclass
class Account:
    """An account that holds what a test says."""

    ids: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def id_of(self, kind: str, name: str) -> str:
        del kind
        return self.ids.get(name, "")

    def parts_of(self, kind: str, outer: str) -> Mapping[str, str]:
        self.asked.append((kind, outer))
        return self.parts.get((kind, outer), {})


class Whole:
    """An account that has everything that is asked for."""

    def id_of(self, kind: str, name: str) -> str:
        return f"{kind}:{name}"

    def parts_of(self, kind: str, outer: str) -> Any:  # noqa: ANN401  # answers to every name
        class Parts(dict[str, str]):
            def get(self, name: str, default: object = "") -> Any:  # noqa: ANN401
                del default
                return f"{kind}:{name or 'only'}"

        del outer
        return Parts()


def test_every_resource_of_the_debug_stack_can_be_found() -> None:
    found = {item.address for item in find(WANTED, {}, Whole())}
    assert found == {item.instance for item in WANTED}


def test_what_nobody_wants_is_not_looked_for() -> None:
    without = replace(SETTINGS, has_images=False)
    found = {item.address for item in find(resources(DOCUMENT, without.variables()), {}, Whole())}
    assert {item.instance for item in WANTED} - found == {
        "aws_ecr_lifecycle_policy.images_lifecycle[0]",
        "aws_ecr_repository.images[0]",
        "aws_ecr_repository_policy.images_policy[0]",
    }


def test_the_policies_of_a_repository_have_its_name_as_their_id() -> None:
    name = SETTINGS.image_repository()
    account = Account({name: name}, {(adoption.IMAGES_POLICY, name): {"": name}})
    assert set(find(WANTED, {}, account)) == {
        Import("aws_ecr_repository.images[0]", name),
        Import("aws_ecr_repository_policy.images_policy[0]", name),
    }


def test_nothing_is_found_in_an_empty_account() -> None:
    account = Account()
    assert find(WANTED, {}, account) == ()
    assert account.asked == [], "nothing is asked about parts of what is not there"


def test_resources_are_found_by_the_names_of_their_stage() -> None:
    name = "terralive-orders-dev-ana"
    account = Account(
        {f"{name}-broker": f"{name}-broker", f"{name}-connections": f"{name}-connections"},
        {(adoption.ROLE_POLICY, f"{name}-broker"): {"broker": "broker", "other": "other"}},
    )
    assert set(find(WANTED, {}, account)) == {
        Import("aws_dynamodb_table.connections", f"{name}-connections"),
        Import("aws_iam_role.broker_role", f"{name}-broker"),
        Import("aws_iam_role_policy.broker_policy", f"{name}-broker:broker"),
        Import("aws_lambda_function.broker", f"{name}-broker"),
    }


def test_what_the_state_has_is_not_imported_again_and_its_parts_are_looked_for_in_it() -> None:
    apis = [item for item in WANTED if item.type == adoption.API]
    present = {item.address: f"mine-{item.address}" for item in apis}
    account = Account(
        {text: "another-api" for item in apis if (text := str(item.arguments["name"]))},
        {
            (adoption.ROUTE, f"mine-{item.address}"): {"$connect": "r1", "$default": "r2"}
            for item in apis
        },
    )
    found = find(WANTED, present, account)
    assert found
    assert {item.address.partition(".")[0] for item in found} == {adoption.ROUTE}
    assert all(item.id.startswith("mine-") for item in found)


def test_a_state_is_complete_without_what_is_not_always_wanted() -> None:
    present = {item.address: "x" for item in WANTED if not item.is_counted}
    assert is_complete(WANTED, present)
    assert [item.address for item in WANTED if item.is_counted] == [
        "aws_ecr_lifecycle_policy.images_lifecycle",
        "aws_ecr_repository.images",
        "aws_ecr_repository_policy.images_policy",
        "aws_iam_role_policy.broker_key_policy",
    ]
    del present["aws_lambda_function.broker"]
    assert not is_complete(WANTED, present)


def test_a_teams_own_resource_is_not_guessed_at() -> None:
    own: Any = {"resource": {"aws_sns_topic": {"mine": {"name": "x"}}}}
    assert find(resources(own, {}), {}, Whole()) == ()
    assert unknown(resources(own, {})) == ("aws_sns_topic.mine",)
    assert unknown(WANTED) == ()
    assert without_updates(own) == {"resource": {}}


def test_a_name_that_only_terraform_knows_is_not_looked_for() -> None:
    own: Any = {"resource": {"aws_s3_bucket": {"mine": {"bucket": "${random_pet.name.id}"}}}}
    assert find(resources(own, {}), {}, Whole()) == ()


def test_import_blocks_name_address_and_id() -> None:
    blocks = import_blocks([Import("aws_iam_role_policy.k[0]", "role:key"), Import("a.b", "c")])
    assert blocks == {
        "import": [
            {"to": "aws_iam_role_policy.k[0]", "id": "role:key"},
            {"to": "a.b", "id": "c"},
        ]
    }


def test_an_import_before_a_destroy_updates_nothing() -> None:
    changed: Any = without_updates(DOCUMENT)
    ignored = {
        f"{kind}.{name}": body["lifecycle"]["ignore_changes"]
        for kind, named in changed["resource"].items()
        for name, body in named.items()
    }
    # But a destroy has to remove what is in them, which no import knows.
    assert ignored.pop("aws_s3_bucket.stubs") == ["bucket", "tags"]
    assert ignored.pop("aws_ecr_repository.images") == [
        "encryption_configuration",
        "image_tag_mutability",
        "name",
        "tags",
    ]
    assert set(ignored.values()) == {"all"}
    assert changed["resource"].keys() == DOCUMENT["resource"].keys()
    assert changed["provider"] == DOCUMENT["provider"]
