"""Content of dependency lock files. Pure.

https://developer.hashicorp.com/terraform/language/files/dependency-lock
"""

from __future__ import annotations

import re
from typing import Final

_PROVIDER: Final = re.compile(r'^provider\s+"([^"]+)"\s*\{[^}]*\}[^\S\n]*\n?', re.MULTILINE)
_VERSION: Final = re.compile(r'\bversion\s*=\s*"([^"]+)"')


def selected_versions(content: str) -> dict[str, str]:
    """Return the versions that a lock file selects, by the address of the provider."""
    found: dict[str, str] = {}
    for address, block in _blocks(content).items():
        version = _VERSION.search(block)
        if version is not None:
            found[address] = version[1]
    return found


def with_teams_versions(stages: str, teams: str) -> str:
    """Return a stage's lock file with the versions that the team's selects.

    A provider of the same version keeps its block: the stage's has more checksums, those of this
    machine's platform. Providers that the team's file lacks stay, too.

    Args:
        stages: the content of the stage's file; "" for none.
        teams: the content of the team's file; "" for none.
    """
    result = stages
    own = _blocks(stages)
    versions, wanted = selected_versions(stages), selected_versions(teams)
    for address, block in _blocks(teams).items():
        if address not in own:
            result += f"\n{block}"
        elif versions.get(address) != wanted.get(address):
            result = result.replace(own[address], block)
    return result


def _blocks(content: str) -> dict[str, str]:
    return {match[1]: match[0] for match in _PROVIDER.finditer(content)}
