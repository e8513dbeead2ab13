"""`terralive init` in a team's repository: what it finds, writes, asks, and leaves alone."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from terralive_cli.init.contents.proposals import Proposal
from terralive_cli.init.findings import CiSystem
from terralive_cli.init.looking.projects import app_names
from terralive_cli.init.looking.repository import look_at
from terralive_cli.init.looking.roots import find_roots
from terralive_cli.init.writing import Writer, read_text
from terralive_cli.main import main
from terralive_testing.fakes.user import AnsweringUser

MAIN = """
terraform {
  backend "s3" {
    bucket       = "acme-states"
    key          = "orders.tfstate"
    region       = "eu-west-1"
    use_lockfile = true
  }
}
provider "aws" {
  region = "eu-west-1"
}
data "archive_file" "api" {
  source_dir = "../services/api"
}
resource "aws_lambda_function" "api" {
  runtime  = "python3.12"
  handler  = "app.handler"
  filename = data.archive_file.api.output_path
}
module "mail" {
  source  = "./fn"
  runtime = "python3.12"
}
"""
MODULE = """
variable "runtime" {}
variable "zip" {}
resource "aws_lambda_function" "this" {
  handler  = "send.handler"
  runtime  = var.runtime
  filename = var.zip
}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A team's repository with a makefile, instructions for agents, and workflows."""
    write(tmp_path / "infra" / "main.tf", MAIN)
    write(tmp_path / "infra" / "fn" / "main.tf", MODULE)
    write(tmp_path / "services" / "api" / "app.py", "def handler(event, context): ...\n")
    write(tmp_path / "services" / "mail" / "send.py", "def handler(event, context): ...\n")
    write(tmp_path / "Makefile", "test:\n\techo tested")
    write(tmp_path / "AGENTS.md", "# Agents\r\n")
    write(tmp_path / ".github" / "workflows" / "ci.yml", "name: ci\n")
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/work\n")
    write(
        tmp_path / ".git" / "refs" / "remotes" / "origin" / "HEAD",
        "ref: refs/remotes/origin/trunk\n",
    )
    write(
        tmp_path / ".git" / "config", '[remote "origin"]\n\turl = git@github.com:acme/orders.git\n'
    )
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())


def content(top: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(top.rglob("*")):
        if path.is_file():
            found[path.relative_to(top).as_posix()] = path.read_bytes()
    return found


def init(
    capsys: pytest.CaptureFixture[str], top: Path, *options: str, code: int = 0
) -> list[dict[str, Any]]:
    """Run `terralive init` without a terminal. Return its events."""
    capsys.readouterr()
    assert main(["--output", "json", "init", "--project", str(top), *options]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def states(events: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {event["path"]: event["state"] for event in events if event["type"] == "file"}


NEW = {
    "terralive.toml",
    "live.mk",
    ".github/workflows/terralive-cleanup.yml",
    ".github/terralive-cleanup/role.tf",
    ".github/terralive-cleanup/orders.policy.json",
}


def test_without_a_terminal_new_files_are_written_and_existing_ones_stay(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(repository)
    events = init(capsys, repository)
    after = content(repository)
    assert set(after) - set(before) == NEW
    assert {name: after[name] for name in before} == before
    left = {name for name, state in states(events).items() if state == "left"}
    assert left == {"Makefile", "AGENTS.md"}
    diffs = {event["path"]: event["diff"] for event in events if event["type"] == "file"}
    assert diffs["Makefile"].splitlines()[-1] == "+include live.mk"
    role = after[".github/terralive-cleanup/role.tf"].decode()
    assert '"repo:acme/orders:ref:refs/heads/trunk"' in role
    settings = after["terralive.toml"].decode()
    assert '# path = "services/api"' in settings
    assert '# [functions."module.mail.aws_lambda_function.this"]' in settings
    assert '# path = "services/mail"    # send.handler, found by the handler\'s file' in settings


def test_yes_adds_to_existing_files_and_a_second_run_changes_nothing(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = states(init(capsys, repository, "--yes"))
    assert {name for name, state in first.items() if state == "changed"} == {
        "Makefile",
        "AGENTS.md",
    }
    assert (repository / "Makefile").read_bytes() == b"test:\n\techo tested\n\ninclude live.mk\n"
    after = content(repository)
    assert set(states(init(capsys, repository, "--yes")).values()) == {"unchanged"}
    assert content(repository) == after


def test_an_edited_file_of_ours_is_shown_as_a_diff_and_stays_without_consent(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(capsys, repository, "--yes")
    edited = "live:\n\techo mine\n"
    write(repository / "live.mk", edited)
    events = init(capsys, repository)
    assert states(events)["live.mk"] == "left"
    (diff,) = [event["diff"] for event in events if event.get("path") == "live.mk"]
    assert "-\techo mine" in diff.splitlines()
    assert (repository / "live.mk").read_text("utf-8") == edited
    assert any("--yes" in event.get("message", "") for event in events)


def test_policies_are_printed_for_this_project_and_nothing_is_written(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        repository / "terralive.toml", 'accounts = ["123456789012"]\n[terraform]\ndir = "infra"\n'
    )
    before = content(repository)
    events = init(capsys, repository, "--policy")
    assert [event["name"] for event in events] == ["developer", "joiner", "cleanup", "state-bucket"]
    text = json.dumps(events)
    # Everybody has a stage of their own.
    assert "arn:aws:dynamodb:eu-west-1:123456789012:table/terralive-orders-dev-*" in text
    assert (
        main(["init", "--project", str(repository), "--stage", "pr-4", "--policy", "cleanup"]) == 0
    )
    alone = json.loads(capsys.readouterr().out)
    (table,) = [item["Resource"] for item in alone["Statement"] if item["Sid"] == "Table"]
    assert table.endswith("table/terralive-orders-pr-4*")
    assert "no-such-policy" in json.dumps(init(capsys, repository, "--policy", "admin", code=2))
    assert content(repository) == before


def test_several_roots_have_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("services/orders/infra", "services/mail", "envs/prod"):
        write(tmp_path / name / "main.tf", 'resource "aws_lambda_function" "x" {}\n')
    events = init(capsys, tmp_path, "--yes", code=2)
    assert events[-1]["reference"] == "several-terraform-roots"
    assert "services/mail, services/orders/infra" in events[-1]["message"]
    assert "envs/prod" in events[0]["message"]
    assert not (tmp_path / "live.mk").exists()

    roots = [f"--root={tmp_path / name}" for name in ("services/orders/infra", "services/mail")]
    assert "--ci github" in json.dumps(init(capsys, tmp_path, *roots))
    assert "--ci github" not in json.dumps(init(capsys, tmp_path, *roots, "--ci", "none"))
    orders = (tmp_path / "services" / "orders" / "terralive.toml").read_text("utf-8")
    assert 'dir = "infra"' in orders
    assert "LIVE_PROJECT ?= services/mail\n" in (tmp_path / "live.mk").read_text("utf-8")
    assert set(states(init(capsys, tmp_path, *roots)).values()) == {"unchanged"}


@pytest.mark.parametrize(
    ("repository", "folders", "names"),
    [
        ("acme", ["services/orders", "services/mail"], ["acme-orders", "acme-mail"]),
        ("acme", ["a/infra", "b/infra"], ["acme-a", "acme-b"]),
        ("acme", ["x/a", "y/a"], ["acme-x-a", "acme-y-a"]),
        ("acme", [""], [""]),
        ("acme", ["infra"], [""]),
        ("acme", ["services/orders"], ["acme-orders"]),
        ("a-long-name-" * 4, ["orders", "mail"], ["orders", "mail"]),
        ("acme", ["x" * 90 + "1", "x" * 90 + "2"], ["1-" + "x" * 38, "2-" + "x" * 38]),
    ],
)
def test_apps_of_one_repository_have_names_of_their_own(
    repository: str, folders: list[str], names: list[str]
) -> None:
    assert app_names(repository, folders) == names


def test_one_of_several_roots_has_its_settings_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("services/orders/infra", "services/mail"):
        write(tmp_path / name / "main.tf", 'resource "aws_lambda_function" "x" {}\n')
    init(capsys, tmp_path, "--root", str(tmp_path / "services" / "orders" / "infra"))
    # One at the top would count for the other root, too.
    assert [path.parent for path in tmp_path.rglob("terralive.toml")] == [
        tmp_path / "services" / "orders"
    ]


def test_a_second_project_of_a_repository_shares_the_files_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    write(tmp_path / ".git" / "config", '[remote "origin"]\n\turl = git@github.com:acme/shop.git\n')
    write(tmp_path / ".github" / "CODEOWNERS", "")
    write(tmp_path / "Makefile", "test:\n")
    for name in ("orders", "mail"):
        write(tmp_path / name / "main.tf", 'resource "aws_lambda_function" "x" {}\n')
        init(capsys, tmp_path / name, "--yes")
    assert 'app = "shop-mail"' in (tmp_path / "mail" / "terralive.toml").read_text("utf-8")
    for file in ("live.mk", "AGENTS.md"):
        text = (tmp_path / file).read_text("utf-8")
        assert "mail" in text
        assert "orders" in text
    job = (tmp_path / ".github" / "workflows" / "terralive-cleanup.yml").read_text("utf-8")
    assert "terralive --project orders destroy" in job
    assert "terralive --project mail destroy" in job
    # From the top, the root's own project is found.
    events = init(capsys, tmp_path, "--yes", "--root", str(tmp_path / "orders"))
    assert set(states(events).values()) == {"unchanged"}
    assert not (tmp_path / "terralive.toml").exists()


def test_a_root_is_a_folder_that_no_other_one_calls(tmp_path: Path) -> None:
    write(tmp_path / "app" / "main.tf", 'module "fn" {\n  source = "../shared/fn"\n}\n')
    write(tmp_path / "shared" / "fn" / "main.tf", 'resource "aws_lambda_function" "x" {}\n')
    write(tmp_path / "network" / "main.tf", 'resource "aws_vpc" "x" {}\n')
    write(tmp_path / ".terraform" / "modules" / "x" / "main.tf", "")
    write(tmp_path / "program" / "cdktf.json", '{"app": "python main.py"}')
    write(tmp_path / "program" / "cdktf.out" / "main.tf", "")
    assert find_roots(tmp_path) == (tmp_path / "app", tmp_path / "program")


def test_a_folder_without_terraform_is_refused_and_stays_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(capsys, tmp_path, "--yes", code=2)[-1]["reference"] == "no-terraform-program"
    assert content(tmp_path) == {}


def test_nothing_is_written_where_one_file_cannot_be(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file in the place of a folder; a superuser may write to every folder.
    write(repository / ".github" / "terralive-cleanup", "")
    before = content(repository)
    events = init(capsys, repository, "--yes", code=1)
    assert events[-1]["reference"] in {"folder-read-only", "file-not-read"}
    assert content(repository) == before


def test_a_link_out_of_the_repository_is_left_alone(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path_factory.mktemp("home") / "AGENTS.md"
    elsewhere.write_text("mine\n")
    (repository / "AGENTS.md").unlink()
    (repository / "AGENTS.md").symlink_to(elsewhere)
    assert states(init(capsys, repository, "--yes"))["AGENTS.md"] == "refused"
    assert elsewhere.read_text("utf-8") == "mine\n"


def test_a_link_within_the_repository_stays_a_link_and_a_mode_stays(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "AGENTS.md").rename(repository / "CLAUDE.md")
    (repository / "AGENTS.md").symlink_to("CLAUDE.md")
    (repository / "Makefile").chmod(0o755)
    init(capsys, repository, "--yes")
    assert (repository / "AGENTS.md").is_symlink()
    assert "terralive:begin" in (repository / "CLAUDE.md").read_text("utf-8")
    assert stat.S_IMODE((repository / "Makefile").stat().st_mode) == 0o755
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((repository / "live.mk").stat().st_mode) == 0o666 & ~mask


def test_editors_of_the_repository_get_their_files(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / ".vscode").mkdir()
    assert states(init(capsys, repository))[".vscode/launch.json"] == "written"
    assert "services/api" in (repository / ".vscode" / "launch.json").read_text("utf-8")


def test_the_nearest_makefile_counts(repository: Path) -> None:
    assert look_at(repository / "services" / "api").makefile == repository / "Makefile"
    write(repository / "services" / "api" / "makefile", "")
    assert look_at(repository / "services" / "api").makefile == repository / "services/api/makefile"
    found = look_at(repository)
    assert (found.host, found.path, found.ci) == ("github.com", "acme/orders", CiSystem.GITHUB)


# In a terminal


def written_by(folder: Path, answers: str, *proposals: Proposal) -> AnsweringUser:
    user = AnsweringUser(folder, answers)
    Writer(user.ui, folder, folder, agreed=False).write(proposals)
    return user


def new(folder: Path, name: str) -> Proposal:
    return Proposal(folder / name, None, "new\n", "a purpose")


def test_a_person_chooses_among_the_new_files(tmp_path: Path) -> None:
    user = written_by(tmp_path, "1, 3\n", *(new(tmp_path, name) for name in "abc"))
    assert set(content(tmp_path)) == {"a", "c"}
    assert "Write 3 new files?" in " ".join(user.questions())


@pytest.mark.parametrize("answer", ["n\n", "\n", "4\n", "all of them\n"])
def test_any_other_answer_writes_nothing(tmp_path: Path, answer: str) -> None:
    written_by(tmp_path, answer, new(tmp_path, "a"))
    assert content(tmp_path) == {}


@pytest.mark.parametrize(("answer", "after"), [("y\n", b"after\n"), ("n\n", b"before\n")])
def test_an_existing_file_is_shown_and_asked_for(tmp_path: Path, answer: str, after: bytes) -> None:
    write(tmp_path / "Makefile", "before\n")
    proposal = Proposal(tmp_path / "Makefile", "before\n", "after\n", "a purpose")
    user = written_by(tmp_path, answer, proposal)
    assert content(tmp_path) == {"Makefile": after}
    assert user.questions() == ["Change Makefile as shown?"]
    assert "+after" in user.screen()


def test_bytes_that_are_no_text_stay_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "Makefile"
    file.write_bytes(b"# caf\xe9\n")
    before = read_text(file)
    assert before is not None
    Writer(AnsweringUser(tmp_path).ui, tmp_path, tmp_path, agreed=True).write(
        [Proposal(file, before, before + "more\n", "")]
    )
    assert file.read_bytes() == b"# caf\xe9\nmore\n"
