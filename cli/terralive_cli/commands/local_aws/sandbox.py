"""`terralive sandbox`: AWS in one local process for this project, in the foreground."""

from __future__ import annotations

import shlex
import shutil
import socket
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from terralive_cli.configuration.values import Config, Output
from terralive_cli.deploy.target import FOLDER, sandbox_file, start_sandbox
from terralive_cli.output import failures
from terralive_cli.output.events import Message, Ready, SandboxAccess, Stopped
from terralive_cli.output.ui import Ui
from terralive_sandbox.about import banner
from terralive_sandbox.info import SandboxInfo, attach, environment, local_url
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_stub.shared.atomic_files import write_atomically

_LOOK_SECONDS: Final = 1.0
# The file with the id of a sandbox that is to begin anew; the command that runs it removes it.
_RESET: Final = "sandbox.reset"
_TAKEN_SECONDS: Final = 15.0
_NEW_SECONDS: Final = 90.0
_EMPTY: Final = (
    "The sandbox is empty, and has the same address and new keys. In terminals that use it, run "
    '`eval "$(terralive sandbox --env)"` again. A Terraform state that you keep yourself still '
    "names what is gone: delete it."
)
# Variables of a developer's shell that would point an SDK away from the sandbox.
_MISLEADING: Final = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def run(
    config: Config,
    ui: Ui,
    *,
    env: bool = False,
    url: str = "",
    port: int = 0,
    reset: bool = False,
) -> int:
    """Run a sandbox until Ctrl-C, or print what a running one answers, or empty it.

    Args:
        config: the configuration.
        ui: shows events.
        env: print the exports that point an SDK to the running sandbox.
        url: print the address in the running sandbox for this address of AWS.
        port: port of a new sandbox; 0 for a free one.
        reset: let the running sandbox begin anew.
    """
    running = attach(sandbox_file(config.project))
    if env or url or reset:
        if running is None:
            raise ConfigurationError(
                "no-sandbox",
                f"No sandbox runs for the project in {config.project}.",
                hint="Start one in another terminal: `terralive sandbox`.",
            )
        if reset:
            _reset(config, ui, running)
            return 0
        _show_access(config, ui, running, url)
        return 0
    if running is not None:
        raise ConfigurationError(
            "sandbox-running",
            f"A sandbox of this project runs already: {running.endpoint} (process {running.pid}).",
            hint="Use that one, or stop it first (Ctrl-C in its terminal).",
        )
    _require_free(port)
    return _run_until_interrupted(config, ui, port)


def _show_access(config: Config, ui: Ui, running: SandboxInfo, url: str) -> None:
    """Print what a shell takes, or the event `ready` as JSON."""
    if config.output is Output.JSON:
        urls = {}
        if url:
            urls[url] = local_url(running, url)
        access = SandboxAccess.of(running)
        ui.emit(Ready(stage=config.stage, functions=(), urls=urls, sandbox=access))
        return
    if url:
        click.echo(local_url(running, url))
        return
    click.echo(f"unset {' '.join(_MISLEADING)}")
    for name, value in environment(running).items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _reset(config: Config, ui: Ui, running: SandboxInfo) -> None:
    """Ask the command that runs the sandbox for a new one, and wait for it.

    Raises:
        TerraliveError: `sandbox-not-reset`.
    """
    asked = config.project / FOLDER / _RESET
    write_atomically(asked, running.id.encode())
    deadline = time.monotonic() + _TAKEN_SECONDS
    while asked.exists() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    if asked.exists():
        asked.unlink(missing_ok=True)
        raise TerraliveError(
            "sandbox-not-reset",
            f"The sandbox at {running.endpoint} was not started by `terralive sandbox`.",
            hint="It belongs to another command, like `terralive start --sandbox`: end that one.",
        )
    deadline = time.monotonic() + _NEW_SECONDS
    while time.monotonic() < deadline:
        found = attach(sandbox_file(config.project))
        if found is not None and found.id != running.id:
            ui.emit(Message(message=_EMPTY))
            return
        time.sleep(_LOOK_SECONDS)
    raise TerraliveError(
        "sandbox-not-reset",
        "The sandbox has ended, and no new one has started.",
        hint="Look at the terminal of `terralive sandbox`.",
    )


def _run_until_interrupted(config: Config, ui: Ui, port: int) -> int:
    folder = config.project / FOLDER
    log_file = folder / "sandbox.log"
    process = start_sandbox(config, port=port)
    try:
        info = process.info
        ui.emit(
            Message(message=banner()),
            Message(message=f"The sandbox writes denied requests, with the reason, to {log_file}."),
            Message(message="To use it with SDKs and Terraform, run this in another terminal:"),
            Message(message='  eval "$(terralive sandbox --env)"'),
        )
        ui.emit(Ready(stage=config.stage, functions=(), sandbox=SandboxAccess.of(info)))
        # The sandbox is another process: this one only waits for it and for Ctrl-C.
        while process.is_running():
            time.sleep(_LOOK_SECONDS)
            if _takes_reset(folder, process.info.id):
                process.stop()
                shutil.rmtree(folder / "sandbox", ignore_errors=True)
                process = start_sandbox(config, port=urlsplit(info.endpoint).port or 0)
                access = SandboxAccess.of(process.info)
                ui.emit(
                    Message(message=_EMPTY),
                    Ready(stage=config.stage, functions=(), sandbox=access),
                )
        raise TerraliveError(
            "sandbox-ended",
            "The sandbox has ended by itself.",
            hint=f"Read its log: {log_file}.",
        )
    except KeyboardInterrupt:
        return failures.INTERRUPTED
    finally:
        process.stop()
        shutil.rmtree(folder / "sandbox", ignore_errors=True)
        ui.emit(
            Stopped(
                stage=config.stage,
                live=False,
                message="The sandbox has stopped, and everything in it is deleted.",
            )
        )


def _takes_reset(folder: Path, sandbox_id: str) -> bool:
    """Take a request to begin anew, and return whether it is about this run of the sandbox."""
    asked = folder / _RESET
    try:
        named = asked.read_text("utf-8")
    except OSError:
        return False
    asked.unlink(missing_ok=True)
    return named == sandbox_id


def _require_free(port: int) -> None:
    """Check the port before a process is started that could only fail.

    Raises:
        ConfigurationError: `port-in-use`.
    """
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ConfigurationError(
            "port-in-use",
            f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}.",
            hint="Name another port, or leave `--port` out to use a free one.",
        ) from None
