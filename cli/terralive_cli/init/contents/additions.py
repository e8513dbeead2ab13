"""Additions to files that belong to the team: a makefile, a justfile, AGENTS.md, and others. Pure.

An addition keeps every character of the team's. It takes the line ending of the file, and gives a
file without a final newline one first.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Final

from terralive_cli.init.contents.proposals import line_ending
from terralive_cli.init.findings import FoundFunction

LIVE_MK: Final = "live.mk"
LIVE_JUST: Final = "live.just"
# The targets, without their prefix.
TARGETS: Final = ("", "-plan", "-restore", "-destroy", "-status", "-help")
_PREFIX: Final = "live"
# A repository with such a target of its own gets targets with this prefix.
_OTHER_PREFIX: Final = "terralive"
# https://www.gnu.org/software/make/manual/html_node/Include.html
_INCLUDES: Final = re.compile(r"^ *[-s]?include[ \t]+(?P<files>.+)$", re.MULTILINE)
# https://www.gnu.org/software/make/manual/html_node/Rule-Syntax.html, without assignments.
_RULE: Final = re.compile(r"^(?P<targets>[^\s#:=][^:=#\n]*?)[ \t]*::?(?![:=])", re.MULTILINE)
# https://just.systems/man/en/imports.html
_IMPORTS: Final = re.compile(rf"^import\??\s+['\"](\./)?{re.escape(LIVE_JUST)}['\"]", re.MULTILINE)
# https://just.systems/man/en/recipe-parameters.html
_RECIPE: Final = re.compile(
    r"^@?(?P<name>[A-Za-z_][\w-]*)(?![\w-])(?![ \t]*:=)[^\n]*?:(?!=)", re.MULTILINE
)
_BEGIN: Final = "<!-- terralive:begin -->"
_END: Final = "<!-- terralive:end -->"
# Keys of .gitlab-ci.yml at its top level: https://docs.gitlab.com/ci/yaml/
_STAGES: Final = re.compile(
    r"^stages:[ \t]*(?:#.*)?(?P<same>\[[^\]]*\])?(?P<more>(?:[ \t]*\n[ \t]*(?:- .*|#.*))*)",
    re.MULTILINE,
)
_INCLUDE_KEY: Final = re.compile(r"^['\"]?include['\"]?[ \t]*:", re.MULTILINE)
_STAGE_NAME: Final = re.compile(r"[\w.-]+(?: [\w.-]+)*")
# GitLab's own stages, where a file names none: https://docs.gitlab.com/ci/yaml/#stages
_DEFAULT_STAGE: Final = "deploy"


def appended(text: str, addition: str) -> str:
    """Return a text with lines at its end, behind an empty line.

    The empty line also ends a last line that a backslash continues.
    """
    if not text:
        return addition
    end = line_ending(text)
    if not text.endswith("\n"):
        text += end
    if not text.endswith(("\n\n", "\r\n\r\n")):
        text += end
    return text + addition.replace("\n", end)


def with_include(makefile: str) -> str:
    """Return a makefile that includes live.mk. Its default goal stays what it is."""
    for found in _INCLUDES.finditer(makefile):
        # Also of `$(wildcard *.mk)`.
        for pattern in re.findall(r"[^\s()$]+", found["files"].split("#")[0]):
            if fnmatch.fnmatchcase(LIVE_MK, pattern.removeprefix("./")):
                return makefile
    return appended(makefile, f"include {LIVE_MK}\n")


def with_import(justfile: str) -> str:
    """Return a justfile that imports live.just."""
    if _IMPORTS.search(justfile):
        return justfile
    return appended(justfile, f"import '{LIVE_JUST}'\n")


def makefile_targets(makefile: str) -> frozenset[str]:
    """Return the names of the targets that a makefile has rules for."""
    found: set[str] = set()
    for rule in _RULE.finditer(makefile):
        found.update(rule["targets"].split())
    return frozenset(found)


def included_files(makefile: str) -> tuple[str, ...]:
    """Return the files that a makefile includes by literal names, without live.mk."""
    found: list[str] = []
    for line in _INCLUDES.finditer(makefile):
        for name in line["files"].split("#")[0].split():
            if name.removeprefix("./") != LIVE_MK and not re.search(r"[$*?]", name):
                found.append(name)
    return tuple(found)


def justfile_recipes(justfile: str) -> frozenset[str]:
    """Return the names of the recipes of a justfile."""
    return frozenset(recipe["name"] for recipe in _RECIPE.finditer(justfile))


def prefix_of_targets(taken: Iterable[str]) -> str:
    """Return `live`, or another prefix where the team has such a target itself."""
    wanted = {f"{_PREFIX}{name}" for name in TARGETS}
    if wanted.isdisjoint(taken):
        return _PREFIX
    return _OTHER_PREFIX


def with_section(text: str, section: str) -> str | None:
    """Return a Markdown text with terralive's section; None where its markers are not a pair.

    Args:
        text: the text of the file; "" for a new one.
        section: the section, without markers, with a newline at its end.
    """
    block = f"{_BEGIN}\n{section}{_END}\n"
    counts = (text.count(_BEGIN), text.count(_END))
    if counts == (0, 0):
        return appended(text, block)
    begin = text.find(_BEGIN)
    end = text.find(_END)
    if counts != (1, 1) or end < begin:
        return None
    inner = block.removesuffix("\n").replace("\n", line_ending(text))
    return text[:begin] + inner + text[end + len(_END) :]


def new_functions(settings: str, functions: Sequence[FoundFunction]) -> tuple[FoundFunction, ...]:
    """Return the functions that a terralive.toml does not mention."""
    found: list[FoundFunction] = []
    for function in functions:
        mentioned = re.search(rf"{re.escape(function.address)}(?![\w-])", settings)
        if mentioned is None:
            found.append(function)
    return tuple(found)


def with_ci_include(pipeline: str, file: str) -> str | None:
    """Return a .gitlab-ci.yml that includes a file; None where a person has to add it.

    A second key `include` would replace the first one.
    """
    if file in pipeline:
        return pipeline
    if _INCLUDE_KEY.search(pipeline):
        return None
    return appended(pipeline, f"include:\n  - local: {file}\n")


def last_stage(pipeline: str) -> str:
    """Return the last stage that a .gitlab-ci.yml names, or one that GitLab has by itself."""
    stages = _STAGES.search(pipeline)
    if stages is None:
        return _DEFAULT_STAGE
    names: list[str] = []
    for line in f"{stages['same'] or ''}\n{stages['more']}".splitlines():
        for word in line.split("#")[0].strip(" \t[]").split(","):
            name = _STAGE_NAME.search(word.strip().removeprefix("- "))
            if name is not None:
                names.append(name[0])
    names = [name for name in names if name not in {".pre", ".post"}]
    if not names:
        return _DEFAULT_STAGE
    return names[-1]
