"""The app's functions, as the state and the plan have them: which of them must not be touched."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from terralive_cli.configuration.loading import load
from terralive_cli.configuration.values import Output
from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.existing import NewFunction
from terralive_cli.protection.guard import Guard
from terralive_cli.protection.held import Holder, held_elsewhere
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_stub.errors import (
    ConfigurationError,
    CredentialsError,
    StageHeldError,
    TerraliveError,
)
from terralive_terraform.output.state import DeployedFunction, deployed_functions
from terralive_terraform.substitution.marker import StageName, live_description

ACCOUNT = "123456789012"
OTHER_ACCOUNT = "999999999999"
ANA = StageName("orders", "dev-ana")
BEN = StageName("orders", "dev-ben")


class FakeCaller:
    """A caller in an account of AWS's, who sees the debug stacks in `tags` by their broker's name.

    Attributes:
        asked: the names that were looked up.
        alias_error: the failure of a question for the account's alias; None for none.
        descriptions: the descriptions of functions, by ARN, that Lambda tells.
    """

    account = ACCOUNT
    is_aws = True
    endpoint_url = None

    def __init__(self, tags: Mapping[str, Mapping[str, str]]) -> None:
        self._tags = tags
        self.asked: list[str] = []
        self.alias_error: CredentialsError | None = None
        self.descriptions: dict[str, str] = {}

    @property
    def session(self) -> FakeCaller:
        return self

    def client(self, *_: object, **_settings: object) -> FakeCaller:
        return self

    def get_function_configuration(self, FunctionName: str) -> Mapping[str, str]:  # noqa: N803
        if FunctionName not in self.descriptions:
            refusal: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not allowed"}}
            raise ClientError(refusal, "GetFunctionConfiguration")
        return {"Description": self.descriptions[FunctionName]}

    def account_alias(self) -> str:
        if self.alias_error is not None:
            raise self.alias_error
        return "acme-development"

    def function_tags(self, name: str) -> Mapping[str, str]:
        self.asked.append(name)
        return self._tags.get(name, {})

    def lease(self, table_name: str) -> None:
        self.asked.append(table_name)


class Bench:
    """A stage of ana's, and a guard of it; `said` is what was shown."""

    def __init__(
        self,
        folder: Path,
        *,
        takeover: bool = False,
        changes: bool = True,
        answers: str | None = None,
        **flags: str | bool,
    ) -> None:
        self.said = io.StringIO()
        tags = {"terralive:owner": "ben", "terralive:created": "2026-11-28"}
        self.caller = FakeCaller({"terralive-orders-dev-ben-broker": tags})
        config = load(project=folder, flags={"stage": "dev-ana", **flags}, environ={}, user="ana")
        self._renderer = Renderer.start(Output.PLAIN, self.said)
        ui = Ui(
            self._renderer,
            questions=self.said,
            answers=io.StringIO(answers),
            interactive=answers is not None,
            assume_yes=answers is None,
        )
        target = Target("account", "eu-west-1", {}, cast("Caller", self.caller), folder)
        self.stage = Stage(config, target, ui.emit, {})
        self.ui = ui
        self.guard = Guard(self.stage, ui, takeover=takeover, changes=changes)

    def inspect(self, *functions: DeployedFunction) -> str:
        """Inspect functions, and return what was shown."""
        try:
            self.guard.inspect({f"aws_lambda_function.{one.name}": one for one in functions})
        finally:
            self._renderer.close()
        return self.said.getvalue()

    def check_target(self) -> str:
        """Check the account, and return what was shown."""
        try:
            check_target(self.stage, self.ui, changes=True)
        finally:
            self._renderer.close()
        return self.said.getvalue()

    def refusal(self, *functions: DeployedFunction) -> TerraliveError:
        with pytest.raises(TerraliveError) as raised:
            self.inspect(*functions)
        return raised.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "terralive.toml").write_text(f'app = "orders"\naccounts = ["{ACCOUNT}"]\n', "utf-8")
    return tmp_path


def function(
    name: str, *, live: StageName | None = None, account: str = ACCOUNT, **tags: str
) -> DeployedFunction:
    description = live_description(live) if live else "Takes orders"
    arn = f"arn:aws:lambda:eu-west-1:{account}:function:{name}"
    return DeployedFunction(name, arn, account=account, description=description, tags=tags)


def test_ones_own_functions_pass_and_nothing_is_looked_up(folder: Path) -> None:
    bench = Bench(folder)
    assert bench.inspect(function("api"), function("worker", live=ANA)) == ""
    assert bench.guard.has_own
    assert bench.caller.asked == []


def test_functions_of_another_stage_are_refused_by_their_owners_name(folder: Path) -> None:
    bench = Bench(folder)
    error = bench.refusal(function("api", live=BEN), function("web"), function("sns", live=BEN))
    assert isinstance(error, StageHeldError)
    assert error.reference == "stage-held-elsewhere"
    assert error.message == (
        "These functions are live for stage orders/dev-ben: api, sns. ben deployed it on "
        "2026-11-28; nobody is connected now."
    )
    assert error.hint.startswith("Ask ben to run `terralive restore --stage dev-ben`")
    assert not bench.guard.has_own


def test_functions_that_were_put_back_since_the_state_was_written_are_free(folder: Path) -> None:
    bench = Bench(folder)
    api, web = function("api", live=BEN), function("web", live=BEN)
    bench.caller.descriptions = {api.arn: "Takes orders", web.arn: live_description(BEN)}

    error = bench.refusal(api, web)

    assert "live for stage orders/dev-ben: web." in error.message
    again = Bench(folder)
    again.caller.descriptions = {api.arn: ""}
    assert again.inspect(api) == ""


def test_another_app_of_the_same_stage_is_another_stage(folder: Path) -> None:
    error = Bench(folder).refusal(function("api", live=StageName("shop", "dev-ana")))
    assert "stage shop/dev-ana" in error.message
    assert "not in this account and region" in error.message


def test_where_own_functions_are_live_too_the_guard_knows(folder: Path) -> None:
    bench = Bench(folder)
    bench.refusal(function("api", live=BEN), function("web", live=ANA))
    assert bench.guard.has_own


def test_a_takeover_is_said(folder: Path) -> None:
    said = Bench(folder, takeover=True).inspect(function("api", live=BEN))
    assert said == "Taking over from stage orders/dev-ben: api.\n"


def test_a_command_that_only_looks_warns(folder: Path) -> None:
    said = Bench(folder, changes=False).inspect(function("api", live=BEN))
    assert said.startswith("Warning: These functions are live for stage orders/dev-ben: api.")


def test_a_relay_that_is_connected_is_named_with_its_machine_and_time() -> None:
    lease = Lease.__new__(Lease)
    values = {"owner": "ben", "machine": "tower", "since_ms": 1_790_000_000_000}
    for name, value in {**values, "state": LeaseState.HELD}.items():
        object.__setattr__(lease, name, value)
    error = held_elsewhere(BEN, ["aws_lambda_function.api"], Holder("ana", "2026-01-01", lease))
    assert "ben on tower is connected since 2026-09-2" in error.message


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (function("orders-prod-api"), 'function "orders-prod-api"'),
        (function("api", Environment="production"), 'tag Environment = "production"'),
        (function("api", env="live"), 'tag env = "live"'),
    ],
)
def test_functions_of_production_are_refused_unless_they_are_allowed(
    folder: Path, found: DeployedFunction, said: str
) -> None:
    error = Bench(folder).refusal(found)
    assert error.reference == "stage-protected"
    assert said in error.message
    Bench(folder, allow_protected=True).inspect(found)


def test_a_function_in_an_account_that_is_not_allowed_is_refused(folder: Path) -> None:
    """The provider assumes a role there."""
    error = Bench(folder).refusal(function("api"), function("web", account=OTHER_ACCOUNT))
    assert isinstance(error, ConfigurationError)
    assert error.reference == "account-not-allowed"
    assert OTHER_ACCOUNT in error.message


def new(*accounts: str) -> NewFunction:
    """A function that a plan creates, in one of these accounts; "" is one that is not known."""
    return NewFunction("aws_lambda_function.api", "api", "eu-west-1", frozenset(accounts))


def test_a_new_function_in_an_account_that_is_not_allowed_is_refused(folder: Path) -> None:
    """Its ARN and its role are known only after an apply, but the provider's role is known."""
    with pytest.raises(ConfigurationError, match=OTHER_ACCOUNT) as raised:
        Bench(folder).guard.inspect_new([new(ACCOUNT), new(OTHER_ACCOUNT)])
    assert raised.value.reference == "account-not-allowed"


@pytest.mark.parametrize("accounts", [("",), (ACCOUNT, OTHER_ACCOUNT)])
def test_a_new_function_in_an_unknown_account_is_refused_by_name(
    folder: Path, accounts: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError, match=r"aws_lambda_function\.api") as raised:
        Bench(folder, yes=True).guard.inspect_new([new(*accounts)])
    assert raised.value.reference == "account-unknown"
    for account in accounts:
        assert (account or "one that only Terraform knows") in raised.value.message


def test_a_new_function_in_an_unknown_account_is_created_after_a_yes_in_a_terminal(
    folder: Path,
) -> None:
    bench = Bench(folder, answers="y\n")
    bench.guard.inspect_new([new("")])
    asked = bench.said.getvalue()
    assert "terralive cannot tell in which account" in asked
    # The app is planned twice, and the question is asked once.
    bench.guard.inspect_new([new("")])
    assert bench.said.getvalue() == asked
    with pytest.raises(ConfigurationError, match="Nothing was changed"):
        Bench(folder, answers="n\n").guard.inspect_new([new("")])


def test_where_all_possible_accounts_are_allowed_nothing_is_asked(folder: Path) -> None:
    allowed = f'app = "orders"\naccounts = ["{ACCOUNT}", "{OTHER_ACCOUNT}"]\n'
    (folder / "terralive.toml").write_text(allowed, "utf-8")
    bench = Bench(folder, yes=True)
    bench.guard.inspect_new([new(ACCOUNT, OTHER_ACCOUNT), new(OTHER_ACCOUNT)])
    assert bench.said.getvalue() == ""


def test_a_command_that_only_looks_does_not_ask_about_accounts(folder: Path) -> None:
    Bench(folder, changes=False).guard.inspect_new([new(""), new(OTHER_ACCOUNT)])


def test_an_alias_that_cannot_be_read_is_a_warning_and_does_not_stop(folder: Path) -> None:
    bench = Bench(folder)
    bench.caller.alias_error = CredentialsError("aws-unreachable", "AWS could not be reached: no.")
    assert bench.check_target() == (
        "Warning: terralive cannot see whether the account's alias looks like production. AWS "
        "could not be reached: no.\n"
    )
    assert Bench(folder).check_target() == ""


def test_a_cdktf_stack_that_looks_like_production_is_refused(folder: Path) -> None:
    (folder / "cdktf.json").write_text('{"app": "python main.py"}', "utf-8")
    stack = folder / "cdktf.out" / "stacks" / "orders"
    stack.mkdir(parents=True)
    backend = {"terraform": {"backend": {"s3": {"key": "prod/orders"}}}}
    (stack / "cdk.tf.json").write_text(json.dumps(backend), "utf-8")
    with pytest.raises(ConfigurationError, match="backend's key"):
        Bench(folder).guard.inspect_folder(stack)
    with pytest.raises(ConfigurationError, match='stack "orders-prod"'):
        Bench(folder).guard.inspect_folder(stack.with_name("orders-prod"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"arn": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:api"},
        {"role": f"arn:aws-cn:iam::{ACCOUNT}:role/api"},
    ],
)
def test_a_functions_account_is_known_by_its_arn_or_its_role(attributes: dict[str, str]) -> None:
    state = {
        "resources": [
            {
                "mode": "managed",
                "type": "aws_lambda_function",
                "name": "api",
                "instances": [{"attributes": {"function_name": "api", **attributes}}],
            }
        ]
    }
    ((_, found),) = deployed_functions(state)  # type: ignore[arg-type]
    assert found.account == ACCOUNT
