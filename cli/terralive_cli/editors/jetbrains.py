"""Run configurations of JetBrains editors that attach to debugged Node.js functions. Pure.

A file in the folder `.run` of the project is one configuration:
https://www.jetbrains.com/help/webstorm/run-debug-configuration.html#share-configurations
https://www.jetbrains.com/help/webstorm/run-debug-configuration-node-js-remote-debug.html

There are none for Python: PyCharm's debug server waits for its own debugger, which is not debugpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import quoteattr

from terralive_cli.editors.vscode import shown_name
from terralive_workers.function import LocalCode

FOLDER: Final = ".run"
# An edit starts another worker, so the editor attaches again.
_CONFIGURATION: Final = """\
<component name="ProjectRunConfigurationManager">
  <configuration default="false" name={name} type="ChromiumRemoteDebugType"
      factoryName="Chromium Remote" host="127.0.0.1" port="{port}" restartOnDisconnect="true">
    <method v="2" />
  </configuration>
</component>
"""


def run_configurations(functions: Iterable[tuple[int, LocalCode]]) -> dict[str, str]:
    """Return the text of each file, by its name.

    Args:
        functions: the port and the local code of each function.
    """
    files: dict[str, str] = {}
    for port, function in functions:
        if function.runtime.startswith("nodejs"):
            name = shown_name(function)
            file = re.sub(r"[^\w.-]+", "_", name).strip("_")
            text = _CONFIGURATION.format(name=quoteattr(name), port=port)
            files[f"{file}.run.xml"] = text
    return files
