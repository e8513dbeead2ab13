"""`terralive doctor`: check this machine, the AWS account and the project."""

from __future__ import annotations

from pathlib import Path

from terralive_cli.configuration.values import Config
from terralive_cli.doctor.checks import checks_of
from terralive_cli.doctor.examination import examine
from terralive_cli.output import failures
from terralive_cli.output.ui import Ui
from terralive_stub.errors import ConfigurationError


def run(
    config: Config,
    ui: Ui,
    *,
    fix: bool = False,
    self_test: bool = False,
    quick: bool = False,
    report: Path | None = None,
    with_names: bool = False,
) -> int:
    """Make all checks, and show the result of each. The AWS account stays as it is.

    A self-test is made instead, if that is wanted.

    Args:
        config: the configuration.
        ui: shows events.
        fix: remove what killed runs have left on this machine.
        self_test: deploy and measure an app of the self-test's own, and remove it.
        quick: leave out what takes minutes.
        report: file of the self-test's report; None for one in the current folder.
        with_names: leave account ids and names in the report.

    Raises:
        ConfigurationError: `self-test-options`; also what a self-test raises.
    """
    if self_test:
        # The other checks need none of it.
        from terralive_cli.doctor.self_test.self_test import (  # noqa: PLC0415
            Wishes,
            run_self_test,
        )

        return run_self_test(config, ui, Wishes(quick, report, with_names))
    if quick or report is not None or with_names:
        raise ConfigurationError(
            "self-test-options",
            "--quick, --report and --with-names are about the self-test.",
            hint="Add --self-test.",
        )
    done = examine(checks_of(config, ui, fix=fix), ui.emit)
    ui.emit(done)
    if done.failed:
        return failures.FAILED
    return 0
