"""Values for the things that `terralive init` finds in a repository. Pure."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from terralive_stub.shared.json_documents import Json


class CiSystem(StrEnum):
    """A CI system that a cleanup job can be written for."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FoundFunction:
    """A Lambda function that the files of a configuration declare.

    Attributes:
        address: its Terraform address; `STACK/ADDRESS` where several stacks are looked at.
        handler: its handler; "" where only a plan tells it.
        path: the folder of its code, relative to the project; "" where only a plan tells it.
        found_by: how that was found, for a person; "" where it was not.
    """

    address: str
    handler: str = ""
    path: str = ""
    found_by: str = ""


@dataclass(frozen=True, slots=True)
class Backend:
    """The backend of a configuration's state.

    Attributes:
        type: its type (`s3`); "" for a local state.
        arguments: its arguments that are literals.
    """

    type: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class FoundProject:
    """A Terraform root that gets a terralive.toml.

    Attributes:
        folder: the project's folder, where the file is.
        terraform_dir: the root module's folder, or the folder of cdktf.json.
        app: the app's name.
        is_program: whether it is a CDK for Terraform program.
        functions: the functions that its files declare.
        unread: why its functions are not known; "" where they are.
        backend: where its state is.
        region: the region of its provider; "" where it is not known.
        accounts: the ids of the accounts that the project names.
        name_prefix: the beginning of the names of terralive's resources.
        role_path: the path of the broker's role.
        var_files: variables files that Terraform does not read by itself, relative to the folder.
        without_values: the variables that have neither a default nor a value in a file that
            Terraform reads by itself.
    """

    folder: Path
    terraform_dir: Path
    app: str
    is_program: bool = False
    functions: tuple[FoundFunction, ...] = ()
    unread: str = ""
    backend: Backend = field(default_factory=Backend)
    region: str = ""
    accounts: tuple[str, ...] = ()
    name_prefix: str = "terralive"
    role_path: str = "/"
    var_files: tuple[str, ...] = ()
    without_values: tuple[str, ...] = ()

    @property
    def needs_var_file(self) -> bool:
        """True if Terraform cannot plan without the variables file, and there is only one."""
        return len(self.var_files) == 1 and bool(self.without_values)

    @property
    def dir(self) -> str:
        """The root module's folder, relative to the project; "" for the project itself."""
        return relative(self.terraform_dir, self.folder)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, or a folder outside of one.

    Attributes:
        top: its top folder.
        host: the host of its remote (`github.com`); "" without one.
        path: its path there (`acme/orders`); "" without a remote.
        default_branch: its default branch.
        makefile: the makefile that the targets belong to.
        justfile: the justfile that the recipes belong to.
        ci: the CI system that it uses.
        vscode: whether it has settings of VS Code.
        jetbrains: whether it has settings of a JetBrains editor.
    """

    top: Path
    host: str = ""
    path: str = ""
    default_branch: str = "main"
    makefile: Path | None = None
    justfile: Path | None = None
    ci: CiSystem = CiSystem.NONE
    vscode: bool = False
    jetbrains: bool = False


def relative(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, with `/`; "" for the folder itself."""
    text = os.path.relpath(path, folder)
    if text == ".":
        return ""
    return Path(text).as_posix()
