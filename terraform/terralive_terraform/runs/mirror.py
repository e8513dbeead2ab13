"""The environment Terraform runs in, and provider plugins where its registry cannot be reached.

With a reachable registry, or a Terraform CLI configuration that says where providers come from,
nothing is added.
Otherwise plugins come from a filesystem mirror: the one `TERRALIVE_PROVIDER_MIRROR` names, or one
that is found in Terraform's implied mirror folders or by a bounded look over the file system. How
Terraform treats one:
https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_terraform.artifacts import write_atomically
from terralive_terraform.documents import parse_object, read_object, text

REGISTRY: Final = "registry.terraform.io"
_PROVIDER: Final = Path("hashicorp") / "aws"
_DISCOVERY: Final = f"https://{REGISTRY}/.well-known/terraform.json"
_PROBE_S: Final = 3.0
_REMEMBER_S: Final = 3600.0
_CACHE: Final = "provider-source.json"
_DEPTH: Final = 5
_FOLDERS: Final = 20_000
_LOOK_S: Final = 3.0
_SKIPPED: Final = frozenset(
    {"proc", "sys", "dev", "run", "node_modules", ".git", "__pycache__", "site-packages", "tmp"}
)
_ROOTS: Final = ("/opt", "/usr/local", "/usr/share", "/srv", "/mnt", "/var/lib", "/")


def terraform_environment(
    environ: Mapping[str, str],
    work: Path,
    *,
    registry_answers: Callable[[], bool] | None = None,
    roots: Sequence[Path] | None = None,
) -> dict[str, str]:
    """Give the environment for terralive's Terraform runs.

    Args:
        environ: the environment to start from.
        work: a folder for the CLI configuration that is written where it is needed, and for what
            was found out.
        registry_answers: asks the registry; for tests.
        roots: where to look for a mirror, instead of the usual places; for tests.

    Raises:
        ConfigurationError: `TERRALIVE_PROVIDER_MIRROR` names no mirror.
    """
    result = {**environ, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    users_file = _users_configuration(environ)
    if users_file is None:
        result.pop(
            "TF_CLI_CONFIG_FILE", None
        )  # names a file that is not there: Terraform would warn at every run
    users_text = users_file.read_text("utf-8", "replace") if users_file else ""
    named = environ.get("TERRALIVE_PROVIDER_MIRROR")
    if named:
        mirror: Path | None = _named_mirror(Path(named))
    elif "provider_installation" in users_text:
        return result
    else:
        mirror = _remembered_mirror(environ, work, registry_answers or registry_reachable, roots)
    if mirror is None:
        if "plugin_cache_dir" not in users_text and "TF_PLUGIN_CACHE_DIR" not in environ:
            cache = work.resolve() / "plugin-cache"
            cache.mkdir(parents=True, exist_ok=True)
            result["TF_PLUGIN_CACHE_DIR"] = str(cache)
        return result
    target = work.resolve() / "terraform.tfrc"
    write_atomically(target, f"{users_text}\n{provider_installation(mirror)}".encode())
    target.chmod(0o600)  # a user's configuration may hold tokens
    result["TF_CLI_CONFIG_FILE"] = str(target)
    return result


def provider_installation(mirror: Path) -> str:
    """Write the block that takes the registry's providers from a mirror, and only those."""
    path = str(mirror).replace("\\", "\\\\").replace('"', '\\"')
    pattern = f'["{REGISTRY}/*/*"]'
    return (
        "provider_installation {\n"
        f'  filesystem_mirror {{\n    path    = "{path}"\n    include = {pattern}\n  }}\n'
        f"  direct {{\n    exclude = {pattern}\n  }}\n"
        "}\n"
    )


def registry_reachable() -> bool:
    """Ask Terraform's registry for its services.

    Any answer of its own counts, no answer in 3 s does not.
    """
    try:
        with urllib.request.urlopen(
            _DISCOVERY, timeout=_PROBE_S
        ) as response:  # a constant https address
            return "providers.v1" in parse_object(response.read())
    except (urllib.error.URLError, OSError, ValueError):
        return False


def holds_provider(mirror: Path) -> bool:
    """Tell whether a folder is a filesystem mirror, packed or unpacked, with the AWS provider in it."""
    folder = mirror / REGISTRY / _PROVIDER
    unpacked = folder.glob("*/*_*/terraform-provider-aws_*")
    return any(True for _ in unpacked) or any(
        True for _ in folder.glob("terraform-provider-aws_*.zip")
    )


def find_mirror(environ: Mapping[str, str], roots: Sequence[Path] | None = None) -> Path | None:
    """Look for a mirror.

    Terraform's implied folders first, then the file system, bounded in depth, number and time.
    """
    home = Path(environ.get("HOME", "/nonexistent"))
    if roots is None:
        data = [
            Path(item)
            for item in environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":")
            if item
        ]
        data_home = Path(environ.get("XDG_DATA_HOME", home / ".local" / "share"))
        implied = [
            home / ".terraform.d" / "plugins",
            *(item / "terraform" / "plugins" for item in (data_home, *data)),
        ]
        found = next((folder for folder in implied if holds_provider(folder)), None)
        if found:
            return found
        roots = [home, *(Path(root) for root in _ROOTS)]
    ends = time.monotonic() + _LOOK_S
    for number, folder in enumerate(_breadth_first(roots)):
        if number > _FOLDERS or time.monotonic() > ends:
            return None
        if folder.name == REGISTRY and holds_provider(folder.parent):
            return folder.parent
    return None


def _breadth_first(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        level = [root]
        for _ in range(_DEPTH):
            below: list[Path] = []
            for folder in level:
                for child in _folders(folder):
                    yield child
                    below.append(child)
            level = below


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if entry.name not in _SKIPPED and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []


def _named_mirror(mirror: Path) -> Path:
    if not holds_provider(mirror):
        raise ConfigurationError(
            "provider-mirror",
            f"TERRALIVE_PROVIDER_MIRROR names {mirror}, which holds no {REGISTRY}/{_PROVIDER}.",
            hint="`terraform providers mirror <folder>` on a machine with a network makes one.",
        )
    return mirror.resolve()


def _remembered_mirror(
    environ: Mapping[str, str],
    work: Path,
    registry_answers: Callable[[], bool],
    roots: Sequence[Path] | None,
) -> Path | None:
    """Find out at most once an hour."""
    cache = work / _CACHE
    try:
        fresh = time.time() - cache.stat().st_mtime < _REMEMBER_S
    except OSError:
        fresh = False
    if fresh:
        known = text(read_object(cache), "mirror")
        if not known or holds_provider(Path(known)):
            return Path(known) if known else None
    mirror = None if registry_answers() else find_mirror(environ, roots)
    write_atomically(cache, json.dumps({"mirror": str(mirror or "")}).encode())
    return mirror


def _users_configuration(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("TF_CLI_CONFIG_FILE") or environ.get("TERRAFORM_CONFIG")
    path = Path(named) if named else Path(environ.get("HOME", "/nonexistent")) / ".terraformrc"
    return path if path.is_file() else None
