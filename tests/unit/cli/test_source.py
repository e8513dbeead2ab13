"""The source of a project: one spelling for all checkouts of one repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from terralive_cli.configuration.source import Source, remote_url, repository_of, source_of


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:acme/orders.git",
        "git@github.com:acme/orders",
        "github.com:acme/orders.git",
        "https://github.com/acme/orders",
        "https://github.com/acme/orders.git/",
        "https://ana:ghp_secret@GitHub.com/acme/orders.git",
        "https://x-access-token:ghs_secret@github.com/acme/orders",
        "ssh://git@github.com:22/acme/orders.git",
        "ssh://git@github.com/acme/orders",
        "git://github.com/acme/orders.git",
        "git+ssh://git@github.com/acme/orders.git",
    ],
)
def test_all_urls_of_a_repository_are_one_source_and_no_password_is_in_it(url: str) -> None:
    assert repository_of(url) == "github.com/acme/orders"


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("/srv/git/orders.git", "orders"),
        ("../orders", "orders"),
        ("./orders/.git", "orders"),
        ("file:///srv/git/orders.git", "orders"),
        ("C:\\git\\orders.git", "orders"),
        ("codecommit::eu-west-1://ana@orders", "orders"),
        ("codecommit://orders", "orders"),
        (
            "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/orders",
            "git-codecommit.eu-west-1.amazonaws.com/v1/repos/orders",
        ),
        ("https://acme@dev.azure.com/acme/shop/_git/orders", "dev.azure.com/acme/shop/orders"),
        ("git@ssh.dev.azure.com:v3/acme/shop/orders", "dev.azure.com/acme/shop/orders"),
        ("ssh://git@ssh.github.com:443/acme/orders.git", "github.com/acme/orders"),
        ("https://git.acme.com/scm/shop/orders.git", "git.acme.com/shop/orders"),
        ("ssh://git@git.acme.com:7999/shop/orders.git", "git.acme.com/shop/orders"),
    ],
)
def test_other_urls_name_the_repository_too(url: str, repository: str) -> None:
    assert repository_of(url) == repository
    assert Source(repository).name.endswith("orders")


def test_the_original_of_a_fork_is_the_source() -> None:
    remotes = {
        "origin": '[remote "origin"]\n\turl = git@github.com:ana/orders.git\n\tfetch = +x:y\n',
        "upstream": '[remote "upstream"]\n\turl = git@github.com:acme/orders.git\n',
        "other": '[remote "backup"]\n\turl = "git@example.org:backup.git"\n',
    }
    core = "[core]\n\turl = no-remote\n"
    assert remote_url(core + remotes["origin"] + remotes["upstream"]).startswith(
        "git@github.com:acme"
    )
    assert remote_url(remotes["other"] + remotes["origin"]).startswith("git@github.com:ana")
    assert remote_url(core + remotes["other"]) == "git@example.org:backup.git"
    assert remote_url(core) == ""


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def repository(folder: Path, url: str = "") -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    if url:
        git(folder, "remote", "add", "origin", url)
    return folder


def test_a_project_is_known_by_its_remote_and_its_folder(tmp_path: Path) -> None:
    top = repository(tmp_path / "a checkout", "https://github.com/acme/orders.git")
    infra = top / "deploy" / "infra"
    infra.mkdir(parents=True)
    assert source_of(top) == Source("github.com/acme/orders")
    assert source_of(infra) == Source("github.com/acme/orders", "deploy/infra")
    assert source_of(infra).name == "orders"
    assert str(source_of(infra)) == "github.com/acme/orders//deploy/infra"


def test_a_worktree_has_the_source_of_its_repository(tmp_path: Path) -> None:
    top = repository(tmp_path / "orders", "git@github.com:acme/orders.git")
    git(top, "commit", "-q", "--allow-empty", "-m", "x")
    git(top, "worktree", "add", "-q", str(tmp_path / "elsewhere"))
    assert source_of(tmp_path / "elsewhere") == source_of(top)


def test_without_a_remote_the_top_folder_names_the_project(tmp_path: Path) -> None:
    top = repository(tmp_path / "orders")
    (top / "infra").mkdir()
    assert source_of(top / "infra") == Source("orders", "infra")
    assert source_of(top / "infra").name == "orders"


def test_without_git_the_projects_folder_names_it(tmp_path: Path) -> None:
    assert source_of(tmp_path / "orders") == Source("orders")
    assert source_of(tmp_path / "orders" / "infra") == Source("orders", "infra")
    assert source_of(tmp_path / "orders" / "deploy" / "Terraform").name == "orders"


def test_every_source_fits_into_a_tag() -> None:
    odd = Source("github.com/acme/größe, x", "a" * 300)
    assert len(str(odd)) == 256
    assert str(odd).isascii()
    assert str(odd) != str(Source("github.com/acme/größe; x", "a" * 300))
