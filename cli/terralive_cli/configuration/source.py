"""The source of a project: the repository that it belongs to, and its folder in there.

Two checkouts of one repository have the same source. So a debug stack tells its own developers
from another repository whose app and stage have the same names. Git itself is not needed: the
files of the repository are read, and nothing is written.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# A repository that was forked names the original one `upstream`, by convention.
_REMOTES: Final = ("upstream", "origin")
_SECTION: Final = re.compile(r'\s*\[\s*remote\s+"(.+)"\s*\]\s*$')
_ANY_SECTION: Final = re.compile(r"\s*\[")
_URL: Final = re.compile(r'\s*url\s*=\s*"?(.*?)"?\s*$', re.IGNORECASE)
# https://git-scm.com/docs/git-clone#URLS: `ssh://git@host:22/path`, `helper::region://host`, and
# `git@host:path` of scp.
_WITH_SCHEME: Final = re.compile(
    r"[a-z][a-z0-9+.-]*(?:::[a-z0-9-]+)?://(?:[^@/]*@)?([^:/]+)(?::\d+)?(?:/+(.*))?", re.IGNORECASE
)
_LIKE_SCP: Final = re.compile(r"(?:[^@/]+@)?([^:/@]+):(?!//)(.*)")
# Hosts have other names for SSH (`ssh.github.com`, `altssh.gitlab.com`), and Azure DevOps and
# Bitbucket have other paths for it.
_SSH_HOST: Final = re.compile(r"^(alt)?ssh\.(?=.+\.)")
_NOT_IN_ALL_URLS: Final = {"dev.azure.com": ("v3", "_git"), "": ("scm",)}
_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")
# The characters that every service takes in the value of a tag, and its length:
# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
_NOT_IN_TAGS: Final = re.compile(r"[^A-Za-z0-9 _.:/=+@-]")
_TAG_CHARACTERS: Final = 256
_DIGEST_CHARACTERS: Final = 12
# Folders in which many projects keep their Terraform configuration. They name no project.
CONFIGURATION_FOLDERS: Final = {
    *("infra", "infrastructure", "terraform", "tf", "iac", "deploy", "deployment", "cdktf"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a project.

    Attributes:
        repository: `github.com/acme/orders`; without a remote the name of the top folder.
        folder: the project's folder in the repository, with `/`; "" for the repository itself.
    """

    repository: str
    folder: str = ""

    @property
    def name(self) -> str:
        """The repository's own name: `orders`."""
        return self.repository.rpartition("/")[2]

    def __str__(self) -> str:
        """Return it as Terraform writes a folder of a repository: `github.com/acme/orders//infra`.

        https://developer.hashicorp.com/terraform/language/modules/sources#modules-in-package-sub-directories
        """
        text = self.repository
        if self.folder:
            text += f"//{self.folder}"
        return tag_value(text)


def source_of(project: Path) -> Source:
    """Find the source of a project's folder, which is absolute."""
    for top in (project, *project.parents):
        configuration = _git_configuration(top / ".git")
        if configuration is not None:
            url = remote_url(_text(configuration))
            repository = repository_of(url) or top.name
            return Source(repository, project.relative_to(top).as_posix().removeprefix("."))
    top = project
    while top.name.lower() in CONFIGURATION_FOLDERS:
        top = top.parent
    return Source(top.name, project.relative_to(top).as_posix().removeprefix("."))


def repository_top(folder: Path) -> Path | None:
    """Return the top folder of the Git repository around a folder; None outside of one."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return None


def remote_url(configuration: str) -> str:
    """Return the URL of a repository's remote from the text of its Git configuration, or "".

    It is `upstream`, else `origin`, else the first one.
    """
    urls: dict[str, str] = {}
    remote = ""
    for line in configuration.splitlines():
        section = _SECTION.match(line)
        url = _URL.match(line)
        if section is not None:
            remote = section[1]
        elif _ANY_SECTION.match(line):
            remote = ""
        elif remote and url is not None:
            urls.setdefault(remote, url[1])
    for name in (*_REMOTES, *urls):
        if urls.get(name):
            return urls[name]
    return ""


def repository_of(url: str) -> str:
    """Return one spelling for all URLs of a repository: `github.com/acme/orders`.

    Scheme, user, password, port, `.git` and upper case in the host's name do not count. A path of
    this machine becomes the name of its last folder, because it differs between machines.
    """
    url = url.strip()
    match = _WITH_SCHEME.match(url)
    if match is None and not _DRIVE.match(url):
        match = _LIKE_SCP.match(url)
    if match is None or url.lower().startswith("file:"):
        path = url.replace("\\", "/").rstrip("/").removesuffix("/.git").removesuffix(".git")
        return path.rpartition("/")[2]
    host = _SSH_HOST.sub("", match[1].lower())
    path = (match[2] or "").strip("/").removesuffix(".git")
    dropped = _NOT_IN_ALL_URLS.get(host, _NOT_IN_ALL_URLS[""])
    return "/".join([host, *(part for part in path.split("/") if part and part not in dropped)])


def tag_value(text: str) -> str:
    """Return a text as the value of a tag, with a digest where something had to be changed."""
    value = _NOT_IN_TAGS.sub("-", text)
    if value == text and len(text) <= _TAG_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{value[: _TAG_CHARACTERS - _DIGEST_CHARACTERS - 1]}-{digest}"


def _git_configuration(git: Path) -> Path | None:
    """Return the file with a repository's configuration; None where `git` is no repository.

    In a worktree and in a submodule, `.git` is a file with the path of the real folder:
    https://git-scm.com/docs/gitrepository-layout
    """
    if not os.access(git, os.R_OK):
        return None
    if git.is_file():
        named = _text(git).removeprefix("gitdir:").strip()
        git = (git.parent / named).resolve()
        common = _text(git / "commondir").strip()
        if common:
            git = (git / common).resolve()
    if not (git / "HEAD").is_file():
        return None
    return git / "config"


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
