"""What a command sees of its user.

It tells events and asks questions, and knows neither terminal nor JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from terralive_cli.output.renderer import Renderer
from terralive_relay.events import Event
from terralive_stub.errors import ConfigurationError


class Ui:
    """Events out, answers in.

    Args:
        renderer: shows the events.
        questions: where questions are written (the terminal's stderr, so that JSON stays JSON).
        answers: where answers are read.
        interactive: whether somebody can answer.
        assume_yes: `--yes`.
    """

    def __init__(
        self,
        renderer: Renderer,
        *,
        questions: TextIO,
        answers: TextIO,
        interactive: bool,
        assume_yes: bool,
    ) -> None:
        self._renderer = renderer
        self._questions = questions
        self._answers = answers
        self._assume_yes = assume_yes
        self.interactive = interactive

    @property
    def output_gone(self) -> bool:
        """Whether nobody reads the output any more (`| head`)."""
        return self._renderer.output_gone.is_set()

    def emit(self, event: Event) -> None:
        """Show an event; never blocks, may be called from any thread."""
        self._renderer.emit(event)

    def emit_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self.emit(event)

    def confirm(self, question: str) -> bool:
        """Ask before something is changed; everything but `y` and `yes` is a no.

        Raises:
            ConfigurationError: `confirmation-needed`: there is nobody to ask, and no `--yes`.
        """
        if self._assume_yes:
            return True
        if not self.interactive:
            raise ConfigurationError(
                "confirmation-needed",
                f"Without a terminal nobody can be asked: {question}",
                hint="If this is meant, run the same command with `--yes` (or TERRALIVE_YES=1).",
            )
        self._renderer.flush()
        self._questions.write(f"{question} [y/N] ")
        self._questions.flush()
        return self._answers.readline().strip().lower() in {"y", "yes"}
