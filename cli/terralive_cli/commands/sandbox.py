"""`terralive sandbox`: AWS in one local process for this project, in the foreground."""

from __future__ import annotations

import shlex
import shutil
import socket
import time
from typing import Final

import click

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import FOLDER, sandbox_file, start_sandbox
from terralive_cli.output import failures
from terralive_cli.output.events import Message, Ready, SandboxAccess, Stopped
from terralive_cli.output.ui import Ui
from terralive_sandbox.about import banner
from terralive_sandbox.info import attach, environment, local_url
from terralive_stub.errors import ConfigurationError, TerraliveError

_LOOK_SECONDS: Final = 1.0


# What a developer's shell may have set, and what would take an SDK elsewhere than to the sandbox.
_ELSEWHERE: Final = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def run(config: Config, ui: Ui, *, env: bool = False, url: str = "", port: int = 0) -> int:
    """Run a sandbox until Ctrl-C, or say of the one that runs what points an SDK at it (`env`) or answers for a URL."""
    running = attach(sandbox_file(config.project))
    if env or url:
        if running is None:
            raise ConfigurationError(
                "no-sandbox",
                f"No sandbox runs for the project in {config.project}.",
                hint="Start one in another terminal: `terralive sandbox`.",
            )
        if url:
            click.echo(local_url(running, url))
            return 0
        click.echo(f"unset {' '.join(_ELSEWHERE)}")
        for name, value in environment(running).items():
            click.echo(f"export {name}={shlex.quote(value)}")
        return 0
    if running is not None:
        raise ConfigurationError(
            "sandbox-running",
            f"A sandbox of this project runs already: {running.endpoint} (process {running.pid}).",
            hint="Use that one, or end it first (Ctrl-C in its terminal).",
        )
    _require_free(port)
    process = start_sandbox(config, port=port)
    try:
        info = process.info
        access = SandboxAccess(
            info.endpoint, info.region, info.access_key_id, info.secret_access_key
        )
        ui.emit(Message(message=banner()))
        ui.emit(
            Message(
                message=f"What it refuses, and why, stands in {config.project / FOLDER / 'sandbox.log'}."
            )
        )
        ui.emit(
            Message(
                message='In another terminal: `eval "$(terralive sandbox --env)"` points SDKs and Terraform here.'
            )
        )
        ui.emit(Ready(stage=config.stage, functions=(), sandbox=access))
        while process.is_running():
            time.sleep(_LOOK_SECONDS)
        raise TerraliveError(
            "sandbox-ended",
            "The sandbox has ended by itself.",
            hint=f"Its log is {config.project / FOLDER / 'sandbox.log'}.",
        )
    except KeyboardInterrupt:
        return failures.INTERRUPTED
    finally:
        process.stop()
        shutil.rmtree(config.project / FOLDER / "sandbox", ignore_errors=True)
        ui.emit(
            Stopped(
                stage=config.stage, live=False, message="The sandbox and everything in it is gone."
            )
        )


def _require_free(port: int) -> None:
    """Raise where somebody else listens: said before a process is started that could only fail."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ConfigurationError(
            "port-in-use",
            f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}.",
            hint="Leave `--port` out for a free one, or name another.",
        ) from None
