"""Lines for the error of an invocation: the user's own frames first, all others counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Final

from terralive_cli.output.formats.line import Span, Style
from terralive_cli.output.formats.words import plural
from terralive_cli.output.stream.frames import Frame, path_in_library, read_trace
from terralive_relay.events import InvocationFinished

_RELATIONS: Final = {"cause": "caused by", "context": "while handling", "part": "one of them is"}
_SHOWN_FRAMES: Final = 6
_SHOWN_LINES: Final = 12
_SHOWN_LIBRARIES: Final = 3


def error_title(error_type: str, message: str) -> str:
    """Return the first line of an error: its type, and the first line of its message."""
    first, *_ = message.splitlines() or [""]
    if not error_type:
        return first or "Error"
    if not first:
        return error_type
    return f"{error_type}: {first}"


def error_lines(event: InvocationFinished, folder: str) -> Iterator[tuple[Span, ...]]:
    """Yield the lines below the first line of an error, and those of what led to it.

    Args:
        event: the end of the invocation.
        folder: the folder that paths are shown relative to.
    """
    # Errors of a chain often come from the same lines of code, which are shown once.
    shown: set[Frame] = set()
    yield from _details(event.error_message, event.stack, folder, shown)
    for cause in event.causes:
        title = error_title(cause.error_type, cause.error_message)
        words = _RELATIONS.get(cause.relation, cause.relation)
        yield (Span(f"{words} ", Style.FAINT), Span(title, Style.BAD))
        for spans in _details(cause.error_message, cause.stack, folder, shown):
            yield (Span("  "), *spans)


def _details(
    message: str, stack: Sequence[str], folder: str, shown: set[Frame]
) -> Iterator[tuple[Span, ...]]:
    """Yield the lines below the first line of one error.

    Args:
        message: its whole message.
        stack: its stack trace, as the runtime has written it.
        folder: the folder that paths are shown relative to.
        shown: the frames that were shown for other errors; those of this one are added.
    """
    _, *more = message.splitlines() or [""]
    yield from _folded_lines(more, Style.BAD)
    trace = read_trace(stack)
    # Node.js repeats type and message before the frames.
    others = [line for line in trace.others if not _is_repeated(line, message)]
    yield from _folded_lines(others, Style.FAINT)
    frames = [frame for frame in trace.frames if frame not in shown]
    # For the errors of a chain, the frames of the first one are enough.
    yield from _frame_lines(frames, folder, needs_one=not shown)
    shown.update(frames)


def _is_repeated(line: str, message: str) -> bool:
    lines = message.splitlines() or [""]
    return line in lines or line.endswith(lines[0])


def _folded_lines(lines: Sequence[str], style: Style) -> Iterator[tuple[Span, ...]]:
    for line in lines[:_SHOWN_LINES]:
        yield (Span(line, style),)
    if len(lines) > _SHOWN_LINES:
        yield (Span(f"+ {plural(len(lines) - _SHOWN_LINES, 'line')}", Style.FAINT),)


def _frame_lines(
    frames: Sequence[Frame], folder: str, *, needs_one: bool
) -> Iterator[tuple[Span, ...]]:
    """Yield the user's own frames, the innermost first, and the number of all others.

    Args:
        frames: all frames, the innermost first.
        folder: the folder that paths are shown relative to.
        needs_one: whether one of a library is shown where none is the user's own.
    """
    own = _without_repetitions(frame for frame in frames if not frame.library)
    folded = [frame for frame in frames if frame.library]
    if not own and folded and needs_one:
        # Without a frame of the user's, the innermost one says most.
        own = [(folded.pop(0), 1)]
    for frame, times in own[:_SHOWN_FRAMES]:
        spans = [Span(_place(frame, folder), Style.STRONG)]
        if frame.function:
            spans.append(Span(f" in {frame.function}", Style.FAINT))
        if times > 1:
            spans.append(Span(f", {times} times", Style.FAINT))
        yield tuple(spans)
        if frame.code:
            yield (Span(f"    {frame.code}"),)
    more = len(own) - _SHOWN_FRAMES
    if more > 0:
        yield (Span(f"+ {plural(more, 'frame')} of your own", Style.FAINT),)
    if folded:
        yield (Span(f"+ {_counted(folded)}", Style.FAINT),)


def _without_repetitions(frames: Iterable[Frame]) -> list[tuple[Frame, int]]:
    """Return frames with the number of their repetitions, as recursion makes them."""
    counts = Counter(frames)
    return list(counts.items())


def _place(frame: Frame, folder: str) -> str:
    path = PurePath(frame.path)
    if frame.library:
        path = PurePath(path_in_library(frame.path))
    if folder and path.is_relative_to(folder):
        path = path.relative_to(folder)
    if not frame.line:
        return str(path)
    return f"{path}:{frame.line}"


def _counted(frames: Sequence[Frame]) -> str:
    """Return `7 frames of botocore, urllib3`."""
    libraries = list(dict.fromkeys(frame.library for frame in frames))
    shown = libraries[:_SHOWN_LIBRARIES]
    if len(libraries) > _SHOWN_LIBRARIES:
        shown.append("…")
    return f"{plural(len(frames), 'frame')} of {', '.join(shown)}"
