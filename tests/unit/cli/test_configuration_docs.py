from __future__ import annotations

from pathlib import Path

from terralive_cli.configuration import reference as settings
from terralive_cli.configuration.loading import load
from terralive_cli.main import cli
from terralive_stub.errors import ConfigurationError

ROOT = Path(__file__).parents[3]


def test_the_documented_settings_are_the_real_ones() -> None:
    assert (ROOT / "docs/CONFIGURATION.md").read_text("utf-8") == settings.document(), (
        "run `make docs`"
    )


def test_every_flag_of_the_command_line_is_documented() -> None:
    flags = {
        option for parameter in cli.params for option in parameter.opts if option.startswith("--")
    }
    of_commands = {
        option
        for one in cli.commands.values()
        for parameter in one.params
        for option in parameter.opts
    }
    documented = {item.flag.split()[0] for item in settings.SETTINGS if item.flag}

    assert flags - {"--version"} <= documented <= flags | of_commands


def test_every_key_that_is_read_is_documented(tmp_path: Path) -> None:
    sections = {
        "",
        "[terraform]\n",
        "[backend]\n",
        "[debug_stack]\n",
        "[stub_image]\n",
        "[functions.x]\n",
        "[accounts.123456789012]\n",
    }
    known: set[str] = set()
    for section in sections:
        (tmp_path / "terralive.toml").write_text(f"{section}zzz = 1\n")
        try:
            load(project=tmp_path, flags={}, environ={}, user="ana")
        except ConfigurationError as error:
            listed = error.message.partition("Known here: ")[2].partition(".")[0]
            prefix = {
                "": "",
                "[functions.x]\n": 'functions."NAME".',
                "[accounts.123456789012]\n": 'accounts."ID".',
            }.get(section, f"{section.strip()[1:-1]}.")
            known |= {f"{prefix}{key}" for key in listed.split(", ")}

    tables = {"terraform", "backend", "debug_stack", "stub_image", "functions"}
    assert known - tables == {item.key for item in settings.SETTINGS if item.key}
