"""The user as a command sees them: events out, answers in. It knows neither terminal nor JSON."""

from __future__ import annotations

import contextlib
import shutil
import termios
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TextIO

from terralive_cli.output.renderer import Journal, Renderer
from terralive_relay.events import Event
from terralive_stub.errors import ConfigurationError

if TYPE_CHECKING:
    from terralive_cli.view.live_view import LiveView  # heavy


class Ui:
    """Shows events and asks questions.

    Args:
        renderer: shows the events.
        questions: receives the questions (the terminal's stderr, so that JSON stays JSON).
        answers: gives the answers.
        interactive: true if a person can answer.
        assume_yes: true with `--yes`.
        result: receives the result of a command alone, so that a program can read it; None where
            the events show it.
    """

    def __init__(
        self,
        renderer: Renderer,
        *,
        questions: TextIO,
        answers: TextIO,
        interactive: bool,
        assume_yes: bool,
        result: BinaryIO | None = None,
    ) -> None:
        self._renderer = renderer
        self._questions = questions
        self._answers = answers
        self._assume_yes = assume_yes
        self.interactive = interactive
        # Whether single keys are commands. The person has none who starts a session for the
        # background.
        self.takes_keys = interactive
        self.result = result
        # Whether what was typed before a question is taken for its answer.
        self.takes_typed_ahead = True

    @property
    def output_gone(self) -> bool:
        """True if nobody reads the output any more (`| head`)."""
        return self._renderer.output_gone.is_set()

    def emit(self, *events: Event) -> None:
        """Show events. It never blocks, and any thread may call it.

        Emit warnings for several functions in one call: the same warning is then shown only once.
        """
        self._renderer.emit(*events)

    def keep(self, journal: Journal) -> None:
        """Also write the events that come from now on to a journal."""
        self._renderer.keep(journal)

    def leave_screen(self) -> None:
        """Show everything before, and nothing from now on. Nobody can answer a question then."""
        self._renderer.leave_screen()
        self.interactive = False

    def flush(self) -> None:
        """Wait until all events are on the screen, at most a few seconds."""
        self._renderer.flush()

    @property
    def has_view(self) -> bool:
        """True if the output is a terminal that can show a footer."""
        return self._renderer.has_view

    def change_view(self, change: Callable[[LiveView], None]) -> bool:
        """Change the live view, after all events before; return False where there is none."""
        return self._renderer.change_view(change)

    def confirm(self, question: str) -> bool:
        """Ask before something changes. Only `y` and `yes` mean yes.

        Raises:
            ConfigurationError: `confirmation-needed`: no person can answer, and there is no
                `--yes`.
        """
        if self._assume_yes:
            return True
        if not self.interactive:
            raise ConfigurationError(
                "confirmation-needed",
                f"There is no terminal to ask this question in: {question}",
                hint="If you are sure, run the same command with `--yes` (or TERRALIVE_YES=1).",
            )
        return self.answer(f"{question} [y/N]").lower() in {"y", "yes"}

    def answer(self, question: str) -> str:
        """Ask a person for a text. `--yes` answers no such question."""
        return self.typed(question) or ""

    def typed(self, question: str) -> str | None:
        """Ask a person for a text; None where nobody can answer any more.

        The input has ended then, or the terminal was closed.
        """
        with self._view_paused():
            return self._typed(question)

    @contextlib.contextmanager
    def _view_paused(self) -> Iterator[None]:
        """Keep the footer, and what happens meanwhile, off the screen."""
        self.change_view(lambda view: view.pause())
        # The question is written by this thread, so the events before it must be on the screen.
        self.flush()
        try:
            yield
        finally:
            self.change_view(lambda view: view.resume())

    def _typed(self, question: str) -> str | None:
        if not self.takes_typed_ahead:
            with contextlib.suppress(OSError, ValueError, termios.error):
                termios.tcflush(self._answers.fileno(), termios.TCIFLUSH)
        try:
            self._questions.write(f"{_wrapped(question)} ")
            self._questions.flush()
            line = self._answers.readline()
        except KeyboardInterrupt:
            # What is written next does not begin behind the question.
            with contextlib.suppress(OSError, ValueError):
                self._questions.write("\n")
                self._questions.flush()
            raise
        except OSError:  # the terminal was closed
            return None
        if not line:
            return None
        return line.strip()


def _wrapped(text: str) -> str:
    """Return the text in rows of the terminal's width, broken between words."""
    # One column less: some terminals wrap when the last column is used.
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width - 1, break_long_words=False, break_on_hyphens=False)
