"""Which functions Terraform restores, and which go back by Lambda's API."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from terralive_cli.app.live_plan import RestorePlan
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.restoring.by_api import FunctionVersion, Settings
from terralive_cli.restoring.exact import Original
from terralive_cli.restoring.planning import RestorePlanner, ToRestore
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.output.failures import BuildMissingError
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_terraform.output.state import DeployedAlias, DeployedFunction, DeployedLambda
from terralive_terraform.substitution.marker import StageName, live_description

NAMES = ("api", "job", "old")
LIVE = live_description(StageName("orders", "dev-ana"))
ROLE = PlannedResource(
    "aws_iam_role.api", "aws_iam_role", "update", {"path": "/"}, {"path": "/app/"}
)


def address(name: str) -> str:
    return f"aws_lambda_function.{name}"


def arn(name: str) -> str:
    return f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"


def planned(name: str) -> PlannedResource:
    """Return a function as a plan restores it from its zip file."""
    before: dict[str, Json] = {"handler": STUB_HANDLER, "description": LIVE, "timeout": 3}
    after: dict[str, Json] = {"handler": "app.handler", "runtime": "python3.13", "timeout": 3}
    after["filename"] = f"{name}.zip"
    return PlannedResource(address(name), "aws_lambda_function", "update", before, after)


class Team:
    """A team's app with three live functions; `old` has no record of what its stub has replaced.

    Attributes:
        folder: the folder of the configuration, with the functions' zip files.
        also: what the plans change beside their targets.
        unbuilt: the targets that cannot be planned, because a build is missing.
        targets: the targets of each plan.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.also: Callable[[Sequence[str]], Sequence[PlannedResource]] = lambda _: ()
        self.unbuilt: frozenset[str] = frozenset()
        self.targets: list[tuple[str, ...]] = []
        self.builds = SimpleNamespace(keep=lambda *_: False, require_untouched=lambda _: None)
        self.prepared = SimpleNamespace(directory=folder, functions=())
        self.terraform = self.phase = None
        for name in NAMES:
            (folder / f"{name}.zip").write_bytes(name.encode())

    def original(self, name: str) -> Original:
        """Return what a stub has replaced: what was in the zip file at the beginning."""
        sha256 = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
        version = FunctionVersion(
            arn(name), "1", sha256, Settings("app.handler", "python3.13", timeout=3)
        )
        return Original(Replaced(arn(name), "1", sha256, made=True), version, "")

    @contextmanager
    def planned(self, *, targets: Sequence[str]) -> Iterator[ReadyPlan]:
        self.targets.append(tuple(targets))
        if self.unbuilt & set(targets):
            raise BuildMissingError("build-missing", "There is no zip file.", hint="Build it.")
        yield cast("ReadyPlan", SimpleNamespace(targets=targets))

    def shown(self, ready: Any) -> ShownPlan:  # noqa: ANN401  # made by `planned`
        functions = [planned(name) for name in NAMES if address(name) in ready.targets]
        return ShownPlan((*functions, *self.also(ready.targets)), is_first=False)

    def restore(self, *, only_stubs: bool = False) -> RestorePlan:
        deployed = DeployedLambda(
            {address(name): DeployedFunction(name, arn(name), description=LIVE) for name in NAMES},
            {"aws_lambda_alias.job": DeployedAlias("job", "$LATEST")},
        )
        stubs = frozenset(map(address, NAMES))
        originals = {address(name): self.original(name) for name in ("api", "job")}
        found = ToRestore(deployed, stubs, frozenset(), frozenset(), originals)
        team: Any = self
        accounts = Accounts.__new__(Accounts)  # nobody looks at it
        planner = RestorePlanner(team, team, accounts, "", only_stubs)
        with ExitStack() as open_plans:
            return planner.planned(found, open_plans)


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def test_terraform_restores_everything_where_nothing_was_edited(team: Team) -> None:
    plan = team.restore()

    assert dict(plan.originals) == {}
    assert plan.unrecorded == (address("old"),)
    assert team.targets == [("aws_lambda_alias.job", *sorted(map(address, NAMES)))]


def test_an_edited_function_and_its_aliases_are_no_targets(team: Team) -> None:
    (team.folder / "job.zip").write_bytes(b"edited")

    plan = team.restore()

    assert plan.originals.keys() == {address("job")}
    assert team.targets[-1] == (address("api"), address("old"))
    assert plan.stubs == frozenset(map(address, NAMES))


def test_an_edited_function_that_another_one_depends_on_takes_all_with_it(team: Team) -> None:
    (team.folder / "job.zip").write_bytes(b"edited")
    team.also = lambda targets: [planned("job")] if address("job") not in targets else []
    # `old` has no record, and depends on nothing.
    with_old = team.also
    team.also = lambda targets: with_old(targets) if address("api") in targets else []

    plan = team.restore()

    assert plan.originals.keys() == {address("api"), address("job")}
    assert team.targets[-1] == (address("old"),)


def test_a_function_with_a_record_needs_no_build(team: Team) -> None:
    team.unbuilt = frozenset({address("api")})

    plan = team.restore()

    assert plan.originals.keys() == {address("api"), address("job")}
    assert team.targets[-1] == (address("old"),)


def test_a_function_without_a_record_needs_its_build(team: Team) -> None:
    team.unbuilt = frozenset({address("old")})

    with pytest.raises(BuildMissingError):
        team.restore()


def test_at_the_end_of_a_start_nothing_but_stubs_changes_where_that_is_possible(team: Team) -> None:
    team.also = lambda targets: [ROLE] if address("api") in targets else []

    plan = team.restore(only_stubs=True)
    assert plan.others == ()
    assert plan.originals.keys() == {address("api"), address("job")}

    asked = team.restore()
    assert [change.address for change in asked.others] == [ROLE.address]
    assert dict(asked.originals) == {}
