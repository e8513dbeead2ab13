"""The process that synthesises a debug stack with CDK for Terraform.

`synth.py` starts it: for a team's own subclass with a request as JSON on stdin, and for the
template of terralive's own stack with `--template`.

A team's module is imported before anything of CDK for Terraform: where `cdktf` and `cdktn` are both
installed, what the module imports decides which of them is used (see `constructs.cdk`).
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from terralive_terraform.debug_stack.settings import (
    BackendSettings,
    DebugStackSettings,
    Endpoints,
    ImageReaders,
)
from terralive_terraform.debug_stack.synth import digest

if TYPE_CHECKING:
    from terralive_terraform.debug_stack.stack import DebugStack

_OWN: Final = "terralive_terraform.debug_stack.stack:DebugStack"
# The template does not depend on the settings: a test compares it with another stage's.
_ANY_STAGE: Final = DebugStackSettings("app", "stage", "us-east-1", "", "", "")


def main() -> None:
    """Answer one request: the configuration, and a hash of each of the team's files in it."""
    if sys.argv[1:] == ["--template"]:
        sys.stdout.write(synthesise(imported(_OWN), _ANY_STAGE))
        return
    request = json.loads(sys.stdin.buffer.read())
    folder = Path(request["folder"])
    sys.path.insert(0, str(folder))
    stack_class = imported(request["class"])
    document = synthesise(stack_class, read_settings(request["settings"]))
    files = {str(file): digest(file) for file in imported_from(folder)}
    sys.stdout.write("\n" + json.dumps({"document": document, "files": files}) + "\n")


def imported(path: str) -> type[DebugStack]:
    """Import a subclass of `DebugStack` by its path `package.module:Class`.

    Raises:
        ImportError, AttributeError: there is no such module or class.
        TypeError: it is no subclass of `DebugStack`.
    """
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    from terralive_terraform.debug_stack.stack import DebugStack  # noqa: PLC0415  # see above

    if not (isinstance(found, type) and issubclass(found, DebugStack)):
        raise TypeError(f"{path} is no subclass of terralive_terraform.debug_stack.DebugStack")
    return found


def imported_from(folder: Path) -> set[Path]:
    """Return the files below a folder that this process has imported as modules."""
    folder = folder.resolve()
    files = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve().is_relative_to(folder):
            files.add(Path(file).resolve())
    return files


def synthesise(stack_class: type[DebugStack], settings: DebugStackSettings) -> str:
    """Return the stack's configuration as JSON, without cdktf's metadata and its backend."""
    from terralive_terraform.constructs.cdk import cdk  # noqa: PLC0415  # see above

    with tempfile.TemporaryDirectory(prefix="terralive-synth-") as folder:
        app = cdk.App(outdir=folder, skip_validation=True)
        stack_class(app, settings)
        app.synth()
        file = Path(folder) / "stacks" / "debug" / "cdk.tf.json"
        document = json.loads(file.read_bytes())
    # terralive writes the backend to a file of its own.
    document["terraform"].pop("backend", None)
    return json.dumps(_without_comments(document), indent=2, sort_keys=True) + "\n"


def read_settings(fields: dict[str, Any]) -> DebugStackSettings:
    """Return the settings that `dataclasses.asdict` has turned into a dictionary."""
    fields["endpoints"] = Endpoints(**fields["endpoints"])
    if fields["backend"] is not None:
        fields["backend"] = BackendSettings(**fields["backend"])
    readers = fields["image_readers"]
    fields["image_readers"] = ImageReaders(**{**readers, "others": tuple(readers["others"])})
    return DebugStackSettings(**fields)


def _without_comments(value: Any) -> Any:  # noqa: ANN401  # JSON of any type
    """Remove the keys `//`, in which cdktf notes its version and the paths of constructs."""
    if isinstance(value, dict):
        return {key: _without_comments(item) for key, item in value.items() if key != "//"}
    if isinstance(value, list):
        return [_without_comments(item) for item in value]
    return value


if __name__ == "__main__":
    main()
