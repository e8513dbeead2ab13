"""Changes of a plan that a user has to see: all but the stubs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, StubObject
from terralive_terraform.discovery.declared import DeclaredFunction, declared_function
from terralive_terraform.image_stub import ImageStub
from terralive_terraform.output.shown_plan import shown_plan
from terralive_terraform.substitution.marker import StageName, live_description, stage_of
from terralive_terraform.substitution.other_changes import OtherChange, other_changes
from terralive_terraform.substitution.rules import (
    LiveSettings,
    Substitution,
    substitute,
)

LIVE = "module.orders.aws_lambda_function.api"
DESCRIPTION = live_description(StageName("orders", "dev-ana"))
STUB: dict[str, Json] = {"handler": STUB_HANDLER, "description": DESCRIPTION}
OWN: dict[str, Json] = {"handler": "app.handler", "description": "Takes orders", "memory_size": 128}


def resource(address: str, *actions: str, **change: object) -> dict[str, Any]:
    kind = address.split("[", maxsplit=1)[0].rsplit(".", 2)[-2]
    return {
        "address": address,
        "mode": "managed",
        "type": kind,
        "change": {"actions": list(actions), **change},
    }


def others(
    *resources: dict[str, Any],
    live: tuple[str, ...] = (),
    raised: dict[str, int] | None = None,
    functions: tuple[DeclaredFunction, ...] = (),
) -> tuple[OtherChange, ...]:
    plan = shown_plan({"resource_changes": list(resources)})
    return other_changes(plan, functions, live=live, raised=raised)


def changed_attributes(
    before: dict[str, Json],
    after: dict[str, Json],
    *,
    raised: dict[str, int] | None = None,
    functions: tuple[DeclaredFunction, ...] = (),
) -> tuple[str, ...]:
    """The attributes that a user sees in a plan of one function, before it is applied."""
    live: tuple[str, ...] = ()
    if after.get("handler") == STUB_HANDLER:
        live = (LIVE,)
    change = resource(f"{LIVE}[0]", "update", before=before, after=after)
    found = others(change, live=live, raised=raised, functions=functions)
    return tuple(name for change in found for name in change.attributes)


def test_a_stub_in_the_place_of_a_function_is_no_other_change() -> None:
    change = resource(
        f"{LIVE}[0]",
        "update",
        before={**OWN, "version": "1"},
        after={**OWN, **STUB},
        after_unknown={"version": True, "last_modified": True, "environment": []},
    )
    assert others(change, live=(LIVE,)) == ()


def test_a_restore_is_no_other_change() -> None:
    assert others(resource(LIVE, "update", before={**OWN, **STUB}, after=OWN)) == ()


@pytest.mark.parametrize("live", [(LIVE,), ()])
def test_what_else_changes_on_a_live_function_is_named(live: tuple[str, ...]) -> None:
    before, after = {**OWN, **STUB}, {**OWN, "memory_size": 512}
    change = resource(LIVE, "update", before=before, after=after)
    assert others(change, live=live) == (
        OtherChange(LIVE, "update", "aws_lambda_function", ("memory_size",)),
    )


@pytest.mark.parametrize("name", ["publish", "timeout", "memory_size", "tags"])
def test_a_teams_own_change_is_named_when_its_function_becomes_live_or_is_restored(
    name: str,
) -> None:
    """A colleague has changed it in the configuration, and nobody has applied that yet."""
    old, new = {**OWN, name: 30}, {**OWN, name: 60}
    assert changed_attributes(old, {**new, **STUB}) == (name,)
    assert changed_attributes({**old, **STUB}, {**new, **STUB}) == (name,)
    assert changed_attributes({**old, **STUB}, new) == (name,)


def test_a_timeout_that_is_raised_for_a_debugger_and_taken_back_is_no_other_change() -> None:
    own, debugged = {**OWN, "timeout": 30}, {**OWN, **STUB, "timeout": 900}
    assert changed_attributes(own, debugged, raised={LIVE: 900}) == ()
    assert changed_attributes(debugged, {**own, **STUB}) == ()
    assert changed_attributes(debugged, own) == ()
    # A team's own change to that number is not terralive's.
    assert changed_attributes(own, debugged) == ("timeout",)
    assert changed_attributes({**own, **STUB}, {**own, "timeout": 900}) == ("timeout",)


def test_a_timeout_is_raised_to_a_queues_visibility_only() -> None:
    function = DeclaredFunction(LIVE, "api", timeout=30, queue_visibilities=(60,))
    own, debugged = {**OWN, "timeout": 30}, {**OWN, **STUB, "timeout": 60}
    assert changed_attributes(debugged, own, functions=(function,)) == ()
    assert changed_attributes({**debugged, "timeout": 900}, own, functions=(function,)) == (
        "timeout",
    )


def test_layers_that_the_stub_keeps_are_the_teams() -> None:
    old: dict[str, Json] = {**OWN, "layers": ["a:1"]}
    new: dict[str, Json] = {**OWN, "layers": ["a:2"]}
    assert changed_attributes(old, {**new, **STUB}) == ("layers",)
    assert changed_attributes({**old, **STUB}, new) == ("layers",)
    assert changed_attributes(old, {**old, **STUB, "layers": []}) == ()
    assert changed_attributes({**old, **STUB, "layers": None}, new) == ()


def test_all_that_the_rules_change_is_no_other_change() -> None:
    settings = LiveSettings(
        Path("/stage/stub.zip"),
        "aGFzaA==",
        image_stub=ImageStub(
            {"x86_64": "stub:1"}, StubCoordinates("wss://x", "orders", "dev", bytes(32)), "arn:"
        ),
        description=DESCRIPTION,
    )
    own: dict[str, Json] = {"function_name": "api", "description": "Takes orders"}
    as_zip: dict[str, Json] = {
        "s3_bucket": "b",
        "s3_key": "k",
        "s3_object_version": "1",
        "layers": ["a"],
        "snap_start": [{"apply_on": "PublishedVersions"}],
        "handler": "a.b",
        "runtime": "r",
    }
    as_image: dict[str, Json] = {"image_uri": "own:1", "package_type": "Image"}
    in_s3 = replace(settings, stub_object=StubObject("stubs", "stub/6f.zip"))
    as_file: dict[str, Json] = {"filename": "a.zip", "handler": "a.b", "runtime": "r"}
    for code, live in ((as_zip, settings), (as_image, settings), (as_zip, in_s3), (as_file, in_s3)):
        before = {**own, **code}
        substitution = substitute(declared_function(LIVE, before), live)
        assert isinstance(substitution, Substitution)
        removed = dict.fromkeys((*substitution.unset, *substitution.removed_blocks))
        after = {**before, **substitution.set, **substitution.blocks, **removed}
        assert others(resource(LIVE, "update", before=before, after=after), live=(LIVE,)) == ()
        assert others(resource(LIVE, "update", before=after, after=before)) == ()


def test_an_edit_of_a_function_that_is_not_live_is_named() -> None:
    """A restore would deploy it."""
    address = "aws_lambda_function.other"
    change = resource(
        address, "update", before={"source_code_hash": "a"}, after={"source_code_hash": "b"}
    )
    assert others(change, live=(LIVE,)) == (
        OtherChange(address, "update", "aws_lambda_function", ("source_code_hash",)),
    )


def test_everything_else_is_named_by_address_and_action() -> None:
    found = others(
        resource("aws_db_instance.a", "delete", before={"id": "a"}, after=None),
        resource("aws_sqs_queue.b", "delete", "create", before={}, after={}),
        resource("aws_sqs_queue.c", "create", "delete", before={}, after={}),
        resource('aws_sns_topic.d["x.y"]', "create", before=None, after={}),
        resource("aws_s3_bucket.e", "forget", before={"id": "e"}, after=None),
        resource("aws_iam_role.f", "no-op", before={"id": "f"}, after={"id": "f"}),
        {**resource("aws_iam_role.g", "no-op"), "previous_address": "aws_iam_role.old"},
        {**resource("data.aws_ami.h", "read"), "mode": "data"},
        resource("aws_iam_role.i", "no-op", importing={"id": "i"}),
    )
    assert [(change.address, change.action, change.destroys) for change in found] == [
        ("aws_db_instance.a", "delete", True),
        ("aws_sqs_queue.b", "replace", True),
        ("aws_sqs_queue.c", "replace", True),
        ('aws_sns_topic.d["x.y"]', "create", False),
        ("aws_s3_bucket.e", "forget", False),
        ("aws_iam_role.g", "move", False),
        ("aws_iam_role.i", "import", False),
    ]


@pytest.mark.parametrize("actions", [("delete",), ("delete", "create")])
def test_a_live_function_that_is_destroyed_is_named(actions: tuple[str, ...]) -> None:
    (change,) = others(resource(LIVE, *actions, before={**OWN, **STUB}, after={}), live=(LIVE,))
    assert change.destroys


def test_a_plan_is_the_first_where_nothing_exists() -> None:
    created = resource("aws_iam_role.a", "create", before=None, after={})
    existing = resource("aws_iam_role.b", "no-op", before={"id": "b"}, after={"id": "b"})
    assert shown_plan({"resource_changes": [created]}).is_first
    assert not shown_plan({"resource_changes": [created, existing]}).is_first


def test_no_value_of_a_plan_is_in_its_repr() -> None:
    plan = shown_plan({"resource_changes": [resource(LIVE, "update", before={"p": "secret"})]})
    assert "secret" not in repr(plan)


def test_a_description_says_for_which_stage_a_function_is_live() -> None:
    name = StageName("a" * 40, "dev-ana_1")
    assert stage_of(live_description(name)) == name
    assert len(live_description(StageName("a" * 40, "s" * 40))) <= 256
    assert stage_of("Takes orders") is None
    assert stage_of("") is None


@pytest.mark.parametrize(
    ("address", "action", "destroys"),
    [
        ("null_resource.build", "replace", False),
        ("terraform_data.build", "replace", False),
        ("null_resource.build", "delete", True),
        ("aws_sqs_queue.jobs", "replace", True),
    ],
)
def test_a_command_that_runs_again_destroys_nothing(
    address: str, action: str, *, destroys: bool
) -> None:
    assert OtherChange(address, action, address.partition(".")[0]).destroys is destroys
