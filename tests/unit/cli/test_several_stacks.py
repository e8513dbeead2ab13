"""The stacks of a CDKTF program that are live together: their order, names and failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from terralive_cli.app.checks import require_functions
from terralive_cli.app.live_plan import LiveApp, LivePlan, LivePlans, RestorePlan, Restoring
from terralive_cli.configuration.tables import FunctionSettings, TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.deploy import workflows
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.deploy.restored import Restored
from terralive_cli.deploy.target import Stage
from terralive_cli.functions.debugging import Debugging
from terralive_cli.functions.mapping import Mapped, MappedFunction
from terralive_cli.output.events import (
    ChangesListed,
    LiveFunction,
    NotLiveFunction,
    PlanMade,
    ResourceChange,
    TerraformProgress,
)
from terralive_cli.output.progress import Phase
from terralive_cli.restoring.examination import Examination
from terralive_cli.restoring.originals import Originals
from terralive_cli.restoring.restorer import Restorer
from terralive_cli.stacks.joined import joined, of_stack, require_clear_tables
from terralive_cli.stacks.names import event_of_stack, one_page
from terralive_cli.stacks.settings import settings_of_stack
from terralive_cli.stacks.stage_apps import StageApps
from terralive_relay.events import Warned
from terralive_stub.errors import ConfigurationError, TerraformError
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.progress import Change
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.side_by_side.beside import Beside
from terralive_terraform.side_by_side.runs import RunsAtOnce
from terralive_terraform.substitution.app import App, Part
from terralive_terraform.substitution.other_changes import OtherChange
from terralive_testing.fakes.user import AnsweringUser
from terralive_workers.function import LocalCode

API = "aws_lambda_function.api"
OUTPUTS = DebugStackOutputs("wss://stub.example", "wss://relay.example", "table", "broker")
ACCOUNTS = Accounts.__new__(Accounts)  # nobody looks at it
NO_ORIGINALS = Originals(ACCOUNTS, tuple, lambda _: {})
QUEUE = OtherChange("aws_sqs_queue.jobs", "update", "aws_sqs_queue", ("name",))
LOCAL = LocalCode(
    address=API, runtime="python3.13", handler="app.handler", path=Path("api"), python=Path("py")
)


class FakeStack:
    """One stack. It notes in `done` what is done with it.

    Attributes:
        others: what its plan changes beside the functions' code.
        error: the error of an apply; None for none.
        planned: how often it was planned.
    """

    def __init__(self, name: str, done: list[str], *dependencies: str) -> None:
        self.stack = name
        self.part = Part(name, cast("App", None), frozenset(dependencies))
        self.others: tuple[OtherChange, ...] = ()
        self.error: TerraformError | None = None
        self.planned = 0
        self.work = Path("unused")
        self.emit = lambda *_: None
        self.state = SimpleNamespace(functions=dict)
        self._done = done

    def plan(self) -> LivePlan:
        self.planned += 1
        mapped = Mapped({API: MappedFunction({API: LOCAL}, {})})
        return LivePlan(
            self._ready("app"), (), mapped, {}, ACCOUNTS, others=self.others, stack=self.stack
        )

    def forget_state(self) -> None:
        self._done.append(f"forget {self.stack}")

    def apply(self, _: Path) -> None:
        self._done.append(self.stack)
        if self.error is not None:
            raise self.error

    @contextmanager
    def planned_restore(self, **_: object) -> Iterator[Restoring]:
        restorer = Restorer(
            ACCOUNTS, Examination(ACCOUNTS, (), Path()), NO_ORIGINALS, Path(), Phase("r", print)
        )
        ready = self._ready("restore")
        yield Restoring(RestorePlan(ready, self.others, stack=self.stack), restorer, (API,))

    @contextmanager
    def planned_destroy(self) -> Iterator[RestorePlan]:
        yield RestorePlan(self._ready("app"), (QUEUE,), stack=self.stack)

    def _ready(self, phase: str) -> ReadyPlan:
        change = Change(API, "update", "aws_lambda_function")
        plan = TerraformPlan((change,), has_changes=True, file=Path("plan"))
        return ReadyPlan(plan, cast("Terraform", self), Phase(phase, lambda *_: None))


class FakeApps:
    """Stacks in the order to apply them; those of `waiting` cannot be planned before others."""

    def __init__(self, *stacks: FakeStack, waiting: Sequence[str] = ()) -> None:
        self.stacks = stacks
        self.waiting = tuple(waiting)

    @contextmanager
    def planned_live(self, _: DebugStackOutputs | None) -> Iterator[LivePlans]:
        plans = [stack.plan() for stack in self.stacks if stack.stack not in self.waiting]
        yield LivePlans(tuple(plans), waiting=self.waiting)

    @contextmanager
    def planned_again(self, stack: FakeStack, _: DebugStackOutputs) -> Iterator[LivePlan]:
        yield stack.plan()

    def apply_live(self, stack: FakeStack, plan: LivePlan) -> None:
        assert plan.stack == stack.stack
        stack.apply(plan.ready.plan.file)

    @staticmethod
    def live(_: DebugStackOutputs) -> LiveApp:
        return LiveApp((), {}, {}, ACCOUNTS)

    @staticmethod
    def needs_repository(_: LivePlans) -> bool:
        return False


class FakeDebugStack:
    """A debug stack that is deployed and stays as it is."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.emit = stage.emit
        self.existing = SimpleNamespace(is_joined=False)

    @contextmanager
    def planned(self) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(plan=TerraformPlan((), has_changes=False, file=Path("stack")))

    def planned_beside(self) -> Beside[SimpleNamespace]:
        return Beside(self.planned(), RunsAtOnce())

    def apply(self, *_: object) -> DebugStackOutputs:
        return OUTPUTS


class User(AnsweringUser):
    """A user who answers every question with yes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "y\n" * 9)

    def start(self, apps: FakeApps) -> None:
        stack = cast("DebugStack", FakeDebugStack(self.stage))
        workflows.make_live(stack, cast("StageApps", apps), self.ui, OUTPUTS)

    def restore(self, apps: FakeApps) -> Restored:
        return workflows.restore(self.stage, cast("StageApps", apps), self.ui)

    def destroy(self, apps: FakeApps) -> bool:
        for stack in apps.stacks:
            stack.work = self.stage.target.work
        return workflows.destroy(self.stage, cast("StageApps", apps), self.ui)


def test_all_stacks_are_one_page_and_one_question_and_are_applied_in_their_order(
    tmp_path: Path,
) -> None:
    user, done = User(tmp_path), list[str]()
    user.start(FakeApps(FakeStack("base", done), FakeStack("jobs", done, "base")))
    assert done == ["base", "jobs"]
    assert user.questions() == [
        "Make base/api, jobs/api of orders/dev-ana live in the sandbox (2 to change)?"
    ]
    assert user.screen().count("Plan of stage dev-ana: 2 functions live") == 1


def test_a_stack_is_planned_again_after_a_change_of_one_that_it_depends_on(
    tmp_path: Path,
) -> None:
    done: list[str] = []
    base, jobs = FakeStack("base", done), FakeStack("jobs", done, "base")
    base.others = (QUEUE,)
    user = User(tmp_path)
    user.start(FakeApps(base, jobs))
    assert done == ["base", "forget jobs", "jobs"]
    assert (base.planned, jobs.planned) == (1, 2)
    # It would do what the user has agreed to.
    assert len(user.questions()) == 2
    assert "update  base/aws_sqs_queue.jobs  (name)" in user.screen()


def test_a_stack_that_waits_for_another_is_said_to_wait_and_asked_about_by_itself(
    tmp_path: Path,
) -> None:
    user, done = User(tmp_path), list[str]()
    stacks = (FakeStack("base", done), FakeStack("jobs", done, "base"))
    user.start(FakeApps(*stacks, waiting=["jobs"]))
    assert done == ["base", "jobs"]
    assert user.questions() == [
        "Make base/api of orders/dev-ana live in the sandbox (1 to change)?",
        "Deploy the stack jobs, and make jobs/api live (1 to change)?",
    ]
    assert "before those that they refer to are deployed: jobs." in " ".join(user.screen().split())


def test_a_stack_that_cannot_be_applied_leaves_the_others_live_and_says_which(
    tmp_path: Path,
) -> None:
    user, done = User(tmp_path), list[str]()
    stacks = [FakeStack(name, done) for name in ("base", "jobs", "web")]
    stacks[1].error = TerraformError("terraform-failed", "No.", hint="Read it.")
    with pytest.raises(TerraformError) as caught:
        user.start(FakeApps(*stacks))
    assert done == ["base", "jobs"]
    assert caught.value.message == "Stack jobs: No."
    assert caught.value.hint.endswith("These stacks are live already: base.")
    assert "`terralive restore` puts all functions' own code back" in caught.value.hint


def test_all_stacks_are_restored_last_first_though_one_fails(tmp_path: Path) -> None:
    user, done = User(tmp_path), list[str]()
    stacks = [FakeStack(name, done) for name in ("base", "jobs", "web")]
    restored = user.restore(FakeApps(*stacks))
    assert done == ["web", "jobs", "base"]
    assert restored.unseen == (f"web/{API}", f"jobs/{API}", f"base/{API}")
    stacks[1].error = TerraformError("terraform-failed", "No.")
    with pytest.raises(TerraformError, match=r"No\.") as caught:
        user.restore(FakeApps(*stacks))
    assert done[3:] == ["web", "jobs", "base"]
    assert caught.value.message == "Stack jobs: No."
    assert len(user.questions()) == 2


def test_no_stack_is_destroyed_before_those_that_depend_on_it(tmp_path: Path) -> None:
    user, done = User(tmp_path), list[str]()
    stacks = [FakeStack("base", done), FakeStack("jobs", done, "base")]
    assert user.destroy(FakeApps(*stacks))
    assert done == ["jobs", "base"]
    stacks[1].error = TerraformError("terraform-failed", "No.")
    with pytest.raises(TerraformError):
        user.destroy(FakeApps(*stacks))
    assert done[2:] == ["jobs"]
    assert len(user.questions()) == 2
    assert "  delete" not in user.screen()
    assert "base/aws_sqs_queue.jobs" in user.screen()


def test_events_of_a_stack_name_it() -> None:
    lines = ("[functions.'aws_lambda_function.api']", 'path = "…"')
    made = PlanMade(
        "dev-ana",
        (LiveFunction("", API, "python3.13", "app.handler", "/code"),),
        refused={"aws_lambda_function.job": "\n".join(["no code. Add:", *lines])},
        not_live=(NotLiveFunction("aws_lambda_function.job", "no code", add=lines),),
        other_changes=(ResourceChange("aws_sqs_queue.jobs", "create", "aws_sqs_queue"),),
    )
    page = event_of_stack(made, "jobs")
    assert isinstance(page, PlanMade)
    assert [(item.address, item.stack) for item in page.functions] == [(f"jobs/{API}", "jobs")]
    assert page.refused == {
        "jobs/aws_lambda_function.job": (
            "no code. Add:\n[functions.'jobs/aws_lambda_function.api']\npath = \"…\""
        )
    }
    assert page.not_live[0].add[0] == "[functions.'jobs/aws_lambda_function.api']"
    assert page.other_changes[0].address == "jobs/aws_sqs_queue.jobs"
    warned = event_of_stack(Warned("x", "text", API), "jobs")
    assert isinstance(warned, Warned)
    assert warned.function == f"jobs/{API}"
    general = event_of_stack(Warned("x", "text"), "jobs")
    assert isinstance(general, Warned)
    assert general.function == ""
    step = event_of_stack(TerraformProgress("app", "plan"), "jobs")
    assert step.to_json()["stack"] == "jobs"
    listed = event_of_stack(ChangesListed("dev-ana", made.other_changes), "jobs")
    assert isinstance(listed, ChangesListed)
    assert listed.changes[0].stack == "jobs"
    # Where one stack is live, nothing names it.
    assert event_of_stack(made, "") == made
    assert "stack" not in TerraformProgress("app", "plan").to_json()


def test_the_pages_of_stacks_are_one_page() -> None:
    first = PlanMade("dev-ana", (), refused={"a/x": "no"}, changes=2, first=True)
    second = PlanMade("dev-ana", (), refused={"b/x": "no"}, changes=3)
    unknown = PlanMade("dev-ana", (), changes=None)
    page = one_page([first, second, unknown])
    assert (page.changes, page.first) == (5, False)
    assert page.refused == {"a/x": "no", "b/x": "no"}
    assert one_page([unknown, unknown]).changes is None


def test_a_table_may_name_the_stack_and_counts_before_one_that_does_not(tmp_path: Path) -> None:
    tables = [API, f"jobs/{API}", f"b*/{API}", 'aws_lambda_function.api["a/b"]']
    functions = tuple(
        FunctionSettings(pattern, max_workers=number) for number, pattern in enumerate(tables, 1)
    )
    config = Config(
        tmp_path, "orders", "dev-ana", "ana", TerraformConfig(tmp_path), functions=functions
    )

    def workers(stack: str, address: str = API) -> int:
        found = settings_of_stack(config, stack).function_for(address, "")
        assert found is not None
        return found.max_workers

    assert [workers(stack) for stack in ("jobs", "base", "web", "")] == [2, 3, 1, 1]
    assert workers("jobs", 'aws_lambda_function.api["a/b"]') == 4


def test_only_and_except_may_name_the_stack(tmp_path: Path) -> None:
    config = Config(
        tmp_path,
        *("orders", "dev-ana", "ana"),
        TerraformConfig(tmp_path),
        only=("jobs/*", "web/api"),
        except_=(f"jobs/{API}",),
    )

    def wanted(stack: str, name: str) -> bool:
        address = f"aws_lambda_function.{name}"
        return not settings_of_stack(config, stack).left_out(address, "")

    assert [wanted("jobs", name) for name in ("api", "job")] == [False, True]
    assert [wanted("web", name) for name in ("api", "job")] == [True, False]
    assert not wanted("base", "api")
    planned = [PlannedFunction(f"jobs/{API}", ""), PlannedFunction(f"web/{API}", "")]
    require_functions(config, planned)
    with pytest.raises(ConfigurationError, match="--only web/api: no function"):
        require_functions(config, planned[:1])


def test_a_table_for_functions_of_two_stacks_is_refused(tmp_path: Path) -> None:
    config = Config(tmp_path, "orders", "dev-ana", "ana", TerraformConfig(tmp_path))
    declared = [
        DeclaredFunction(f"{stack}/{API}", "api", function_name=f"{stack}-api")
        for stack in ("jobs", "web")
    ]
    # `api` is the label of both, and could only be the deployed name of another function.
    for clear in (f"jobs/{API}", f"*/{API}", "jobs-api", "aws_lambda_function.?pi", "api"):
        require_clear_tables(replace(config, functions=(FunctionSettings(clear),)), declared)
    for unclear in (API, f'{API}["eu"]'):
        settings = (FunctionSettings(unclear),)
        with pytest.raises(ConfigurationError) as caught:
            require_clear_tables(replace(config, functions=settings), declared)
        assert caught.value.reference == "function-unclear"
        assert f"[functions.'jobs/{API}'], [functions.'web/{API}']" in caught.value.hint


def test_functions_of_all_stacks_have_debuggers_by_clear_names() -> None:
    declared = [
        DeclaredFunction(
            f"{stack}/{API}", "api", runtime="nodejs22.x", function_name=f"{stack}-api"
        )
        for stack in ("jobs", "web")
    ]
    code = [of_stack(replace(LOCAL, runtime="nodejs22.x"), stack) for stack in ("jobs", "web")]
    deployed = [
        of_stack(item.deployed_as(f"{stack}-api", API, arn=f"arn:{stack}"), stack)
        for stack, item in zip(("jobs", "web"), code, strict=True)
    ]

    def ports(typed: str) -> list[int]:
        found = Debugging.of([typed]).with_debuggers(declared, code, deployed)
        return [item.debugger.port if item.debugger else 0 for item in found]

    for name in (f"web/{API}", "web/api", "web-api", "web/web-api"):
        assert ports(name) == [0, 9230]
    with pytest.raises(ConfigurationError) as caught:
        Debugging.of(["api"]).check(declared, code)
    assert caught.value.reference == "function-unclear"
    assert f"jobs/{API}, web/{API}" in caught.value.hint
    # In its stack, a function has its plain name: Terraform raises its timeout there.
    assert Debugging.of(["web/api"]).in_stack("web").names == ("api",)
    assert Debugging.of(["web/api"]).in_stack("jobs").names == ("web/api",)


def test_outputs_of_live_stacks_have_the_stacks_name() -> None:
    apps = {
        stack: LiveApp(
            (), {API: LOCAL}, {}, ACCOUNTS, {"url": f"https://{stack}"}, {API: "handler"}
        )
        for stack in ("jobs", "web")
    }
    live = joined(apps, {}, ())
    assert live.outputs == {"jobs/url": "https://jobs", "web/url": "https://web"}
    assert [code.address for code in live.code.values()] == [f"jobs/{API}", f"web/{API}"]
    assert live.found_by == {f"jobs/{API}": "handler", f"web/{API}": "handler"}
