"""The functions that become live, and those that stay as they are because of others."""

from __future__ import annotations

from pathlib import Path

from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import Module
from terralive_terraform.substitution.rules import LiveSettings, Substitution, override_document
from terralive_terraform.substitution.selection import Selection, select

ROOT = Path("/app")
LIVE = LiveSettings(Path("/app/.terralive/stub.zip"), "hash")
API = DeclaredFunction("aws_lambda_function.api", "api")
SIGNED = DeclaredFunction(
    "aws_lambda_function.signed", "signed", attributes=frozenset({"code_signing_config_arn"})
)
# One folder, called twice.
JOB_A = DeclaredFunction("module.a.aws_lambda_function.job", "job")
JOB_B = DeclaredFunction("module.b.aws_lambda_function.job", "job")
MODULES = (Module(ROOT, (API, SIGNED)), Module(ROOT / "jobs", (JOB_A, JOB_B)))


def live(selection: Selection) -> list[str]:
    return [function.address for function in selection.functions]


def test_without_live_settings_every_function_is_selected_and_none_changes() -> None:
    selection = select(MODULES, None, ROOT)
    assert live(selection) == [API.address, SIGNED.address, JOB_A.address, JOB_B.address]
    assert selection.changes_by_call() == {}
    assert selection.without((API.address,)) == selection


def test_a_function_that_cannot_become_live_is_named_with_its_reason() -> None:
    selection = select(MODULES, LIVE, ROOT)
    assert live(selection) == [API.address, JOB_A.address, JOB_B.address]
    assert [item.address for item in selection.refused] == [SIGNED.address]
    changes = selection.changes_by_call()
    assert {call: list(labels) for call, labels in changes.items()} == {
        "": ["aws_lambda_function.api"],
        "a": ["aws_lambda_function.job"],
        "b": ["aws_lambda_function.job"],
    }


def test_the_stubs_path_is_relative_to_the_folder_that_terraform_runs_in() -> None:
    substitution = select(MODULES, LIVE, ROOT).changes_by_call()["a"]["aws_lambda_function.job"]
    assert substitution.set["filename"] == ".terralive/stub.zip"


def test_a_function_becomes_live_also_where_another_call_of_its_module_stays_as_it_is() -> None:
    selection = select(MODULES, LIVE, ROOT).without((JOB_B.address,))
    assert live(selection) == [API.address, JOB_A.address]
    assert [item.address for item in selection.refused] == [SIGNED.address]
    assert set(selection.changes_by_call()) == {"", "a"}


def test_a_call_within_a_module_has_the_name_that_terraform_gives_it() -> None:
    nested = DeclaredFunction("module.orders.module.jobs.aws_lambda_function.job", "job")
    selection = select((Module(ROOT / "jobs", (nested,)),), LIVE, ROOT)
    assert set(selection.changes_by_call()) == {"orders.jobs"}


def test_a_placeholder_changes_its_block_and_no_function_that_becomes_live() -> None:
    placeholder = Substitution({"source_code_hash": "not built"}, (), ())
    placeholders = {
        "data.archive_file.code": placeholder,
        "module.a.data.archive_file.code": placeholder,
        API.address: placeholder,
        SIGNED.address: placeholder,
    }
    selection = (
        select(MODULES, LIVE, ROOT).with_placeholders(placeholders).without((JOB_B.address,))
    )
    changes = selection.changes_by_call()
    assert set(changes[""]) == {
        "data.archive_file.code",
        "aws_lambda_function.api",
        "aws_lambda_function.signed",
    }
    assert changes[""]["aws_lambda_function.api"].set["handler"] == STUB_HANDLER
    assert changes[""]["aws_lambda_function.signed"] is placeholder
    assert set(changes["a"]) == {"data.archive_file.code", "aws_lambda_function.job"}
    assert set(override_document(changes["a"])) == {"data", "resource"}
