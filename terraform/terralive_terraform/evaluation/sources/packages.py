"""Packages that a program builds, and the sources that the plan names for them.

- terraform-aws-modules/lambda, and modules like it, pass `source_path` to a program:
  https://registry.terraform.io/modules/terraform-aws-modules/lambda/aws
- AWS SAM's CLI reads the sources of a function from a `null_resource`:
  https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/gs-terraform-support.html
- Other resources and arguments of modules name a folder that has the handler's file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, items, section, text
from terralive_terraform.addresses import instance_key, without_keys
from terralive_terraform.discovery.archives import ARCHIVE
from terralive_terraform.discovery.hcl.words import KEY
from terralive_terraform.evaluation.document import DATA, Evaluated, Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.references import reachable
from terralive_terraform.evaluation.sources.archives import Archive
from terralive_terraform.evaluation.sources.handlers import handler_files
from terralive_terraform.evaluation.sources.layouts import Entry, file_entry, folder_entry
from terralive_terraform.evaluation.sources.repository import Repository

_SOURCE_PATH: Final = "source_path"
_ZIP_AND_FOLDER: Final = 2  # words of `:zip FOLDER`
_SAM_TYPE: Final = "ZIP_LAMBDA_FUNCTION"
# Arguments of resources that a program's inputs are in.
_INPUTS: Final = ("query", "triggers", "triggers_replace", "input", "inputs", "working_dir")
_WORD: Final = re.compile(r"[^\s;&|\"'()<>]+")


class Packages:
    """The packages of a plan that a program builds.

    Args:
        evaluation: the plan.
        repository: the repository.
        words: words of resources in the configuration's files, by their addresses without keys.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        repository: Repository,
        words: Mapping[str, Sequence[str]],
    ) -> None:
        self._evaluation = evaluation
        self._repository = repository
        self._words = words
        # Packages with `source_path`, by the zip that their program names.
        self._by_file: dict[Path, Evaluated] = {}
        self._by_module: dict[str, list[Evaluated]] = {}
        self._by_function: dict[str, Evaluated] = {}
        for item in evaluation.instances("external", DATA):
            if text(section(item.values, "query"), _SOURCE_PATH):
                self._by_module.setdefault(item.module, []).append(item)
                file = text(section(item.values, "result"), "filename")
                if file:
                    self._by_file[self._path(file)] = item
        for item in evaluation.instances("null_resource"):
            triggers = section(item.values, "triggers")
            if text(triggers, "resource_type") == _SAM_TYPE:
                address = f"{item.module}.{text(triggers, 'resource_name')}".lstrip(".")
                self._by_function[address] = item

    def of(self, function: PlannedFunction, zips: Iterable[Path]) -> Archive | None:
        """Return the package that a function's zip is.

        Args:
            function: the function.
            zips: the files that its zip comes from.
        """
        for file in zips:
            if file in self._by_file:
                return self._built(self._by_file[file])
        own = self._by_module.get(function.module, [])
        if len(own) == 1 and function.module:
            return self._built(own[0])
        known = self._by_function.get(function.address)
        if known is not None:
            return self._of_sam(known)
        return None

    def named(self, function: PlannedFunction) -> Archive | None:
        """Return the one folder that has the handler's file and that the plan names.

        It looks at what a function's zip depends on, and at the literal arguments of its module.
        """
        files = handler_files(function.handler, function.runtime)
        found: dict[Path, Archive] = {}
        for shown, value in self._values(function):
            entry = self._entry(value)
            if entry is None:
                continue
            folder = entry.local
            if not entry.is_folder:
                folder = folder.parent
            has_handler = any((folder / file).is_file() for file in files)
            if has_handler and (entry.is_folder or entry.local.name in files):
                found.setdefault(folder, Archive(shown, (entry,)))
        source = {path: item for path, item in found.items() if not self._repository.is_built(path)}
        remaining = tuple((source or found).values())
        if len(remaining) == 1:
            return remaining[0]
        return None

    def _built(self, item: Evaluated) -> Archive:
        source = _parsed(text(section(item.values, "query"), _SOURCE_PATH))
        shown = f"{_SOURCE_PATH} of {item.module or item.address}"
        return Archive(shown, tuple(self._entries(source)), note=_note(source))

    def _of_sam(self, item: Evaluated) -> Archive | None:
        triggers = section(item.values, "triggers")
        source = _parsed(text(triggers, "original_source_code"))
        name = text(triggers, "source_code_property")
        if name and isinstance(source, dict):
            source = source.get(name)
        entries = tuple(self._entries(source))
        if not entries:
            return None
        return Archive(f"original_source_code of {item.address}", entries)

    def _entries(self, source: Json) -> Iterator[Entry]:
        """Yield the entries of a `source_path`: a path, or a list of paths and objects."""
        several = source if isinstance(source, list) else [source]
        for one in several:
            prefix, path = "", one
            if isinstance(one, dict):
                prefix = text(one, "prefix_in_zip").strip("/")
                path = one.get("path")
            if not isinstance(path, str) or not path:
                continue
            local = self._path(path)
            commands = _commands(one)
            if commands:
                yield from _zipped(local, commands)
            elif local.is_dir():
                yield folder_entry(local, prefix)
            elif local.is_file():
                yield file_entry(local, f"{prefix}/{local.name}".lstrip("/"))

    def _values(self, function: PlannedFunction) -> Iterator[tuple[str, str]]:
        """Yield the texts that may name a function's source, and how a user reads each."""
        for item in reachable(self._evaluation, function.address, function.module):
            # An `archive_file` describes an archive completely.
            if item.type.startswith("aws_") or item.type == ARCHIVE:
                continue
            yield from _inputs(item)
            for word in self._words_of_commands(item):
                yield f"a command of {item.address}", word
            for word in self._declared_words(item.address):
                yield f"what {item.address} names", word
        for word in self._declared_words(function.address):
            yield f"what {function.address} names", word
        arguments = section(self._evaluation.call(function.module), "expressions")
        for name, expression in arguments.items():
            value = as_object(expression).get("constant_value")
            if isinstance(value, str):
                yield f"{name} of {function.module}", value

    def _declared_words(self, address: str) -> Iterator[str]:
        """Yield the words that the files have for a resource, with its instance's key."""
        key = instance_key(address)
        for word in self._words.get(without_keys(address), ()):
            if KEY not in word:
                yield word
            elif key:
                yield word.replace(KEY, key)

    def _words_of_commands(self, item: Evaluated) -> Iterator[str]:
        """Yield the words of a resource's literal commands, and the folder that they run in."""
        for provisioner in items(self._evaluation.block(item.address), "provisioners"):
            expressions = section(as_object(provisioner), "expressions")
            for name in ("working_dir", "command"):
                value = text(section(expressions, name), "constant_value")
                # The folder in front of a pattern: `../src` of `../src/*.py`.
                yield from (re.sub(r"/?[^/]*\*.*", "", word) for word in _WORD.findall(value))

    def _entry(self, value: str) -> Entry | None:
        """Return the entry of a text that names a file or folder of this machine."""
        if not value.strip(".") or "\n" in value:
            return None
        try:
            local = self._path(value)
            if local.is_dir():
                return folder_entry(local)
            if local.is_file():
                return file_entry(local)
        except (OSError, ValueError):
            return None  # a text that is no path
        return None

    def _path(self, value: str) -> Path:
        return (self._evaluation.directory / value).resolve()


def _inputs(item: Evaluated) -> Iterator[tuple[str, str]]:
    """Yield the inputs of a resource that runs a program: the name in messages, and the value."""
    for name in _INPUTS:
        inputs = item.values.get(name)
        for key, value in as_object(inputs).items():
            if isinstance(value, str):
                yield f"{key} of {item.address}", value
        if isinstance(inputs, str):
            yield f"{name} of {item.address}", inputs


def _parsed(value: str) -> Json:
    """Parse JSON; anything else is a path."""
    try:
        document: Json = json.loads(value)
    except ValueError:
        return value
    return document


def _commands(source: Json) -> list[str]:
    """Return the commands of an object in a `source_path`."""
    commands = as_object(source).get("commands")
    if isinstance(commands, str):
        return commands.splitlines()
    return [command for command in items(as_object(source), "commands") if isinstance(command, str)]


def _zipped(folder: Path, commands: Iterable[str]) -> Iterator[Entry]:
    """Yield the folders that commands put into a package: `:zip` has a folder and a prefix.

    A folder that a command computes is not known.
    """
    current: Path | None = folder
    for step in _steps(commands):
        words = step.split()
        if words[:1] == ["cd"] and len(words) > 1:
            is_literal = re.fullmatch(r"[\w./-]+", words[1]) is not None
            if current is not None and is_literal:
                current = (current / words[1]).resolve()
            else:
                current = None
        elif words[:1] == [":zip"] and current is not None:
            inner = words[1] if len(words) > 1 else "."
            prefix = words[2] if len(words) > _ZIP_AND_FOLDER else ""
            yield folder_entry((current / inner).resolve(), prefix.strip("/"))


def _steps(commands: Iterable[str]) -> Iterator[str]:
    for command in commands:
        for step in command.split("&&"):
            yield step.strip()


def _note(source: Json) -> str:
    """Return a note about the commands that make a package; "" where none does more than to zip."""
    several = source if isinstance(source, list) else [source]
    steps: list[str] = []
    for one in several:
        steps.extend(_steps(_commands(one)))
    other = [step for step in steps if step and not step.startswith((":zip", "cd ", "#"))]
    if not other:
        return ""
    return f"commands that do not run here make its package: {'; '.join(other)}"
