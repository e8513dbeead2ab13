"""Files that a configuration reads beside its own. It reads files, and runs nothing.

Expressions are computed as far as they need no Terraform (`discovery.hcl`). Where that is not far
enough to tell a file, or the folder that it is in, the configuration is undecided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from terralive_terraform.discovery.files import ModuleCall
from terralive_terraform.discovery.hcl.folders import configuration_files, read_file
from terralive_terraform.discovery.hcl.scope import Scope
from terralive_terraform.inputs.calls import Kind, Read, Undecided, calls_in

# They are opened anew in every run: https://developer.hashicorp.com/terraform/language/block/ephemeral
_EPHEMERAL: Final = "ephemeral"
# Characters of a template that is looked into.
_LONGEST_TEMPLATE: Final = 1024 * 1024


def reads_of(
    calls: Sequence[ModuleCall], root: Path, *, opentofu: bool = False
) -> Iterator[Read | Undecided]:
    """Yield the files and folders that a configuration reads, and what is undecided in it.

    Args:
        calls: the root module and all calls of modules; see `discovery.files.module_calls`.
        root: the root module's folder.
        opentofu: whether OpenTofu reads the configuration.
    """
    for call in calls:
        for file in configuration_files(call.directory, opentofu=opentofu):
            document = read_file(file)
            for fault in document.faults:
                yield Undecided(f"{file.name}:{fault.line} cannot be read")
            if _EPHEMERAL in document.content:
                yield Undecided(f"an ephemeral resource in {file.name} is opened in every plan")
            for found in calls_in(document.content, call.scope):
                yield found
                if isinstance(found, Read) and found.kind is Kind.TEMPLATE:
                    yield from _in_template(root / found.path)


def _in_template(path: Path) -> Iterator[Read | Undecided]:
    """Yield what a template, or those in a folder, read themselves.

    https://developer.hashicorp.com/terraform/language/functions/templatefile
    """
    files = [path]
    if path.is_dir():
        files = sorted(path.rglob("*"))
    for file in files:
        try:
            if not file.is_file():
                continue
            content = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if len(content) > _LONGEST_TEMPLATE:
            yield Undecided(f"the template {file.name} is too long to look for what it reads")
            continue
        yield from calls_in(content, Scope())
