"""`terralive init`: a first terralive.toml, or with `--vscode` launch configurations for breakpoints."""

from __future__ import annotations

import os
from typing import Final

from terralive_cli import vscode as vs_code
from terralive_cli.config import FILE, Config
from terralive_cli.debugging import ports_of
from terralive_cli.deployment import app_of
from terralive_cli.events import Note
from terralive_cli.mapping import map_functions
from terralive_cli.target import work_folder
from terralive_cli.ui import Ui
from terralive_terraform.artifacts import write_atomically
from terralive_terraform.mirror import terraform_environment

_FIRST: Final = """\
# What differs from the rule; every setting is in terralive's docs/CONFIGURATION.md.
app = "{app}"
# stage = "dev-{{user}}"

# [functions."aws_lambda_function.api"]
# path = "services/api"
"""


def run(config: Config, ui: Ui, *, vscode: bool = False) -> int:
    """Write what is missing, and nothing over what is there."""
    if vscode:
        return _vscode(config, ui)
    file = config.project / FILE
    if file.exists():
        ui.emit(Note(message=f"{file} is there already; it stays as it is."))
        return 0
    file.write_text(_FIRST.format(app=config.app), "utf-8")
    ui.emit(Note(message=f"Written: {file}. `terralive plan` shows which functions would become live."))
    return 0


def _vscode(config: Config, ui: Ui) -> int:
    work = work_folder(config.project) / "init"
    environment = {**os.environ, "TERRALIVE_APP": config.app, "TERRALIVE_STAGE": config.stage}
    with app_of(config).prepared(None, work, terraform_environment(environment, work)) as prepared:
        mapped = map_functions(config, prepared.functions)
        ports = ports_of(prepared.functions)
    wanted = [
        vs_code.attaching(code, ports[code.address], config.project)
        for code in mapped.code.values()
        if code.address in ports
    ]
    file = config.project / ".vscode" / "launch.json"
    before = file.read_text("utf-8") if file.exists() else ""
    after = vs_code.merged(before, wanted, file)
    if after != before:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, after.encode())
    names = ", ".join(str(item["name"]) for item in wanted) or "no function can be debugged"
    ui.emit(Note(message=f"{file}: {names}. Start with `terralive start --debug FUNCTION`, then attach."))
    return 0
