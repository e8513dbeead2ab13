"""Questions before a change, and changes that never happen without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.app.live_plan import LivePlan, LivePlans, RestorePlan
from terralive_cli.app.plan_event import changed_resources
from terralive_cli.code_changes.changes import CodeChange, Keep
from terralive_cli.code_changes.of_app import PlannedCode
from terralive_cli.deploy import approval
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.fallback.stage_fallback import PlannedFallback
from terralive_cli.functions.mapping import Mapped, MappedFunction
from terralive_cli.output.events import Fallback
from terralive_cli.restoring.exact import Original
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.progress import Change
from terralive_terraform.substitution.other_changes import OtherChange
from terralive_testing.fakes.user import AnsweringUser
from terralive_workers.function import LocalCode

STUB = Change("module.a.aws_lambda_function.this[0]", "update", "aws_lambda_function")
DATABASE = OtherChange("aws_db_instance.orders", "delete", "aws_db_instance")
ACCOUNTS = Accounts.__new__(Accounts)  # nobody looks at it
TOPIC = OtherChange("aws_sns_topic.t", "update", "aws_sns_topic", ("display_name",))


def plan(*changes: Change) -> TerraformPlan:
    return TerraformPlan(changes, has_changes=bool(changes), file=Path("unused"))


def ready(*changes: Change) -> ReadyPlan:
    made = ReadyPlan.__new__(ReadyPlan)  # only its plan is looked at
    object.__setattr__(made, "plan", plan(*changes))
    return made


def restore(user: AnsweringUser, *others: OtherChange) -> None:
    approval.ask_restore(user.stage, user.ui, [RestorePlan(ready(STUB), others)])


def live_plan(*others: OtherChange, is_first: bool = False) -> LivePlans:
    code = LocalCode(
        address=STUB.address,
        runtime="python3.13",
        handler="app.handler",
        path=Path("api"),
        python=Path("python3"),
    )
    mapped = Mapped({STUB.address: MappedFunction({STUB.address: code}, {})})
    made = LivePlan(ready(STUB), (), mapped, {}, ACCOUNTS, others=others, is_first=is_first)
    return LivePlans((made,))


def test_putting_back_code_that_terraform_does_not_see_is_asked_for_too() -> None:
    user = AnsweringUser(Path(), "n\n")
    unseen = RestorePlan(ready(), (), frozenset({STUB.address, "aws_lambda_function.b"}))
    assert unseen.is_needed
    with pytest.raises(approval.Declined):
        approval.ask_restore(user.stage, user.ui, [unseen])
    assert user.questions() == [
        "Put the functions' own code of orders/dev-ana back in the sandbox (2 functions)?"
    ]


def original(*, is_ignored: bool = False) -> Original:
    made = Original.__new__(Original)  # only this is looked at
    object.__setattr__(made, "is_ignored", is_ignored)
    return made


def test_a_restore_names_the_code_that_goes_back_to_each_function() -> None:
    user = AnsweringUser(Path(), "y\n")
    edited, shipped = "aws_lambda_function.edited", "aws_lambda_function.shipped"
    plan = RestorePlan(
        ready(STUB),
        (),
        frozenset({STUB.address, edited, shipped}),
        originals={edited: original(), shipped: original(is_ignored=True)},
        unrecorded=(STUB.address,),
    )
    approval.show_code(user.ui, [plan])
    approval.ask_restore(user.stage, user.ui, [plan])
    assert user.questions() == [
        "Put the functions' own code of orders/dev-ana back in the sandbox (3 functions)?"
    ]
    before, local = user.screen().split("The code of the working tree")
    assert "goes back to edited. `terralive restore --deploy-local`" in " ".join(before.split())
    assert "goes back to shipped by Lambda's API: Terraform ignores" in " ".join(before.split())
    assert "is deployed to a: terralive has no record" in " ".join(local.split())


def test_putting_code_back_is_one_question() -> None:
    user = AnsweringUser(Path(), "y\n")
    restore(user)
    assert user.questions() == [
        "Put the functions' own code of orders/dev-ana back in the sandbox (1 to change)?"
    ]
    assert user.screen() == ""


def test_a_database_is_never_destroyed_by_a_clean_up_job() -> None:
    user = AnsweringUser(Path(), yes=True)
    with pytest.raises(TerraliveError, match=r"aws_db_instance\.orders") as raised:
        restore(user, TOPIC, DATABASE)
    assert (raised.value.reference, raised.value.exit_code) == ("would-destroy", 1)
    assert "delete  aws_db_instance.orders" in user.screen()


def test_without_a_terminal_nothing_else_is_changed() -> None:
    user = AnsweringUser(Path())
    with pytest.raises(ConfigurationError) as raised:
        restore(user, TOPIC)
    assert raised.value.reference == "confirmation-needed"


def test_a_database_is_destroyed_only_after_a_question_of_its_own() -> None:
    user = AnsweringUser(Path(), "y\ny\n")
    restore(user, TOPIC, DATABASE)
    assert user.questions()[1:] == [
        "Also make the 2 other changes that the configuration asks for (1 to change, 1 to destroy)?"
    ]


def test_a_no_to_the_other_changes_stops_everything() -> None:
    with pytest.raises(approval.Declined, match="Nothing was changed"):
        restore(AnsweringUser(Path(), "y\nn\n"), DATABASE)


def test_a_drift_that_destroys_nothing_is_listed_and_done() -> None:
    user = AnsweringUser(Path(), yes=True)
    restore(user, TOPIC)
    assert "update  aws_sns_topic.t  (display_name)" in user.screen()


def test_debug_stack_and_app_are_one_question_that_names_functions_by_module() -> None:
    user = AnsweringUser(Path(), "y\n")
    stack = plan(Change("aws_dynamodb_table.connections", "create", "aws_dynamodb_table"))
    approval.ask_deployment(user.stage, user.ui, stack, live_plan())
    (question,) = user.questions()
    assert question == (
        "Deploy the debug stack of orders/dev-ana in the sandbox (1 to add), and make a live (1 to "
        "change)?"
    )


def with_code(keep: Keep) -> LivePlans:
    (made,) = live_plan().plans
    change = CodeChange(STUB.address, "arn", "other=", keep=keep)
    return LivePlans((replace(made, ready=ready(), code=PlannedCode((change,))),))


def test_code_that_terraform_does_not_notice_is_named_and_asked_for() -> None:
    user = AnsweringUser(Path(), "y\n")
    assert with_code(Keep.VERSION).has_changes
    approval.ask_deployment(user.stage, user.ui, plan(), with_code(Keep.VERSION))
    assert user.questions() == [
        "Make a of orders/dev-ana live in the sandbox (the code of 1 function by Lambda's API)?"
    ]
    assert "by Lambda's API: other code was deployed over its stub" in user.screen()


def test_code_that_is_lost_has_a_question_of_its_own() -> None:
    user = AnsweringUser(Path(), "y\nn\n")
    with pytest.raises(approval.Declined, match="Nothing was changed"):
        approval.ask_deployment(user.stage, user.ui, plan(), with_code(Keep.LOST))
    assert user.questions()[1:] == [
        "Also replace the code of a, which is in no version and is lost?"
    ]


def test_a_first_deployment_lists_the_app_and_asks_once() -> None:
    user = AnsweringUser(Path(), "y\n")
    roles = [OtherChange(f"aws_iam_role.r{n}", "create", "aws_iam_role") for n in range(30)]
    functions = [
        OtherChange(f"module.{name}.aws_lambda_function.this", "create", "aws_lambda_function")
        for name in ("api", "worker")
    ]
    made = live_plan(*roles, *functions, is_first=True)
    approval.ask_deployment(user.stage, user.ui, plan(), made)
    assert len(user.questions()) == 1
    shown = user.screen().splitlines()
    assert "The app is not deployed yet. Terraform would create it:" in shown
    assert "  create  aws_iam_role         30" in shown
    assert "  create  aws_lambda_function  2  (module.api.this, module.worker.this)" in shown


def test_start_destroys_no_database_with_yes_and_asks_nothing_before() -> None:
    user = AnsweringUser(Path(), yes=True)
    with pytest.raises(TerraliveError) as raised:
        approval.ask_deployment(user.stage, user.ui, plan(), live_plan(DATABASE))
    assert raised.value.reference == "would-destroy"


def test_what_was_created_half_way_is_said_to_be_tainted() -> None:
    user = AnsweringUser(Path(), yes=True)
    queue = OtherChange("aws_sqs_queue.q", "replace", "aws_sqs_queue", is_tainted=True)
    with pytest.raises(TerraliveError) as raised:
        approval.ask_deployment(user.stage, user.ui, plan(), live_plan(queue))
    assert raised.value.reference == "would-destroy"
    assert "tainted" in raised.value.hint
    with pytest.raises(TerraliveError) as both:
        approval.ask_deployment(user.stage, user.ui, plan(), live_plan(queue, DATABASE))
    assert "tainted" not in both.value.hint


def test_where_nothing_changes_nothing_is_shown_or_asked() -> None:
    user = AnsweringUser(Path())
    unchanged = LivePlans((LivePlan(ready(), (), Mapped({}), {}, ACCOUNTS),))
    approval.ask_deployment(user.stage, user.ui, plan(), unchanged)
    assert (user.questions(), user.screen()) == ([], "")


def test_a_plan_has_one_count_in_terraforms_words() -> None:
    planned = plan(
        Change("aws_sns_topic.a", "create", "aws_sns_topic"),
        Change("aws_sns_topic.b", "replace", "aws_sns_topic"),
        Change("aws_lambda_function.c", "update", "aws_lambda_function"),
        Change("data.aws_iam_policy_document.d", "read", "aws_iam_policy_document"),
    )

    assert approval.count([planned]) == "2 to add, 1 to change, 1 to destroy"
    assert changed_resources(planned) == 3
    assert approval.count([plan()]) == "outputs only"


def test_the_question_counts_the_functions_that_get_their_own_code_first() -> None:
    user = AnsweringUser(Path(), "y\n")
    (made,) = live_plan(is_first=True).plans
    first = replace(made, own_code_first={"module.a.aws_lambda_function.this": "fallback = true"})
    stack = plan(Change("aws_s3_bucket.stubs", "create", "aws_s3_bucket"))
    approval.ask_deployment(user.stage, user.ui, stack, LivePlans((first,)))
    (question,) = user.questions()
    assert "the app (1 to change; the own code of 1 function first), and make " in question


def test_a_version_that_is_published_anew_is_asked_for() -> None:
    user = AnsweringUser(Path(), "y\n")
    (made,) = live_plan().plans
    shown = {STUB.address: Fallback("1", stale=("Role",), renewed=True)}
    renewed = replace(made, ready=ready(), fallback=PlannedFallback((), shown))
    approval.ask_deployment(user.stage, user.ui, plan(), LivePlans((renewed,)))
    (question,) = user.questions()
    assert "live in the sandbox (the fallback of 1 function anew)?" in question
