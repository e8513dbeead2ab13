"""The decision about one variable of a live function. Pure.

Whoever may set a function's environment variables in AWS must not be able to run a program on a
developer's machine by it. So variables that an interpreter, a shell, a library or a common tool
reads are not taken over, unless they are known to be harmless.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_workers.variables import names, options, paths

# The C library reads a file where a time zone or a locale is a path.
_TIME_ZONE: Final = re.compile(r":?(?![:/])(?!.*\.\.)[\w/+,.:<>-]+")
_ZONE_FOLDER: Final = re.compile(r"^:?/usr/share/zoneinfo/")
_LOCALE: Final = re.compile(r"(?!.*\.\.)[\w.,@:-]*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about one variable.

    Attributes:
        value: the variable's value in the worker; None where it is not taken over.
        left_out: true if the variable, or a part of it, is left out and the user should know.
        names_lambda_folder: true if its value names a folder that exists in Lambda only.
    """

    value: str | None
    left_out: bool = False
    names_lambda_folder: bool = False


_OF_LAMBDA: Final = Verdict(None)
_LEFT_OUT: Final = Verdict(None, left_out=True)


def judge(name: str, value: str, code: Path) -> Verdict:
    """Decide about one variable.

    Args:
        name: its name.
        value: its value in Lambda.
        code: the folder of the function's code on this machine.
    """
    if names.is_of_lambda(name) or value in names.DEFAULTS.get(name, ()):
        return _OF_LAMBDA
    if not names.is_name(name) or value.startswith("() {"):  # a function of a shell
        return _LEFT_OUT
    if name.upper() in names.OF_THIS_NETWORK:
        return _LEFT_OUT
    special = _judge_special(name, value, code)
    if special is not None:
        return special
    if names.is_read_by_programs(name) and not names.is_harmless(name, value):
        return _LEFT_OUT
    return Verdict(value, names_lambda_folder=paths.names_lambda_folder(value))


def _judge_time_zone(value: str) -> Verdict:
    """Decide about TZ. A path of the zones' own folder becomes the zone's name.

    https://man7.org/linux/man-pages/man3/tzset.3.html
    """
    if not value:  # UTC, which it is without a value, too
        return _OF_LAMBDA
    return _if_matches(_TIME_ZONE, _ZONE_FOLDER.sub("", value))


def _judge_special(name: str, value: str, code: Path) -> Verdict | None:
    """Decide about a variable whose value has a known form; None for every other one."""
    if name == "TZ":
        return _judge_time_zone(value)
    if names.is_locale(name):
        return _if_matches(_LOCALE, value)
    if name in names.SEARCH_PATHS:
        search_path, left_out = paths.search_path_in_code(value, code)
        return Verdict(search_path or None, left_out=left_out)
    if name in names.DATA_PATHS:
        in_code = paths.path_in_code(value, code)
        return Verdict(in_code, left_out=in_code is None)
    if options.holds_options(name):
        harmless = options.harmless_options(name, value)
        return Verdict(harmless or None, left_out=harmless.split() != value.split())
    return None


def _if_matches(pattern: re.Pattern[str], value: str) -> Verdict:
    if pattern.fullmatch(value):
        return Verdict(value)
    return _LEFT_OUT
