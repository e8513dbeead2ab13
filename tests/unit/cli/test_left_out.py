"""Functions that the user leaves out: `--only`, `--except`, `live = false`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from terralive_cli.app.checks import left_out, require_functions, unused_tables
from terralive_cli.configuration.loading import load
from terralive_cli.live.served_app import reasons_to_tell
from terralive_stub.errors import ConfigurationError
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_terraform.substitution.rules import NotLive

ORDERS = "module.orders.aws_lambda_function.this"
MAILS = "aws_lambda_function.mails"
WORKER = "aws_lambda_function.worker"
PLANNED = (
    PlannedFunction(f"{ORDERS}[0]", "module.orders", name="shop-orders"),
    PlannedFunction(MAILS, "", name="shop-mails"),
    PlannedFunction(f'{WORKER}["eu"]', "", name="shop-worker-eu"),
    PlannedFunction(f'{WORKER}["us"]', "", name="shop-worker-us"),
)
ALL = {ORDERS, MAILS, WORKER}
Option: TypeAlias = Callable[..., dict[str, str]]


def reasons(
    folder: Path,
    file: str = "",
    deployed: Mapping[str, DeployedFunction] | None = None,
    **flags: tuple[str, ...],
) -> dict[str, str]:
    """Return why functions are left out, by address."""
    (folder / "terralive.toml").write_text(file, "utf-8")
    config = load(project=folder, flags=flags, environ={}, user="ana")
    require_functions(config, PLANNED)
    return {
        address: item.reason for address, item in left_out(config, PLANNED, deployed or {}).items()
    }


def only(folder: Path, *names: str) -> dict[str, str]:
    return reasons(folder, only=names)


def all_but(folder: Path, *names: str) -> dict[str, str]:
    return reasons(folder, except_=names)


BOTH = pytest.mark.parametrize("option", [only, all_but], ids=["--only", "--except"])


@pytest.mark.parametrize(
    ("names", "live"),
    [
        (("shop-orders",), {ORDERS}),
        ((f"{ORDERS}[0]",), {ORDERS}),
        (("module.orders.*",), {ORDERS}),
        (("mails", WORKER), {MAILS, WORKER}),
        (("shop-worker-*",), {WORKER}),
        (("*",), ALL),
    ],
)
def test_only_some_functions_by_every_name_and_by_wildcards(
    tmp_path: Path, names: tuple[str, ...], live: set[str]
) -> None:
    found = only(tmp_path, *names)

    assert set(found) == ALL - live
    assert set(found.values()) <= {"--only leaves it out"}


def test_except_takes_precedence_over_only(tmp_path: Path) -> None:
    found = reasons(tmp_path, only=("shop-*",), except_=("mails",))

    assert found == {MAILS: "--except leaves it out"}


def test_the_file_leaves_functions_out_and_only_brings_them_back(tmp_path: Path) -> None:
    file = "[functions.shop-mails]\nlive = false\n"

    reason = "terralive.toml leaves it out (live = false)"
    assert reasons(tmp_path, file) == {MAILS: reason}
    assert set(reasons(tmp_path, file, only=("mails",))) == ALL - {MAILS}


@BOTH
def test_instances_of_one_block_become_live_together(tmp_path: Path, option: Option) -> None:
    found = option(tmp_path, "shop-worker-eu")

    assert "1 of its 2 instances" in found[WORKER]
    assert "all instances of a block together" in found[WORKER]
    assert found[WORKER].endswith("name all of them or none: shop-worker-eu, shop-worker-us")


@BOTH
def test_a_name_that_no_function_has_is_an_error(tmp_path: Path, option: Option) -> None:
    with pytest.raises(ConfigurationError) as caught:
        option(tmp_path, "shop-*", "shop-mial")

    assert caught.value.reference == "function-unknown"
    assert 'Did you mean "shop-mails"?' in caught.value.message
    assert "shop-worker-eu" in caught.value.hint


def test_a_function_that_carries_a_stub_is_said_to_get_its_own_code_back(tmp_path: Path) -> None:
    description = live_description(StageName("shop", "dev-ana"))
    stub = DeployedFunction("shop-mails", "arn", handler=STUB_HANDLER, description=description)

    found = reasons(tmp_path, deployed={MAILS: stub}, only=("shop-orders",))

    assert found[MAILS].endswith("It is live now, and gets its own code back")
    assert found[WORKER] == "--only leaves it out"


def test_options_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"TERRALIVE_ONLY": "shop-*, mails", "TERRALIVE_EXCEPT": "worker"}

    config = load(project=tmp_path, flags={}, environ=environ, user="ana")

    assert (config.only, config.except_) == (("shop-*", "mails"), ("worker",))


def unused(folder: Path, *tables: str, planned: Sequence[PlannedFunction] = PLANNED) -> list[str]:
    """Return the warnings about tables of terralive.toml."""
    file = "".join(f"[functions.'{table}']\nlive = true\n" for table in tables)
    (folder / "terralive.toml").write_text(file, "utf-8")
    config = load(project=folder, flags={}, environ={}, user="ana")
    found = unused_tables(config, planned, ["aws_lambda_function.disabled"])
    return [warned.message for warned in found]


def test_a_table_that_fits_no_function_is_told(tmp_path: Path) -> None:
    (text,) = unused(tmp_path, "orders", "shop-*", WORKER, f'{WORKER}["eu"]', "shop-worker-us")
    assert "no function of the app fits [functions.'orders']" in text
    assert 'Did you mean "shop-orders"?' in text


def test_a_table_of_a_function_without_instances_fits(tmp_path: Path) -> None:
    assert unused(tmp_path, "aws_lambda_function.disabled", f"{ORDERS}[0]") == []


def test_nothing_is_told_while_a_name_is_not_known(tmp_path: Path) -> None:
    new = (*PLANNED, PlannedFunction("aws_lambda_function.new", "", name=None))
    assert unused(tmp_path, "orders", planned=new) == []


def test_a_start_warns_of_functions_that_cannot_be_live_and_of_none_that_the_user_leaves_out(
    tmp_path: Path,
) -> None:
    chosen = reasons(tmp_path, except_=("shop-mails",))
    refused = {address: NotLive(address, reason) for address, reason in chosen.items()}
    refused[WORKER] = NotLive(WORKER, "it has no handler")
    (warning,) = reasons_to_tell(refused)
    assert (warning.function, warning.message) == (WORKER, "it has no handler")
