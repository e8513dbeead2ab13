"""`terralive doctor`: check this machine, the AWS account and the project."""

from __future__ import annotations

from terralive_cli.configuration.values import Config
from terralive_cli.doctor.checks import checks_of
from terralive_cli.doctor.examination import examine
from terralive_cli.output import failures
from terralive_cli.output.ui import Ui


def run(config: Config, ui: Ui, *, fix: bool = False) -> int:
    """Make all checks, and show the result of each. The AWS account stays as it is.

    Args:
        config: the configuration.
        ui: shows events.
        fix: remove what killed runs have left on this machine.
    """
    done = examine(checks_of(config, ui, fix=fix), ui.emit)
    ui.emit(done)
    if done.failed:
        return failures.FAILED
    return 0
