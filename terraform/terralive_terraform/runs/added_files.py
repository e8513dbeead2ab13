"""Files that terralive adds to a configuration while Terraform reads it.

Terraform reads the files of a configuration once, at the beginning of a run, and a saved plan holds
all of them. So files that are added have to be there for a moment only: an apply of a saved plan
does not read them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PlanView:
    """The configuration as a plan sees it.

    Attributes:
        data_dir: the TF_DATA_DIR of the plan.
        originals: the folder of a module that terralive has copied -> the folder of the team's, as
            Terraform names them.
    """

    data_dir: Path
    originals: Mapping[str, str] = field(default_factory=dict)

    def original(self, place: str) -> str:
        """Return the team's file for a file of a copy; `place` is `file` or `file:line`."""
        for copy, original in self.originals.items():
            if place.startswith(f"{copy}/"):
                return original + place.removeprefix(copy)
        return place


class AddedFiles(Protocol):
    """Files that are there while a context lasts, one for each command of Terraform."""

    def are_possible(self, data_dir: Path) -> bool:
        """Tell whether the last `terraform init` has done what `during_plan` needs."""

    def during_init(self) -> AbstractContextManager[tuple[int, ...]]:
        """Add the files that `terraform init` needs.

        The context gives the descriptors of locks that Terraform has to inherit.
        """

    def during_plan(self, data_dir: Path) -> AbstractContextManager[PlanView]:
        """Add the files that `terraform plan` needs.

        Args:
            data_dir: the TF_DATA_DIR that `terraform init` has written.
        """

    def variables(self, data_dir: Path) -> Mapping[str, str]:
        """Return environment variables for everything that comes after an init."""


class NoFiles:
    """`AddedFiles` of a configuration that is complete."""

    def are_possible(self, data_dir: Path) -> bool:
        """Return True: nothing is needed."""
        del data_dir
        return True

    def during_init(self) -> AbstractContextManager[tuple[int, ...]]:
        """Add nothing."""
        return nullcontext(())

    def during_plan(self, data_dir: Path) -> AbstractContextManager[PlanView]:
        """Add nothing."""
        return nullcontext(PlanView(data_dir))

    def variables(self, data_dir: Path) -> Mapping[str, str]:
        """Return none."""
        del data_dir
        return {}
