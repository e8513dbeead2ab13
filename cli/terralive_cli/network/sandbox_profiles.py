"""AWS profiles of provider blocks, in the sandbox.

A provider with `profile = "…"` takes its credentials from that profile alone, whatever the
environment says: https://registry.terraform.io/providers/hashicorp/aws/latest/docs. In the sandbox,
every such profile has the keys of the sandbox, in a file of terralive's. The user's own files are
not read, so no profile of an AWS account is used by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from terralive_cli.output.events import Message
from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.atomic_files import write_atomically
from terralive_terraform.discovery.providers import AwsProvider

_FILE: Final = "profiles"


def profiles_of(providers: Iterable[AwsProvider]) -> tuple[str, ...]:
    """Return the names of the profiles that providers name, as far as they are known."""
    return tuple(sorted({provider.profile for provider in providers if provider.profile}))


def profiles_environment(
    profiles: Iterable[str], sandbox: SandboxInfo, folder: Path
) -> dict[str, str]:
    """Write the profiles to a file, and return the variables that name it; {} without profiles.

    Args:
        profiles: the names of the profiles.
        sandbox: the running sandbox.
        folder: the stage's own folder.
    """
    sections = [
        f"[{profile}]\naws_access_key_id = {sandbox.access_key_id}\n"
        f"aws_secret_access_key = {sandbox.secret_access_key}\n"
        for profile in profiles
    ]
    if not sections:
        return {}
    file = folder / _FILE
    write_atomically(file, "\n".join(sections).encode())
    # A profile of the configuration file would add to the one of the credentials file.
    empty = folder / f"{_FILE}-empty"
    write_atomically(empty, b"")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_CONFIG_FILE": str(empty)}


def profiles_note(profiles: Iterable[str]) -> Message:
    """Return what the user is told of profiles that the sandbox replaces."""
    names = ", ".join(profiles)
    return Message(
        message=f"The sandbox's keys stand for the AWS profiles of the configuration: {names}."
    )
