"""A user of a stage in the sandbox, who answers the questions of a command in a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config, Output
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui


class AnsweringUser:
    """A user of the stage `dev-ana` of the app `orders`.

    Args:
        folder: the project, and the stage's work folder.
        answers: a line for each question; "" where no terminal is there to ask in.
        yes: whether the command was given `--yes`.

    Attributes:
        stage: the stage.
        ui: shows events to the user, and asks.
    """

    def __init__(self, folder: Path, answers: str = "", *, yes: bool = False) -> None:
        # What the user sees: events, and the questions.
        self._screen, self._questions = io.StringIO(), io.StringIO()
        self._renderer = Renderer.start(Output.PLAIN, self._screen, self._screen)
        self.ui = Ui(
            self._renderer,
            questions=self._questions,
            answers=io.StringIO(answers),
            interactive=bool(answers),
            assume_yes=yes,
        )
        config = Config(folder, "orders", "dev-ana", "ana", TerraformConfig(folder), yes=yes)
        target = Target.__new__(Target)  # nothing else of it is looked at
        object.__setattr__(target, "name", "the sandbox")
        object.__setattr__(target, "work", folder)
        # It is not AWS, which nobody has to ask about data tracing.
        object.__setattr__(target, "caller", SimpleNamespace(emulator="sandbox"))
        self.stage = Stage(config, target, self.ui.emit, {})

    def questions(self) -> list[str]:
        """Return the questions, each on one line. Nothing is shown after this."""
        self._renderer.close()
        text = " ".join(self._questions.getvalue().split())
        return [question.strip() for question in text.split("[y/N]") if question.strip()]

    def screen(self) -> str:
        """Return what was shown beside the questions. Nothing is shown after this."""
        self._renderer.close()
        return self._screen.getvalue()
