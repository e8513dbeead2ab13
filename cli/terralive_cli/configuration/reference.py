"""Makes docs/CONFIGURATION.md: the table of all settings, inside the text of `reference.md`.

`make docs` writes the page, and a test holds the page and the declarations together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from terralive_cli.configuration.settings import Setting, all_settings
from terralive_cli.configuration.values import READ_ELSEWHERE, Config

SETTINGS: Final = (*all_settings(Config), *READ_ELSEWHERE)

_PAGE: Final = Path(__file__).with_name("reference.md")
_TABLE_GOES_HERE: Final = "<!-- settings -->\n"
_COLUMNS: Final = """\
| key in `terralive.toml` | flag | environment | default | meaning |
|---|---|---|---|---|
"""


def document() -> str:
    """Return the text of docs/CONFIGURATION.md."""
    rows = [_row(setting) for setting in SETTINGS]
    return _PAGE.read_text("utf-8").replace(_TABLE_GOES_HERE, _COLUMNS + "".join(rows))


def default_of(setting: Setting) -> str:
    """Return the default of a setting as the page shows it."""
    if setting.shown_default:
        return setting.shown_default
    value = setting.default
    if value is None:
        return "none"
    if isinstance(value, Enum | str):
        return _code(str(value))
    if isinstance(value, Mapping):
        return _code(json.dumps(dict(value)))
    return _code(json.dumps(value))


def _row(setting: Setting) -> str:
    cells = (
        _code(setting.key),
        _code(f"{setting.flag} {setting.metavar}".strip()),
        _code(setting.env),
        default_of(setting),
        setting.meaning,
    )
    return f"| {' | '.join(cells)} |\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(document())
