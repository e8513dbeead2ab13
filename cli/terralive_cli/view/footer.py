"""The rows of the footer. Pure.

The most important count comes first. Rows are short, because a terminal that becomes narrower may
wrap a long one, or cut it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from terralive_cli.output.formats.line import Span, Style
from terralive_cli.output.formats.words import duration, shortened
from terralive_cli.view.pressing import Shown
from terralive_cli.view.tally import Counts

_MILLISECONDS: Final = 1000.0
_GAP: Final = "  "
_LONGEST_NAME: Final = 30
# Rows of the terminal that stay for the stream. A lower one shows the first row only, and a still
# lower or narrower one shows none.
_ROWS_ABOVE: Final = 6
_LOWEST: Final = 4
_NARROWEST: Final = 20
_KEYS: Final = (
    ("r", "restart"),
    ("a", "apply"),
    ("f", "filter"),
    ("c", "clear"),
    ("q", "leave"),
    ("?", "keys"),
)
_LISTED_KEYS: Final = (
    ("r", "restart the workers: the next invocation of a function runs in a new one"),
    ("a", "plan the configuration as it is now; apply it after a question"),
    ("f", "show only events with a function's name or a text; Esc ends it"),
    ("c", "clear the screen"),
    ("q", "leave, as Ctrl-C does"),
    ("?", "show or hide this list"),
)

_PROMPT: Final = "Filter by function or text (Enter keeps it, Esc ends it): "
_SHORT_PROMPT: Final = "Filter: "
_WIDTH_OF_PROMPT: Final = 78

# One row, as its pieces.
Row: TypeAlias = tuple[Span, ...]


def footer(
    counts: Counts,
    shown: Shown,
    *,
    width: int,
    height: int,
    has_keys: bool = True,
    doing: str = "",
) -> list[Row]:
    """Return the rows of the footer; none in a terminal that is too small.

    Args:
        counts: the counts.
        shown: the part of the view that keys change.
        width: width of the terminal in cells. Rows are narrower, but for single words that are not.
        height: height of the terminal in rows.
        has_keys: whether the user can press keys.
        doing: what the session does beside serving; "" for nothing.
    """
    if height < _LOWEST or width < _NARROWEST:
        return []
    pieces = _pieces(counts)
    if shown.is_typing:
        return [*_filled(pieces, width)[:1], _typed_filter(shown.filter, width)]
    if shown.filter:
        pieces.append((Span(f"filter: {shown.filter}", Style.CAUTION),))
    rows = _filled(pieces, width)
    if doing:
        rows.append((Span(doing, Style.CAUTION),))
    if has_keys and shown.lists_keys:
        rows += [_listed_key(key, meaning) for key, meaning in _LISTED_KEYS]
    elif has_keys:
        rows += _filled([_key(key, word) for key, word in _KEYS], width)
    if len(rows) > height - _ROWS_ABOVE:
        return rows[:1]
    return rows


def _pieces(counts: Counts) -> list[Row]:
    """Return the connection and the counts. A count of 0 is left out, if it mostly is 0."""
    pieces: list[Row] = [
        (_connection(counts),),
        (Span(f"{counts.running} running"),),
    ]
    if counts.waiting:
        pieces.append((Span(f"{counts.waiting} waiting", Style.CAUTION),))
    pieces.append((Span(f"{counts.answered} answered"),))
    if counts.failed:
        pieces.append((Span(f"{counts.failed} failed", Style.BAD),))
    if counts.by_fallback:
        pieces.append((Span(f"{counts.by_fallback} by the deployed code", Style.CAUTION),))
    slowest = counts.slowest
    if slowest is not None:
        name = shortened(slowest.function, _LONGEST_NAME)
        took = duration(slowest.handler_ms / _MILLISECONDS)
        pieces.append((Span(f"slowest {took} "), Span(name, Style.NAME)))
    return pieces


def _typed_filter(text: str, width: int) -> Row:
    """Return the row in which a filter is typed. The cursor stands behind it."""
    prompt = _PROMPT
    if width < _WIDTH_OF_PROMPT:
        prompt = _SHORT_PROMPT
    room = max(1, width - len(prompt) - 1)
    return (Span(prompt, Style.FAINT), Span(text[-room:], Style.STRONG))


def _connection(counts: Counts) -> Span:
    if counts.is_connected:
        return Span("Connected", Style.GOOD)
    if counts.lost_at is None:
        return Span("Connecting", Style.CAUTION)
    since = f"lost since {_clock(counts.lost_at)}"
    if counts.is_retrying:
        return Span(f"Reconnecting, {since}", Style.CAUTION)
    return Span(since.capitalize(), Style.BAD)


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%H:%M:%S}"


def _key(key: str, word: str) -> Row:
    return (Span(key, Style.STRONG), Span(f" {word}", Style.FAINT))


def _listed_key(key: str, meaning: str) -> Row:
    return (Span(f"{key}  ", Style.STRONG), Span(meaning))


def _filled(pieces: Sequence[Row], width: int) -> list[Row]:
    """Return rows with as many pieces as have room, and a gap between two of them."""
    rows: list[Row] = []
    row: Row = ()
    for piece in pieces:
        longer = piece
        if row:
            longer = (*row, Span(_GAP), *piece)
        # One column less: some terminals wrap when the last column is used.
        if row and _length(longer) >= width:
            rows.append(row)
            longer = piece
        row = longer
    if row:
        rows.append(row)
    return rows


def _length(row: Row) -> int:
    return sum(len(span.text) for span in row)
