"""A plan that Terraform refuses because its state has changed: planned once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from terralive_cli.app.live_plan import LiveApp, LivePlan, LivePlans, RestorePlan, Restoring
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.deploy.target import Stage
from terralive_cli.functions.mapping import Mapped
from terralive_cli.output.progress import Phase
from terralive_cli.restoring.examination import Examination
from terralive_cli.restoring.originals import Originals
from terralive_cli.restoring.restorer import Restorer
from terralive_cli.stacks.stage_apps import StageApps
from terralive_stub.errors import TerraformError
from terralive_terraform.output.failures import failure
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.progress import Change, Diagnostic
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.side_by_side.beside import Beside
from terralive_terraform.side_by_side.runs import RunsAtOnce
from terralive_terraform.substitution.app import App, Part
from terralive_terraform.substitution.other_changes import OtherChange
from terralive_testing.fakes.user import AnsweringUser

FUNCTION = Change("aws_lambda_function.api", "update", "aws_lambda_function")
ROLE = OtherChange("aws_iam_role.api", "update", "aws_iam_role", ("description",))
OUTPUTS = DebugStackOutputs("wss://stub.example", "wss://relay.example", "table", "broker")
CHANGED = DebugStackOutputs("wss://new.example", "wss://relay.example", "table", "broker")
ACCOUNTS = Accounts.__new__(Accounts)  # nobody looks at it
NO_ORIGINALS = Originals(ACCOUNTS, tuple, lambda _: {})
STALE = failure(
    "apply", (Diagnostic("error", "Saved plan is stale", "The state has changed."),), ""
)


class FakeTerraform:
    """Refuses the first plans that it has to apply, as Terraform refuses a stale plan.

    Attributes:
        stale: how many it refuses.
        state: a state without functions.
        error: the error of a refusal.
        applied: what it was asked to apply.
    """

    def __init__(self, stale: int) -> None:
        self.stale = stale
        self.state = SimpleNamespace(functions=dict)
        self.error = STALE
        self.applied: list[Path] = []

    def apply(self, file: Path) -> None:
        self.applied.append(file)
        if len(self.applied) <= self.stale:
            raise self.error


class FakeApp:
    """An app of one stack, and that stack, which has one plan after the other.

    Attributes:
        others: what each plan changes beside the functions' code; None for a plan that changes
            nothing.
        terraform: applies the plans.
        forgotten: how often it was told that the state has changed.
        stacks: itself.
    """

    stack = ""
    part = Part("", cast("App", None))

    def __init__(self, *others: Sequence[OtherChange] | None, stale: int = 1) -> None:
        self.others = list(others)
        self.terraform = FakeTerraform(stale)
        self.forgotten = 0
        # Whether its next plan gives a function its own code.
        self.needs_own_code = False
        self.stacks = (self,)

    def on(self, stage: Stage) -> FakeApp:
        """Return itself, with the stage that it belongs to."""
        self.emit, self.work = stage.emit, stage.own_work
        return self

    @contextmanager
    def planned_again(self, *_: object) -> Iterator[LivePlan]:
        others = self.others.pop(0)
        first: dict[str, str] = {}
        if self.needs_own_code:
            first = {FUNCTION.address: "fallback = true"}
        yield LivePlan(
            self._ready("app", others),
            (),
            Mapped({}),
            {},
            ACCOUNTS,
            others=tuple(others or ()),
            own_code_first=first,
        )

    @contextmanager
    def planned_live(self, _: DebugStackOutputs | None) -> Iterator[LivePlans]:
        with self.planned_again() as plan:
            yield LivePlans((plan,))

    @contextmanager
    def planned_restore(self, **_: object) -> Iterator[Restoring]:
        others = self.others.pop(0)
        ready = self._ready("restore", others)
        # No function carries a stub when Terraform has applied the plan.
        restorer = Restorer(
            ACCOUNTS, Examination(ACCOUNTS, (), Path()), NO_ORIGINALS, Path(), ready.phase
        )
        yield Restoring(RestorePlan(ready, tuple(others or ())), restorer)

    @contextmanager
    def planned_destroy(self) -> Iterator[RestorePlan]:
        others = self.others.pop(0)
        yield RestorePlan(self._ready("app", others), tuple(others or ()))

    def apply_live(self, _: object, plan: LivePlan) -> None:
        self.terraform.apply(plan.ready.plan.file)

    @staticmethod
    def live(_: DebugStackOutputs) -> LiveApp:
        return LiveApp((), {}, {}, ACCOUNTS)

    def forget_state(self) -> None:
        self.forgotten += 1

    def own_code_is_there(self) -> None:
        self.needs_own_code = False
        self.forget_state()

    @staticmethod
    def needs_repository(_: LivePlans) -> bool:
        return False

    def _ready(self, phase: str, others: Sequence[OtherChange] | None) -> ReadyPlan:
        changes: tuple[Change, ...] = (FUNCTION,)
        if others is None:
            changes = ()
        file = Path(f"{len(self.others)}.tfplan")
        plan = TerraformPlan(changes, has_changes=bool(changes), file=file)
        return ReadyPlan(plan, cast("Terraform", self.terraform), Phase(phase, lambda *_: None))


class FakeDebugStack:
    """A debug stack that is deployed, and has these outputs after an apply.

    Attributes:
        stage: its stage.
        emit: shows events.
        existing: that it is no debug stack of others.
        plans: the addresses that one plan after the other creates.
        stale: how many of its plans Terraform refuses.
        looked: how often it was looked at again.
        applied: the addresses of the plans that were to be applied.
    """

    def __init__(
        self, stage: Stage, outputs: DebugStackOutputs, *plans: Sequence[str], stale: int = 0
    ) -> None:
        self.stage = stage
        self.emit = stage.emit
        self.existing = SimpleNamespace(is_joined=False)
        self.plans = list(plans or ((),))
        self.stale = stale
        self.looked = 0
        self.applied: list[Sequence[str]] = []
        self._outputs = outputs

    @contextmanager
    def planned(self) -> Iterator[SimpleNamespace]:
        addresses = self.plans.pop(0)
        changes = tuple(Change(address, "create", "aws_lambda_function") for address in addresses)
        plan = TerraformPlan(changes, has_changes=bool(changes), file=Path("stack"))
        yield SimpleNamespace(plan=plan)

    def planned_beside(self) -> Beside[SimpleNamespace]:
        return Beside(self.planned(), RunsAtOnce())

    def apply(self, ready: SimpleNamespace, _: DebugStackOutputs | None) -> DebugStackOutputs:
        self.applied.append([change.address for change in ready.plan.changes])
        if len(self.applied) <= self.stale:
            raise STALE
        return self._outputs

    def forget_state(self) -> None:
        """Keep no state."""

    def opened_again(self) -> FakeDebugStack:
        self.looked += 1
        return self


class User(AnsweringUser):
    """A user who runs one step."""

    def start(self, app: FakeApp, outputs: DebugStackOutputs = OUTPUTS) -> None:
        stack = cast("DebugStack", FakeDebugStack(self.stage, outputs))
        workflows.make_live(stack, cast("StageApps", app.on(self.stage)), self.ui, OUTPUTS)

    def deploy(self, stack: FakeDebugStack) -> None:
        app = FakeApp((), (), stale=0).on(self.stage)
        workflows.make_live(cast("DebugStack", stack), cast("StageApps", app), self.ui, None)

    def restore(self, app: FakeApp) -> bool:
        return workflows.restore(self.stage, cast("StageApps", app.on(self.stage)), self.ui).changed

    def destroy(self, app: FakeApp) -> bool:
        return workflows.destroy(self.stage, cast("StageApps", app.on(self.stage)), self.ui)


def test_a_stale_plan_that_changes_the_same_is_made_again_without_a_question(
    tmp_path: Path,
) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((), ())
    user.start(app)
    assert len(user.questions()) == 1
    assert (len(app.terraform.applied), app.forgotten) == (2, 1)
    assert "the state has changed since the plan was made: planning once more" in user.screen()


def test_a_stale_plan_that_changes_something_else_is_shown_and_asked_for_anew(
    tmp_path: Path,
) -> None:
    user, app = User(tmp_path, "y\ny\ny\n"), FakeApp((), (ROLE,))
    user.start(app)
    _, again, others = user.questions()
    assert again.startswith("The plan has changed. Make ")
    assert others.startswith("Also make the 1 other change")
    assert "update  aws_iam_role.api  (description)" in user.screen()


def test_a_no_to_the_new_plan_stops_everything(tmp_path: Path) -> None:
    user, app = User(tmp_path, "y\nn\n"), FakeApp((), (ROLE,))
    with pytest.raises(approval.Declined):
        user.start(app)
    assert len(app.terraform.applied) == 1


def test_nothing_is_asked_where_somebody_else_has_made_the_same_changes(tmp_path: Path) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((), None)
    user.start(app)
    assert len(user.questions()) == 1


@pytest.mark.parametrize("outputs", [OUTPUTS, CHANGED], ids=["as it is", "changed"])
def test_a_second_stale_plan_is_an_error_that_says_what_to_do(
    tmp_path: Path, outputs: DebugStackOutputs
) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((), (), (), stale=3)
    with pytest.raises(TerraformError) as raised:
        user.start(app, outputs)
    assert (raised.value.reference, raised.value.exit_code) == ("plan-stale", 3)
    assert "Wait until the other run has ended, and run the same command again" in raised.value.hint
    assert len(app.terraform.applied) == 2


def test_a_plan_that_was_made_for_a_new_debug_stack_may_go_stale_once(tmp_path: Path) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((), (), ())
    user.start(app, CHANGED)
    assert len(user.questions()) == 1
    assert len(app.terraform.applied) == 2


def test_any_other_failure_is_not_tried_again(tmp_path: Path) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((), ())
    app.terraform.error = TerraformError("terraform-failed", "no")
    with pytest.raises(TerraformError, match="no"):
        user.start(app)
    assert len(app.others) == 1


def test_a_restore_is_planned_once_more_too(tmp_path: Path) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((), ())
    assert user.restore(app)
    assert len(user.questions()) == 1
    assert len(app.terraform.applied) == 2


def test_a_restore_that_would_change_something_else_by_then_is_asked_for_anew(
    tmp_path: Path,
) -> None:
    user, app = User(tmp_path, "y\ny\ny\n"), FakeApp((), (ROLE,))
    assert user.restore(app)
    assert len(user.questions()) == 3


def test_a_restore_that_is_stale_twice_ends_in_the_same_error(tmp_path: Path) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((), (), stale=2)
    with pytest.raises(TerraformError) as raised:
        user.restore(app)
    assert raised.value.reference == "plan-stale"
    assert "stays" not in raised.value.hint, "nothing was done"


def test_a_destroy_of_the_same_resources_is_planned_once_more_without_a_question(
    tmp_path: Path,
) -> None:
    user, app = User(tmp_path, "y\n"), FakeApp((ROLE,), (ROLE,))
    assert user.destroy(app)
    assert len(user.questions()) == 1
    assert len(app.terraform.applied) == 2


def test_a_destroy_that_would_remove_more_by_then_is_asked_for_anew(tmp_path: Path) -> None:
    user, app = User(tmp_path, "y\nn\n"), FakeApp((), (ROLE,))
    with pytest.raises(approval.Declined):
        user.destroy(app)
    assert len(app.terraform.applied) == 1


def test_a_stale_plan_of_the_debug_stack_is_made_once_more_after_another_look(
    tmp_path: Path,
) -> None:
    user = User(tmp_path, "y\n")
    stack = FakeDebugStack(user.stage, OUTPUTS, ["table", "broker"], ["broker"], stale=1)
    user.deploy(stack)
    assert len(user.questions()) == 1, "both of it were agreed to"
    assert stack.looked == 1
    assert stack.applied == [["table", "broker"], ["broker"]]
    assert "the state has changed since the plan was made: planning once more" in user.screen()


@pytest.mark.parametrize(("answer", "applies"), [("y", 2), ("n", 1)])
def test_a_new_plan_of_the_debug_stack_that_changes_more_is_asked_for_anew(
    tmp_path: Path, answer: str, applies: int
) -> None:
    user = User(tmp_path, f"y\n{answer}\n")
    stack = FakeDebugStack(user.stage, OUTPUTS, ["table"], ["table", "broker"], stale=1)
    if answer == "y":
        user.deploy(stack)
    else:
        with pytest.raises(approval.Declined):
            user.deploy(stack)
    _, again = user.questions()
    assert again == (
        "The plan has changed. Deploy the debug stack of orders/dev-ana in the sandbox (2 to add)?"
    )
    assert len(stack.applied) == applies


def test_a_debug_stack_whose_second_plan_is_stale_ends_in_the_same_error(tmp_path: Path) -> None:
    user = User(tmp_path, "y\n")
    stack = FakeDebugStack(user.stage, OUTPUTS, ["table"], ["table"], stale=2)
    with pytest.raises(TerraformError) as raised:
        user.deploy(stack)
    assert raised.value.reference == "plan-stale"
    assert len(stack.applied) == 2


class TestOwnCodeFirst:
    """A function that is not deployed gets its own code by one apply, and its stub by another."""

    def test_one_question_is_asked_for_both_applies(self, tmp_path: Path) -> None:
        user, app = User(tmp_path, "y\n"), FakeApp((), (), stale=0)
        app.needs_own_code = True
        user.start(app)
        assert (len(user.questions()), len(app.terraform.applied)) == (1, 2)

    def test_it_is_so_too_where_the_debug_stack_is_deployed_before(self, tmp_path: Path) -> None:
        user, app = User(tmp_path, "y\n"), FakeApp((), (), (), stale=0)
        app.needs_own_code = True
        user.start(app, CHANGED)
        assert (len(user.questions()), len(app.terraform.applied)) == (1, 2)

    def test_a_second_plan_that_changes_something_else_is_asked_for(self, tmp_path: Path) -> None:
        user, app = User(tmp_path, "y\nn\n"), FakeApp((), (ROLE,), stale=0)
        app.needs_own_code = True
        with pytest.raises(approval.Declined):
            user.start(app)
        assert len(app.terraform.applied) == 1
        assert user.questions()[1].startswith("The plan has changed. Make ")

    def test_a_first_plan_that_is_stale_is_made_once_more(self, tmp_path: Path) -> None:
        user, app = User(tmp_path, "y\n"), FakeApp((), (), ())
        app.needs_own_code = True
        user.start(app)
        assert (len(user.questions()), len(app.terraform.applied)) == (1, 3)
