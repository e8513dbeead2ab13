"""Which stacks of a CDKTF program are planned together, which wait, and which stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from terralive_cli.app.live_plan import AppGuard, LivePlan, Selected
from terralive_cli.app.stage_app import StageApp
from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.functions.mapping import Mapped, MappedFunction
from terralive_cli.output.events import NotLiveFunction, PlanMade
from terralive_cli.stacks.stage_apps import StageApps
from terralive_relay.events import Event
from terralive_stub.errors import ConfigurationError, TerraformError
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.app import App, Part
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalCode

API = "aws_lambda_function.api"
ACCOUNTS = Accounts.__new__(Accounts)  # nobody looks at it
CODE = LocalCode(
    address=API, runtime="python3.13", handler="app.handler", path=Path("api"), python=Path("py")
)


class FakeStageApp:
    """One stack, with or without a function that can be live.

    Args:
        name: its name.
        dependencies: the stacks that it depends on.
        is_live: whether its function can be live.
        is_first: whether it is not deployed yet.
        carries_stub: whether its function carries a stub.
        error: the error of Terraform where it cannot be planned.
    """

    is_unfinished = False

    def __init__(
        self,
        name: str,
        *dependencies: str,
        is_live: bool = True,
        is_first: bool = False,
        carries_stub: bool = False,
        error: str = "",
    ) -> None:
        self.stack = name
        self.part = Part(name, cast("App", None), frozenset(dependencies))
        self._error = error
        functions: tuple[DeclaredFunction, ...] = ()
        deployed: dict[str, DeployedFunction] = {}
        mapped, refused = Mapped({}), {API: NotLive(API, "no code")}
        if is_live:
            functions = (DeclaredFunction(API, "api", runtime="provided.al2023"),)
            mapped, refused = Mapped({API: MappedFunction({API: CODE}, {})}), {}
        if carries_stub:
            deployed = {API: DeployedFunction("api", "arn", handler=STUB_HANDLER)}
        self._selected = Selected(
            SimpleNamespace(functions=functions, live=functions),  # type: ignore[arg-type]  # all that is read
            mapped,
            refused,
            SimpleNamespace(  # type: ignore[arg-type]  # all that is read
                made=SimpleNamespace(
                    shown=SimpleNamespace(is_first=is_first), evaluation=Evaluation({}, Path())
                ),
                deployed=SimpleNamespace(functions=deployed),
                planned=(),
            ),
        )

    @contextmanager
    def selected_live(self, _: object, *, may_wait: bool = False) -> Iterator[Selected]:
        del may_wait
        if self._error:
            raise TerraformError("terraform-failed", self._error)
        yield self._selected

    @contextmanager
    def planned_live(self, *_: object, needs_file: bool = False) -> Iterator[LivePlan]:
        del needs_file
        ready = ReadyPlan.__new__(ReadyPlan)  # nobody looks at it
        yield LivePlan(ready, (), Mapped({}), {}, ACCOUNTS, stack=self.stack)

    def declared_page(self) -> PlanMade:
        return PlanMade("dev-ana", (), changes=None)

    def page_of(self, selected: Selected) -> PlanMade:
        not_live = [NotLiveFunction(f"{self.stack}/{at}", "") for at in selected.refused]
        return PlanMade("dev-ana", (), not_live=tuple(not_live))


class Stacks:
    """The stacks of a stage, and the events that they have shown."""

    def __init__(self, folder: Path, *stacks: FakeStageApp) -> None:
        self.events: list[Event] = []
        config = Config(folder, "orders", "dev-ana", "ana", TerraformConfig(folder))
        stage = Stage(config, Target.__new__(Target), lambda *new: self.events.extend(new), {})
        self._apps = StageApps(stage, cast("AppGuard", None))
        self._apps.stacks = cast("tuple[StageApp, ...]", stacks)

    def planned(self) -> tuple[list[str], list[str], list[str]]:
        """Return the stacks that are planned, those that wait, and functions that are not live."""
        with self._apps.planned_live(None) as plans:
            refused = [item.address for page in plans.others for item in page.not_live]
            return [plan.stack for plan in plans.plans], list(plans.waiting), refused


def test_a_stack_without_a_function_that_can_be_live_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    stacks = Stacks(tmp_path, FakeStageApp("base", is_live=False), FakeStageApp("web"))
    assert stacks.planned() == (["web"], [], [f"base/{API}"])


def test_only_where_no_function_of_any_stack_can_be_live_nothing_is_live(tmp_path: Path) -> None:
    none = [FakeStageApp(name, is_live=False) for name in ("base", "web")]
    stacks = Stacks(tmp_path, *none)
    with pytest.raises(ConfigurationError, match="None of the app's 2 functions") as caught:
        stacks.planned()
    assert caught.value.reference == "no-live-functions"
    (page,) = stacks.events
    assert isinstance(page, PlanMade)
    assert [item.address for item in page.not_live] == [f"base/{API}", f"web/{API}"]


def test_a_stack_waits_for_one_that_is_not_deployed_and_so_do_those_behind_it(
    tmp_path: Path,
) -> None:
    stacks = Stacks(
        tmp_path,
        FakeStageApp("old"),
        FakeStageApp("base", is_first=True),
        FakeStageApp("jobs", "old", "base", error="no outputs"),
        FakeStageApp("web", "jobs", error="no outputs"),
    )
    assert stacks.planned() == (["old", "base"], ["jobs", "web"], [])


def test_a_stack_that_depends_on_none_or_on_deployed_ones_only_does_not_wait(
    tmp_path: Path,
) -> None:
    base = FakeStageApp("base")
    for dependencies in ((), ("base",), ("gone",)):
        broken = FakeStageApp("web", *dependencies, error="A variable is missing.")
        with pytest.raises(TerraformError) as caught:
            Stacks(tmp_path, base, broken).planned()
        assert caught.value.message == "Stack web: A variable is missing."


def test_a_stack_without_live_functions_is_deployed_where_another_one_needs_it(
    tmp_path: Path,
) -> None:
    network = FakeStageApp("network", is_live=False, is_first=True)
    alone = FakeStageApp("alone", is_live=False, is_first=True)
    web = FakeStageApp("web", "network", error="no outputs")
    assert Stacks(tmp_path, network, alone, web).planned() == (
        ["network"],
        ["web"],
        [f"alone/{API}"],
    )


def test_a_stack_of_which_no_function_is_wanted_any_more_gets_its_own_code_back(
    tmp_path: Path,
) -> None:
    left_out = FakeStageApp("jobs", is_live=False, carries_stub=True)
    assert Stacks(tmp_path, left_out, FakeStageApp("web")).planned() == (["jobs", "web"], [], [])
