"""The debug stacks that `gc` removes, keeps and leaves, and their configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.joining.description import StackDescription
from terralive_cli.stages import text
from terralive_cli.stages.cleanup.checkouts import stack_config
from terralive_cli.stages.cleanup.decision import CleanupWish, candidate_item, kept_item
from terralive_cli.stages.events import (
    CleanupAction,
    CleanupPlanned,
    CleanupResult,
    Connection,
    ListedStack,
)
from terralive_cli.stages.looks import StackItems, StackLook
from terralive_cli.stages.tagged import TaggedStack
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.substitution.marker import StageName

DAY = 24 * 3600
PR = ListedStack(
    app="orders",
    stage="pr-412",
    owner="ci",
    source="github.com/acme/orders",
    version="0.1.0",
    created="2026-11-20T12:00:00.000Z",
    age_s=10 * DAY,
    used="2026-11-25T12:00:00.000Z",
    idle_s=5 * DAY,
    connection=Connection.LEFT,
    holder="ana",
    machine="laptop",
    live=("orders-api",),
    cost="storage",
)
STAGE = StageName(PR.app, PR.stage)
WISH = CleanupWish(3 * DAY, protected=("prod*", "main"), production_words=("prod", "production"))


def test_a_debug_stack_that_nobody_has_used_for_the_time_is_removed() -> None:
    assert WISH.kept_because(PR) == ""
    assert WISH.left_because(("orders-api",), ()) == ""

    item = candidate_item(PR, "", ("orders-api",))

    assert (item.action, item.restores) == (CleanupAction.REMOVE, ("orders-api",))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"connection": Connection.CONNECTED, "idle_s": 0.0}, "ana on laptop is connected"),
        # Also where it was connected for longer than the age: the clock of its lease may differ.
        ({"connection": Connection.CONNECTED}, "ana on laptop is connected"),
        ({"connection": Connection.LOST}, "ana on laptop was connected a moment ago"),
        (
            {"connection": Connection.UNKNOWN, "note": "its table cannot be read: no"},
            "nobody knows whether it is in use: its table cannot be read: no",
        ),
        ({"idle_s": 2 * 3600.0}, "it was used 2 h ago"),
        # Its table is missing, and its tag of the day is somebody else's.
        ({"used": "", "created": "", "idle_s": 1.8e9}, "nobody knows when it was used or created"),
        ({"stage": "main"}, 'the stage is protected (by "main")'),
        ({"stage": "prod-eu"}, 'the stage is protected (by "prod*")'),
        ({"stage": "eu-prod"}, 'it looks like production: stage "eu-prod"'),
        ({"app": "orders-production"}, 'it looks like production: app "orders-production"'),
    ],
)
def test_what_is_in_use_or_protected_is_kept(changes: dict[str, Any], reason: str) -> None:
    assert WISH.kept_because(replace(PR, **changes)) == reason


def test_what_is_protected_is_kept_however_old_it_is() -> None:
    eternal = replace(PR, stage="main", idle_s=1000.0 * DAY)

    assert replace(WISH, older_than_s=0).kept_because(eternal) == (
        'the stage is protected (by "main")'
    )


@pytest.mark.parametrize(
    ("pattern", "is_named"),
    [
        ("pr-*", True),
        ("orders/pr-*", True),
        ("*/pr-412", True),
        ("dev-*", False),
        ("billing/pr-*", False),
        # Without a slash, it is a stage.
        ("orders", False),
    ],
)
def test_patterns_name_stages_or_apps_and_stages(pattern: str, *, is_named: bool) -> None:
    assert replace(WISH, matched=(pattern,)).names(STAGE) is is_named
    kept = replace(WISH, kept=(pattern,)).kept_because(PR)
    assert bool(kept) is is_named


def test_without_a_pattern_all_stages_are_meant() -> None:
    assert WISH.names(STAGE)


@pytest.mark.parametrize(
    ("matched", "is_named"),
    [((), False), (("pr-*",), False), (("*/pr-*",), True), (("orders/*",), True)],
)
def test_in_a_project_those_of_other_apps_are_meant_only_where_an_app_is_named(
    matched: tuple[str, ...], *, is_named: bool
) -> None:
    wish = replace(WISH, app="billing", matched=matched)

    assert wish.names(STAGE) is is_named
    # What is kept is kept in every app.
    assert replace(wish, kept=("pr-*",)).kept_because(PR) == "--except keeps it"
    assert wish.names(StageName("billing", "pr-412")) is (matched != ("orders/*",))


def test_a_debug_stack_is_left_where_its_functions_cannot_be_put_back() -> None:
    reason = WISH.left_because((), ("orders-api: its version 3 cannot be read",))

    assert reason == ("its functions cannot be put back: orders-api: its version 3 cannot be read")
    assert candidate_item(PR, reason, ()).action is CleanupAction.LEFT


def test_a_function_that_looks_like_production_is_not_touched() -> None:
    assert WISH.left_because(("orders-api", "orders-prod"), ()) == (
        'it looks like production: function "orders-prod"'
    )
    # Nothing is real in the sandbox.
    assert replace(WISH, production_words=()).left_because(("orders-prod",), ()) == ""


def test_the_plan_names_what_is_removed_left_and_kept() -> None:
    items = (
        kept_item(replace(PR, stage="dev-ana"), "ana on laptop is connected"),
        candidate_item(replace(PR, stage="pr-7"), "its functions cannot be put back: api", ()),
        candidate_item(PR, "", ("orders-api",)),
    )

    lines = [line.text for line in text.cleanup_planned(CleanupPlanned("here", 3 * DAY, items, 2))]

    assert lines == [
        "To be removed in here: 1 debug stack",
        "  remove  orders/pr-412   ci, idle for 5 d; own code goes back to orders-api",
        "  left    orders/pr-7     its functions cannot be put back: api",
        "  keep    orders/dev-ana  ana on laptop is connected",
        "  2 other debug stacks not matched by this command",
    ]


@pytest.mark.parametrize(
    ("items", "line"),
    [
        ((), "Nothing to remove in here: no debug stack matches."),
        (
            (kept_item(PR, "it was used 2 h ago"),),
            "Nothing to remove in here.",
        ),
        ((candidate_item(PR, "no", ()),), "Nothing can be removed in here."),
    ],
)
def test_a_plan_that_removes_nothing_says_so(items: tuple[Any, ...], line: str) -> None:
    first, *_ = text.cleanup_planned(CleanupPlanned("here", 3 * DAY, items))

    assert first.text == line


def test_the_end_of_each_debug_stack_is_told() -> None:
    results = (
        CleanupResult("orders", "pr-7", removed=True),
        CleanupResult("orders", "pr-8", removed=True, restored=("api", "job")),
        CleanupResult("orders", "pr-9", removed=False, reason="somebody has used it."),
    )

    assert [line.text for result in results for line in text.cleanup_result(result)] == [
        "orders/pr-7 is removed.",
        "orders/pr-8 is removed. api, job: own code again.",
        "orders/pr-9 stays: somebody has used it.",
    ]


def look(description: StackDescription | None, name: str, app: str = "orders") -> StackLook:
    stack = TaggedStack(
        stage=StageName(app, "pr-412"),
        owner="ci",
        created="2026-11-20",
        version="0.1.0",
        source="github.com/acme/orders",
        name=name,
        arns=(),
        tags={},
    )
    return StackLook(stack, StackItems(exists=True, description=description))


def described(**wishes: Any) -> StackDescription:  # noqa: ANN401  # demands of any type
    return StackDescription(
        "orders",
        "pr-412",
        "github.com/acme/orders",
        "ci",
        "2026-11-20",
        "0.1.0",
        3,
        wishes,
        {},
    )


def checkout(root: Path, more: str = "") -> Any:  # noqa: ANN401  # a Config
    root.mkdir(exist_ok=True)
    (root / "terralive.toml").write_text(
        f'app = "orders"\nsource = "github.com/acme/orders"\n{more}', "utf-8"
    )
    return load(project=root, flags={}, environ={}, user="ana")


BACKEND = '\n[backend]\ntype = "s3"\nconfig = { bucket = "b", key = "{app}/{stage}.tfstate" }\n'


def test_a_stage_of_this_checkout_has_its_own_backend(tmp_path: Path) -> None:
    found = stack_config(
        checkout(tmp_path, BACKEND), look(described(), "terralive-orders-pr-412"), {}
    )

    assert found.is_own
    assert found.config.backend is not None
    assert found.config.backend.config["key"] == "orders/pr-412.tfstate"
    assert (found.config.app, found.config.stage) == ("orders", "pr-412")


def test_another_app_has_the_settings_that_it_was_deployed_with(tmp_path: Path) -> None:
    demands = described(role_path="/acme/", tags={"team": "billing"}, log_retention_days=14)
    other = look(replace(demands, app="billing"), "acme-billing-pr-412", app="billing")

    found = stack_config(checkout(tmp_path, BACKEND), other, {})

    assert (found.is_own, found.reason) == (False, "")
    assert found.config.backend is None
    demanded = found.config.debug_stack
    assert (demanded.name_prefix, demanded.role_path) == ("acme", "/acme/")
    assert (demanded.tags, demanded.log_retention_days) == ({"team": "billing"}, 14)
    assert (found.config.app, found.config.source) == ("billing", "github.com/acme/orders")


def test_the_same_app_of_another_repository_is_another_app(tmp_path: Path) -> None:
    other = replace(described(), source="github.com/other/orders")

    found = stack_config(checkout(tmp_path, BACKEND), look(other, "terralive-orders-pr-412"), {})

    assert not found.is_own
    assert found.config.source == "github.com/other/orders"


def test_resources_of_a_teams_own_class_are_not_left_behind(tmp_path: Path) -> None:
    mine = {"class": "infra.debug:Ours", "role_path": "/"}
    other = look(described(**mine), "terralive-billing-pr-412", app="billing")

    found = stack_config(checkout(tmp_path), other, {})

    assert "infra.debug:Ours" in found.reason


def test_a_name_whose_prefix_is_not_known_is_left(tmp_path: Path) -> None:
    long = "an-app-with-a-name-that-is-very-long-indeed-it-is"
    name = DebugStackSettings(long, "pr-412", "", "", "", "", name_prefix="secret").name()

    found = stack_config(checkout(tmp_path), look(described(), name, app=long), {})

    assert found.reason == f"the prefix of the name {name} is not known"
