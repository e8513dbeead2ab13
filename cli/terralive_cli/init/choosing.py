"""The choice of Terraform roots: by an option, by a question, or because there is only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.init.findings import relative
from terralive_cli.init.looking.roots import find_roots, is_program, without_production
from terralive_cli.init.writing import numbers_in
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.hcl.folders import configuration_files

_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class ChosenRoots:
    """The roots that become projects.

    Attributes:
        roots: their folders.
        alone: whether there is no other root below the user's folder.
    """

    roots: tuple[Path, ...]
    alone: bool


def chosen_roots(config: Config, ui: Ui, named: Sequence[Path]) -> ChosenRoots:
    """Return the roots that become projects.

    Raises:
        ConfigurationError: `no-terraform-program`, `no-terraform-root`, `several-terraform-roots`.
    """
    if named:
        roots = tuple(_checked(root.resolve()) for root in named)
        return ChosenRoots(roots, alone=set(find_roots(config.project)) <= set(roots[:1]))
    if config.terraform.found:
        return ChosenRoots((config.terraform.dir,), alone=True)
    roots, refused = without_production(
        find_roots(config.project), config.project, config.production_words
    )
    if refused:
        names = ", ".join(relative(root, config.project) for root in refused)
        ui.emit(Message(message=f"Left out, because the name means production: {names}."))
    if not roots:
        config.require_program()
    if len(roots) == 1:
        return ChosenRoots(roots, alone=True)
    return ChosenRoots(_asked(roots, config, ui), alone=False)


def _checked(root: Path) -> Path:
    if is_program(root) or configuration_files(root) or configuration_files(root, opentofu=True):
        return root
    raise ConfigurationError(
        "no-terraform-root",
        f"No Terraform configuration in {root}: there are no *.tf files and no cdktf.json.",
        hint="Name the folder in which `terraform` or `cdktf` runs.",
    )


def _asked(roots: Sequence[Path], config: Config, ui: Ui) -> tuple[Path, ...]:
    names = [relative(root, config.project) for root in roots]
    problem = ConfigurationError(
        "several-terraform-roots",
        f"There are {len(roots)} Terraform roots: {', '.join(names)}.",
        hint=f"Name those that become live: `terralive init --root {names[0]}`. The option may be "
        "given several times.",
    )
    if config.yes or not ui.interactive:
        raise problem
    ui.emit(Message(message="Terraform roots with functions:"))
    for number, name in enumerate(names, 1):
        ui.emit(Message(message=f"  {number}  {name}"))
    answer = ui.answer("Which of them become live? Numbers, or all:")
    if answer.lower() == _ALL:
        return tuple(roots)
    chosen = numbers_in(answer, len(roots))
    if not chosen:
        raise problem
    return tuple(roots[index] for index in chosen)
