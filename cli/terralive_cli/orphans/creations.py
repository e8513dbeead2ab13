"""Resources that a plan creates, or would create: those that exist are named before an apply."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.target import Stage
from terralive_cli.orphans.look import Found
from terralive_cli.orphans.search import Search, is_left
from terralive_cli.orphans.texts import exists, explain, left
from terralive_cli.output.interrupts import options_of
from terralive_terraform.output.failures import ResourceExistsError
from terralive_terraform.output.new_resources import NewResource, new_resources
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.substitution.marker import StageName


@dataclass(frozen=True, slots=True)
class Creations:
    """The resources that a plan creates and that can be looked for.

    Attributes:
        stage: the stage.
        search: looks for them on AWS.
        resources: the resources.
    """

    stage: Stage
    search: Search
    resources: tuple[NewResource, ...]

    @classmethod
    def of(cls, stage: Stage, accounts: Accounts, directory: Path, plan: ShownPlan) -> Self:
        """Return the resources that a plan of an app creates.

        Args:
            stage: the stage.
            accounts: opens sessions in the accounts of the app.
            directory: the folder of the app's configuration.
            plan: the plan.
        """
        search = Search.of(stage, accounts, directory)
        return cls(stage, search, tuple(new_resources(plan)))

    def require_none(self, unfinished_since: float) -> None:
        """Check that nothing of it exists, before a deployment that goes on with another one.

        Args:
            unfinished_since: the time when that other deployment began.

        Raises:
            ConfigurationError: `resources-exist`.
        """
        found = self.search.find(self.resources, self._on_aws(unfinished_since))
        if found:
            raise exists(found, is_program=self._is_program)

    def require_none_left(self, unfinished_since: float) -> tuple[Found, ...]:
        """Check that a deployment has left nothing, before the app is restored or removed.

        Args:
            unfinished_since: the time when that deployment began.

        Returns:
            Resources that exist, and of which nobody knows who has created them.

        Raises:
            ConfigurationError: `resources-exist`.
        """
        own = StageName(self.stage.config.app, self.stage.config.stage)
        since = self._on_aws(unfinished_since)
        found = self.search.find(self.resources, since)
        certain = [item for item in found if is_left(item, own, since)]
        if certain:
            others = [item for item in found if item not in certain]
            options = options_of(self.stage.config)
            raise left(certain, others, options, is_program=self._is_program)
        return found

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Name what exists, with its `import` blocks, where an apply fails because of it."""
        try:
            yield
        except ResourceExistsError as error:
            named = {item.address for item in error.diagnostics}
            wanted = [resource for resource in self.resources if resource.address in named]
            explain(error, self.search.find(wanted), is_program=self._is_program)
            raise

    def _on_aws(self, time: float) -> float:
        """Return a time of this machine's clock by AWS's clock."""
        return time + self.stage.target.caller.clock_offset_s

    @property
    def _is_program(self) -> bool:
        return bool(self.stage.config.terraform.app)
