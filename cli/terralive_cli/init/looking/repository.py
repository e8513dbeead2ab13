"""A look at a repository: its makefile, its CI system, its remote. It reads files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from terralive_cli.configuration.source import repository_top, source_of
from terralive_cli.init.findings import CiSystem, Repository

# The names and their order: https://www.gnu.org/software/make/manual/html_node/Makefile-Names.html
_MAKEFILES: Final = ("GNUmakefile", "makefile", "Makefile")
# https://just.systems/man/en/quick-start.html
_JUSTFILES: Final = ("justfile", "Justfile", "JUSTFILE", ".justfile")
GITLAB_FILE: Final = ".gitlab-ci.yml"
_GITHUB: Final = "github.com"
_HEAD: Final = re.compile(r"ref: refs/remotes/origin/(?P<branch>\S+)")
_DEFAULT_BRANCH: Final = "main"


def look_at(project: Path) -> Repository:
    """Return what a repository has that `terralive init` writes for.

    Args:
        project: the folder that the user works in. The nearest makefile or justfile counts, from
            there up to the top of the repository.
    """
    top = repository_top(project) or project
    host, _, path = source_of(top).repository.partition("/")
    if "." not in host or not path:
        host, path = "", ""
    makefile, justfile = None, None
    for folder in _upwards(project, top):
        makefile = _first(folder, _MAKEFILES)
        justfile = _first(folder, _JUSTFILES)
        if makefile is not None or justfile is not None:
            break
    return Repository(
        top,
        host=host,
        path=path,
        default_branch=_default_branch(top),
        makefile=makefile,
        justfile=justfile,
        ci=_ci_system(top, host),
        vscode=(project / ".vscode").is_dir(),
        jetbrains=(project / ".idea").is_dir(),
    )


def _upwards(project: Path, top: Path) -> Iterator[Path]:
    yield project
    for folder in project.parents:
        if not folder.is_relative_to(top):
            return
        yield folder


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first file that is there. A file system may take one name for another."""
    there = {path.name for path in folder.iterdir() if path.is_file()}
    for name in names:
        if name in there:
            return folder / name
    return None


def _ci_system(top: Path, host: str) -> CiSystem:
    """Return the CI system whose files are there. If there are those of both, the host decides."""
    has_github = (top / ".github").is_dir()
    if (top / GITLAB_FILE).is_file() and not (has_github and host == _GITHUB):
        return CiSystem.GITLAB
    if has_github:
        return CiSystem.GITHUB
    return CiSystem.NONE


def _default_branch(top: Path) -> str:
    """Return the default branch of the remote, as a clone remembers it."""
    try:
        text = (top / ".git" / "refs" / "remotes" / "origin" / "HEAD").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return _DEFAULT_BRANCH
    head = _HEAD.match(text)
    if head is None:
        return _DEFAULT_BRANCH
    return head["branch"]
