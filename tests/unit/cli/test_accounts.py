"""An account is listed in the configuration, or confirmed once on this machine."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.configuration.values import Output
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import ConfirmedAccounts, require_allowed
from terralive_stub.errors import ConfigurationError

ACCOUNT = "123456789012"
OTHER = "999999999999"


class Machine:
    """A machine with its user's answers; `said` is what was asked and shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = io.StringIO()

    def require(
        self, account: str, answers: str = "", toml: str = "", *, yes: bool = False, alias: str = ""
    ) -> None:
        (self.folder / "terralive.toml").write_text(toml, "utf-8")
        config = load(project=self.folder, flags={"yes": yes}, environ={}, user="ana")
        with Renderer.start(Output.PLAIN, self.said) as renderer:
            ui = Ui(
                renderer,
                questions=self.said,
                answers=io.StringIO(answers),
                interactive=bool(answers),
                assume_yes=yes,
            )
            confirmed = ConfirmedAccounts.of_user({}, self.folder)
            require_allowed(account, alias, config, ui, confirmed)

    def refusal(self, account: str, answers: str = "", toml: str = "", *, yes: bool = False) -> str:
        with pytest.raises(ConfigurationError) as raised:
            self.require(account, answers, toml, yes=yes)
        assert (raised.value.reference, raised.value.exit_code) == ("account-not-allowed", 2)
        return f"{raised.value.message}\n{raised.value.hint}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_listed_account_is_allowed_without_a_question(machine: Machine) -> None:
    machine.require(ACCOUNT, toml=f'accounts = ["{OTHER}", "{ACCOUNT}"]', yes=True)
    assert machine.said.getvalue() == ""


def test_an_account_beside_the_list_is_refused_also_to_a_person(machine: Machine) -> None:
    said = machine.refusal(ACCOUNT, f"{ACCOUNT}\n", f'accounts = ["{OTHER}"]')
    assert f'accounts = ["{OTHER}", "{ACCOUNT}"]' in said
    assert machine.said.getvalue() == ""


@pytest.mark.parametrize("yes", [True, False])
def test_without_a_terminal_an_account_that_nobody_has_allowed_is_refused(
    machine: Machine, yes: bool
) -> None:
    said = machine.refusal(ACCOUNT, yes=yes)
    assert f'accounts = ["{ACCOUNT}"]' in said
    assert f"TERRALIVE_ACCOUNTS={ACCOUNT}" in said


def test_an_account_is_confirmed_by_its_id_once_on_a_machine(machine: Machine) -> None:
    machine.require(ACCOUNT, f"{ACCOUNT}\n", alias="acme-dev")
    assert f"{ACCOUNT} (acme-dev)" in " ".join(machine.said.getvalue().split())
    machine.require(ACCOUNT, yes=True)
    machine.refusal(OTHER, yes=True)


@pytest.mark.parametrize("answer", ["y", "yes", "", "12345678901", "acme-dev"])
def test_any_other_answer_is_a_no_and_is_asked_again(machine: Machine, answer: str) -> None:
    machine.refusal(ACCOUNT, f"{answer}\n")
    machine.refusal(ACCOUNT, yes=True)


def test_confirmations_are_in_the_users_folder_for_state(tmp_path: Path) -> None:
    default = ConfirmedAccounts.of_user({}, tmp_path)
    assert default.file == tmp_path / ".local" / "state" / "terralive" / "accounts.json"
    named = ConfirmedAccounts.of_user({"XDG_STATE_HOME": str(tmp_path / "s")}, Path("/nowhere"))
    assert named.file == tmp_path / "s" / "terralive" / "accounts.json"
    relative = ConfirmedAccounts.of_user({"XDG_STATE_HOME": "s"}, tmp_path)
    assert relative.file == default.file


@pytest.mark.parametrize("content", ["", "[]", '{"confirmed": "123456789012"}', "\0"])
def test_an_unreadable_file_confirms_nothing_and_is_replaced(tmp_path: Path, content: str) -> None:
    confirmed = ConfirmedAccounts(tmp_path / "accounts.json")
    confirmed.file.write_text(content, "utf-8")
    assert not confirmed.has(ACCOUNT)
    confirmed.add(ACCOUNT)
    confirmed.add(OTHER)
    assert confirmed.has(ACCOUNT)
    assert confirmed.has(OTHER)


def test_a_file_that_cannot_be_written_is_a_warning(machine: Machine) -> None:
    (machine.folder / ".local").write_text("", "utf-8")
    machine.require(ACCOUNT, f"{ACCOUNT}\n")
    assert "asks again" in machine.said.getvalue()


@pytest.mark.parametrize("value", ["1234", "12345678901a", "acme-dev"])
def test_a_listed_account_is_an_id(tmp_path: Path, value: str) -> None:
    (tmp_path / "terralive.toml").write_text(f'accounts = ["{value}"]', "utf-8")
    with pytest.raises(ConfigurationError, match="twelve digits"):
        load(project=tmp_path, flags={}, environ={}, user="ana")


def test_the_environment_lists_accounts_with_commas(tmp_path: Path) -> None:
    environ = {"TERRALIVE_ACCOUNTS": f"{ACCOUNT}, {OTHER}"}
    config = load(project=tmp_path, flags={}, environ=environ, user="ana")
    assert config.accounts == (ACCOUNT, OTHER)
