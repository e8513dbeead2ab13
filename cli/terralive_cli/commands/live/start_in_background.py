"""`terralive start --detach` and `--until-ready`: the command in the foreground.

The process in the background runs the same command line, with the body in `start`. This one only
waits for it, and imports neither Terraform nor an AWS SDK.
"""

from __future__ import annotations

import os

from terralive_cli.configuration.values import Config
from terralive_cli.output.ui import Ui
from terralive_cli.sessions.background import start_in_background, this_command
from terralive_cli.sessions.folders import running
from terralive_cli.sessions.others import wait_until_live


def run(
    config: Config, ui: Ui, *, until_ready: bool = False, takeover: bool = False, **_: object
) -> int:
    """Start a session in the background, and wait until it is live.

    Args:
        config: the configuration.
        ui: shows the events of a session that runs already.
        until_ready: whether such a session serves as well.
        takeover: whether another one takes its place.

    Raises:
        TerraliveError: a session that runs already has ended before it was live.
    """
    if until_ready and not takeover:
        found = running(config.project, config.stage, is_sandbox=config.sandbox)
        if found is not None:
            wait_until_live(found, ui)
            return 0
    return start_in_background(this_command(), os.environ)
