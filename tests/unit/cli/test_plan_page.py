"""The page that shows a plan: live functions, functions that stay as they are, other changes."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.app.checks import nothing_live
from terralive_cli.app.live_plan import LivePlan, LivePlans
from terralive_cli.app.plan_event import plan_event
from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config, Output
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.plans import ReadyPlan, without_keys
from terralive_cli.functions.mapping import map_functions
from terralive_cli.functions.reasons import unplanned
from terralive_cli.output.events import (
    ChangesListed,
    Fallback,
    LiveFunction,
    NotLiveFunction,
    PlanMade,
    ResourceChange,
)
from terralive_cli.output.renderer import Renderer
from terralive_relay.events import Event
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.progress import Change
from terralive_terraform.substitution.other_changes import OtherChange
from terralive_terraform.substitution.rules import NotLive

UNKNOWN = "its local code is not known"
ORDERS = LiveFunction(
    name="",
    address="aws_lambda_function.orders",
    runtime="python3.13",
    handler="app.handler",
    path="/w/shop/services/orders",
    found_by="archive_file data.archive_file.orders",
    triggers=("API Gateway", "SQS"),
)
MAIL = LiveFunction(
    name="",
    address="module.mail.aws_lambda_function.this[0]",
    runtime="python3.13",
    handler="send.handler",
    path="/w/shop",
    found_by="handler send.py",
)
SIGNED = NotLiveFunction(
    "aws_lambda_function.signed", "it accepts signed code only", key="code_signing_config_arn"
)
QUEUE = ResourceChange("aws_sqs_queue.jobs", "create", "aws_sqs_queue")


def jobs(count: int) -> tuple[NotLiveFunction, ...]:
    """Functions that stay as they are for one reason, each with lines of its own to add."""
    return tuple(
        NotLiveFunction(
            f"module.team_{n}.aws_lambda_function.this",
            UNKNOWN,
            add=(f"[functions.'module.team_{n}.aws_lambda_function.this']", 'path = "…"'),
        )
        for n in range(count)
    )


def plan(*functions: LiveFunction, not_live: tuple[NotLiveFunction, ...] = ()) -> PlanMade:
    return PlanMade("dev-ana", functions, changes=2, not_live=not_live, project="/w/shop")


def shown(*events: Event, output: Output = Output.PLAIN) -> list[str]:
    stream = io.StringIO()
    with Renderer.start(output, stream) as renderer:
        for event in events:
            renderer.emit(event)
    return stream.getvalue().splitlines()


class Screen(io.StringIO):
    """A terminal, as far as rich asks."""

    def isatty(self) -> bool:
        return True


class Terminal:
    """A terminal of so many columns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def rows(self, columns: int, event: Event) -> list[str]:
        """Return the rows of an event, without control sequences."""
        self._monkeypatch.setenv("COLUMNS", str(columns))
        screen = Screen()
        with Renderer.start(Output.RICH, screen, screen) as renderer:
            renderer.emit(event)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(monkeypatch)


def test_a_plan_is_one_page_of_three_groups() -> None:
    made = replace(plan(ORDERS, MAIL, not_live=(SIGNED, *jobs(1))), other_changes=(QUEUE,))

    assert shown(made, ChangesListed("dev-ana", (QUEUE,))) == [
        "Plan of stage dev-ana: 2 functions live, 2 not live, 1 other change.",
        "Terraform would change 2 resources of the app.",
        "",
        "Live: they would run on this machine.",
        (
            "  orders               app.handler in services/orders  invoked by API Gateway, SQS  "
            "found by archive_file data.archive_file.orders"
        ),
        "  module.mail.this[0]  send.handler in this folder     found by handler send.py",
        "",
        "Not live: they stay as they are.",
        "  signed",
        "    It accepts signed code only (code_signing_config_arn).",
        "  module.team_0.this",
        "    Its local code is not known.",
        "    Add to terralive.toml:",
        "      [functions.'module.team_0.aws_lambda_function.this']",
        '      path = "…"',
        "",
        "Other changes, beside the functions' code:",
        "  create  aws_sqs_queue.jobs",
    ]


def test_thirty_functions_with_one_reason_are_one_block() -> None:
    page = shown(plan(ORDERS, not_live=jobs(30)))

    assert page[0].endswith("1 function live, 30 not live.")
    text = "\n".join(page)
    assert text.count("Its local code is not known.") == 1
    assert text.count("path = ") == 1
    assert "  30 functions: module.team_0.this, module.team_1.this" in text
    assert "module.team_29.this" in text
    assert "Add to terralive.toml, a table for each of them:" in text


def test_another_line_to_add_is_another_block() -> None:
    first, second = jobs(2)
    other = replace(second, add=(second.add[0], 'handler = "…"'))
    text = "\n".join(shown(plan(ORDERS, not_live=(first, other))))
    assert text.count("Its local code is not known.") == 2


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("count", [1, 60])
def test_no_row_is_wider_than_the_terminal(terminal: Terminal, columns: int, count: int) -> None:
    functions = tuple(
        replace(ORDERS, address=f'module.orders["{n}"].aws_lambda_function.this')
        for n in range(count)
    )

    rows = terminal.rows(columns, plan(*functions, not_live=jobs(count)))

    assert max(len(row) for row in rows) <= columns
    assert len([row for row in rows if "app.handler in services/orders" in row]) == count
    assert sum("its local code is not known" in row.lower() for row in rows) == 1


def test_a_narrow_terminal_shows_where_a_function_comes_from_in_a_row_below(
    terminal: Terminal,
) -> None:
    rows = terminal.rows(80, plan(ORDERS))
    assert rows[4:6] == [
        "  orders  app.handler in services/orders",
        "          invoked by API Gateway, SQS  found by archive_file",
    ]


def test_a_wide_terminal_shows_each_function_in_one_row(terminal: Terminal) -> None:
    rows = terminal.rows(200, plan(ORDERS, MAIL))
    assert rows[4].endswith("found by archive_file data.archive_file.orders")
    assert rows[5].endswith("found by handler send.py")


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("app.py is in 2 folders: a, b", "    app.py is in 2 folders: a, b."),
        ("terralive itself runs Python", "    terralive itself runs Python."),
        ("The handler is missing. Correct it.", "    The handler is missing. Correct it."),
    ],
)
def test_a_reason_is_a_sentence_and_names_stay_as_they_are(reason: str, sentence: str) -> None:
    made = plan(not_live=(NotLiveFunction("aws_lambda_function.fn", reason),))
    assert shown(made)[-1] == sentence


def test_a_key_that_the_reason_names_is_not_named_twice() -> None:
    ignored = NotLiveFunction("f", "remove filename from ignore_changes", key="ignore_changes")
    assert shown(plan(not_live=(ignored,)))[-1] == "    Remove filename from ignore_changes."


def test_where_nothing_can_be_live_the_error_does_not_repeat_the_page() -> None:
    many = {f"f{n}": NotLive(f"f{n}", UNKNOWN) for n in range(30)}
    assert nothing_live(many, {}).message == "None of the app's 30 functions can be made live."
    one = {"f": NotLive("f", UNKNOWN, lines=("[functions.'f']", 'path = "…"'))}
    message = nothing_live(one, {}).message
    assert message.splitlines() == [
        f"No function of the app can be made live. f: {UNKNOWN}. Add to terralive.toml:",
        "[functions.'f']",
        'path = "…"',
    ]
    assert nothing_live({}, {}).message == "The app has no Lambda functions."


def test_where_options_leave_all_functions_out_the_error_names_the_options() -> None:
    left_out = {"f": NotLive("f", "--only leaves it out"), "g": NotLive("g", UNKNOWN)}
    assert "docs/CONFIGURATION.md" in nothing_live(left_out, {}).hint
    del left_out["g"]
    assert "--only" in nothing_live(left_out, {}).hint


def test_the_name_of_a_file_keeps_its_small_letter_at_the_beginning() -> None:
    reason = "terralive.toml leaves it out (live = false)"
    made = plan(not_live=(NotLiveFunction("aws_lambda_function.fn", reason),))
    assert shown(made)[-1] == f"    {reason}."


def test_where_terraform_cannot_plan_the_page_says_so() -> None:
    page = shown(replace(plan(ORDERS), changes=None))
    assert page[1] == "Terraform has made no plan. This is what is known without one."


def test_no_path_is_asked_for_where_a_plan_may_tell_it() -> None:
    item = NotLive("f", UNKNOWN, lines=("[functions.'f']", 'path = "…"'))
    assert unplanned(item) == NotLive("f", "its code is looked for once Terraform can plan")
    java = NotLive("f", "no program", lines=("[functions.'f']", 'command = ["…"]'))
    assert unplanned(java) == java


def test_keys_of_stub_images_are_in_no_text_of_terraform() -> None:
    key = "0123456789abcdef" * 4
    text = f'  ~ command = [\n      + "v2",\n      - "{key}",\n        "{key}",\n    ]\n'
    text += f'  + hash = "{key}"\n'
    assert without_keys(text) == text.replace(f'"{key}",', '"(hidden)",')


# From the app to the event


def made(folder: Path, *functions: DeclaredFunction, located: object = None) -> LivePlans:
    """A plan that makes functions live, which updates each of them."""
    places = {}
    for function in functions:
        for instance in function.instances or ():
            places[instance.address] = (
                FoundCode(folder, "handler app.py")
                if located is None
                else CodeNotFound("app.py is in 2 folders: a, b")
            )
    mapped = map_functions(config(folder), functions, places)
    ready = ReadyPlan.__new__(ReadyPlan)  # only its plan is looked at
    changes = tuple(Change(item.address, "update", "aws_lambda_function") for item in functions)
    file = Path("unused")
    object.__setattr__(ready, "plan", TerraformPlan(changes, has_changes=True, file=file))
    refused = {
        "aws_lambda_function.signed": NotLive("aws_lambda_function.signed", "signed", key="k"),
        **mapped.unmapped,
    }
    accounts = Accounts.__new__(Accounts)  # nobody looks at it
    others = (OtherChange("aws_sqs_queue.jobs", "create", "aws_sqs_queue"),)
    return LivePlans((LivePlan(ready, functions, mapped, refused, accounts, others=others),))


def config(folder: Path) -> Config:
    return Config(folder, "orders", "dev-ana", "ana", TerraformConfig(folder))


def function(name: str) -> DeclaredFunction:
    address = f"aws_lambda_function.{name}"
    instance = PlannedFunction(
        address, "", handler="app.handler", runtime="python3.13", invoked_by=("SQS",)
    )
    return DeclaredFunction(address, name, instances=(instance,))


def test_scripts_get_one_object_with_the_three_groups(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...\n")
    event = plan_event(config(tmp_path), made(tmp_path, function("fn")))

    (line,) = shown(event, output=Output.JSON)
    document = json.loads(line)

    assert (document["type"], document["changes"], document["first"]) == ("plan", 1, False)
    (live,) = document["functions"]
    assert (live["address"], live["triggers"]) == ("aws_lambda_function.fn", ["SQS"])
    assert live["found_by"] == "handler app.py"
    assert document["not_live"] == [
        {"address": "aws_lambda_function.signed", "reason": "signed", "key": "k", "add": []}
    ]
    assert document["other_changes"] == [
        {
            "address": "aws_sqs_queue.jobs",
            "action": "create",
            "resource_type": "aws_sqs_queue",
            "attributes": [],
        }
    ]


def test_a_function_without_code_has_the_lines_to_add(tmp_path: Path) -> None:
    event = plan_event(config(tmp_path), made(tmp_path, function("fn"), located="nowhere"))

    found = event.not_live[-1]
    assert found.reason == "app.py is in 2 folders: a, b"
    assert found.add == ("[functions.'aws_lambda_function.fn']", 'path = "…"')
    text = event.refused["aws_lambda_function.fn"]
    assert text.splitlines() == [f"{found.reason}. Add to terralive.toml:", *found.add]


def test_a_plan_says_once_for_each_reason_who_answers_where_nobody_is_connected() -> None:
    reason = "its reserved concurrency is 1"
    functions = (
        replace(ORDERS, fallback=Fallback("7", stale=("Environment", "MemorySize"))),
        replace(MAIL, fallback=Fallback(None, reason)),
        replace(MAIL, name="second", fallback=Fallback(None, reason)),
    )
    text = "\n".join(shown(plan(*functions)))
    assert "Where nobody is connected, the deployed code of orders answers." in text
    assert text.count(reason) == 1
    assert f"second fail: {reason}." in text
    assert (
        "The version of orders that answers has former settings (Environment, MemorySize)" in text
    )


def test_a_plan_names_the_version_that_is_published_anew() -> None:
    function = replace(ORDERS, fallback=Fallback("7", stale=("Role",), renewed=True))
    text = "\n".join(shown(plan(function)))
    assert "former settings (Role). It is published anew with those of now." in text
    assert "terralive restore" not in text


def test_a_plan_names_no_function_where_the_deployed_code_of_all_answers() -> None:
    functions = [replace(item, fallback=Fallback()) for item in (ORDERS, MAIL)]
    text = "\n".join(shown(plan(*functions)))
    assert "Where nobody is connected, the deployed code of all functions answers." in text


def test_the_event_of_a_plan_has_the_fallback_of_each_function() -> None:
    function = replace(ORDERS, fallback=Fallback("7"))
    (line,) = shown(plan(function), output=Output.JSON)
    (event,) = json.loads(line)["functions"]
    assert event["fallback"] == {
        "version": "7",
        "reason": "",
        "stale": [],
        "renewed": False,
        "own_code_first": "",
    }


def test_a_plan_names_the_functions_that_get_their_own_code_before_the_stub() -> None:
    functions = (
        replace(ORDERS, fallback=Fallback(own_code_first="fallback = true")),
        replace(MAIL, fallback=Fallback(own_code_first="publish = true")),
        replace(MAIL, name="second", fallback=Fallback(own_code_first="publish = true")),
        replace(MAIL, name="third", fallback=Fallback()),
    )
    lines = shown(plan(*functions))
    own_code = [line.strip() for line in lines if "Own code first" in line]
    assert own_code == [
        "Own code first, then the stub (fallback = true): orders.",
        "Own code first, then the stub (publish = true): module.mail.this[0], second.",
    ]
