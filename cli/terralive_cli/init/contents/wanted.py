"""The files that a repository gets from `terralive init`. Pure: a parameter reads files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import FILE
from terralive_cli.init.contents import additions, cleanup
from terralive_cli.init.contents.proposals import Proposal, own_file
from terralive_cli.init.contents.rendering import rendered
from terralive_cli.init.findings import CiSystem, FoundProject, Repository, relative

# Returns the text of a file, "" for an empty one; None where it does not exist.
Read = Callable[[Path], "str | None"]
_AGENTS: Final = "AGENTS.md"
# Arguments of an S3 backend that are the same for every state in the bucket:
# https://developer.hashicorp.com/terraform/language/backend/s3
_OF_BUCKET: Final = ("region", "encrypt", "kms_key_id", "use_lockfile", "dynamodb_table", "profile")
# Others that may be left out for the debug stack's state.
_OF_STATE: Final = ("bucket", "key", "workspace_key_prefix", "acl")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files of a repository, and what a person has to do instead.

    Attributes:
        proposals: the files in the order of their importance.
        advice: sentences about what terralive does not do itself.
    """

    proposals: tuple[Proposal, ...]
    advice: tuple[str, ...] = ()


@dataclass(slots=True)
class _Collected:
    """The proposals and the advice so far.

    Attributes:
        read: returns the text of a file.
        proposals: grows file by file.
        advice: grows with them.
    """

    read: Read
    proposals: list[Proposal] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def own(self, file: Path, text: str, purpose: str) -> None:
        """Add a file that is terralive's as a whole."""
        self.proposals.append(own_file(file, self.read(file), text, purpose))

    def changed(self, file: Path, text: str, purpose: str) -> None:
        """Add a file of the team's with another text."""
        self.proposals.append(Proposal(file, self.read(file), text, purpose))


def wanted_files(
    repository: Repository,
    chosen: Sequence[FoundProject],
    version: str,
    read: Read,
    others: Sequence[FoundProject] = (),
) -> Wanted:
    """Return the files that a repository gets.

    Args:
        repository: the repository.
        chosen: the chosen projects, at least one.
        version: the version of terralive that its cleanup job installs.
        read: returns the text of a file.
        others: the other projects of the repository. Their settings stay as they are.
    """
    made = _Collected(read)
    projects = sorted((*chosen, *others), key=lambda project: project.folder)
    for project in chosen:
        _settings(made, project)
    prefix = _targets(made, repository, projects)
    if repository.ci is not CiSystem.NONE:
        _cleanup(made, repository, projects, version)
    _agents(made, repository, projects, prefix)
    return Wanted(tuple(made.proposals), tuple(made.advice))


def shared_backend(project: FoundProject) -> dict[str, str | bool]:
    """Return arguments of an S3 backend for the debug stack, beside the app's own state.

    {} where the app's backend is another one, or needs what only Terraform or a person knows.
    """
    arguments = project.backend.arguments
    known = set(arguments) <= {*_OF_BUCKET, *_OF_STATE}
    if project.backend.type != "s3" or not known or not arguments.get("bucket"):
        return {}
    if not (arguments.get("region") or project.region):
        return {}
    found: dict[str, str | bool] = {
        "bucket": str(arguments["bucket"]),
        "key": f"{cleanup.STATE_KEYS}{{app}}/{{stage}}.tfstate",
        "region": str(arguments.get("region") or project.region),
    }
    for name in _OF_BUCKET:
        value = arguments.get(name)
        if isinstance(value, str | bool):
            found[name] = value
    return found


def _settings(made: _Collected, project: FoundProject) -> None:
    file = project.folder / FILE
    before = made.read(file)
    if before is None:
        made.own(file, _new_settings(project), "settings, and the functions that were found")
        return
    # An existing file is the team's: functions are added to it, as comments.
    new = additions.new_functions(before, project.functions)
    if not new:
        made.changed(file, before, "settings")
        return
    lines = "# Found by `terralive init`:\n" + rendered("functions.toml", functions=new)
    made.changed(file, additions.appended(before, lines), "functions that it does not mention")


def _new_settings(project: FoundProject) -> str:
    shared = shared_backend(project)
    backend = ", ".join(f"{name} = {json.dumps(value)}" for name, value in shared.items())
    return rendered(
        FILE,
        app=project.app,
        accounts=project.accounts,
        region=project.region,
        dir=project.dir,
        is_program=project.is_program,
        var_files=project.var_files,
        needs_var_file=project.needs_var_file,
        without_values=project.without_values,
        backend=backend,
        unread=project.unread,
        functions=project.functions,
    )


def _targets(made: _Collected, repository: Repository, projects: Sequence[FoundProject]) -> str:
    """Add the targets of make or the recipes of just. Return their prefix."""
    if repository.makefile is None and repository.justfile is not None:
        return _recipes(made, repository.justfile, projects)
    makefile = repository.makefile
    if makefile is None:
        makefile = _home(repository, projects) / "Makefile"
    text = made.read(makefile) or ""
    taken = set(additions.makefile_targets(text))
    for name in additions.included_files(text):
        taken |= additions.makefile_targets(made.read(makefile.parent / name) or "")
    prefix = additions.prefix_of_targets(taken)
    folders = _folders(projects, makefile.parent)
    made.own(
        makefile.parent / additions.LIVE_MK,
        rendered(additions.LIVE_MK, prefix=prefix, projects=folders),
        f"make {prefix}, {prefix}-plan, {prefix}-restore, {prefix}-destroy, {prefix}-status",
    )
    made.changed(makefile, additions.with_include(text), f"includes {additions.LIVE_MK}")
    return prefix


def _recipes(made: _Collected, justfile: Path, projects: Sequence[FoundProject]) -> str:
    text = made.read(justfile) or ""
    prefix = additions.prefix_of_targets(additions.justfile_recipes(text))
    folders = _folders(projects, justfile.parent)
    made.own(
        justfile.parent / additions.LIVE_JUST,
        rendered(additions.LIVE_JUST, prefix=prefix, projects=folders),
        f"just {prefix}, {prefix}-plan, {prefix}-restore, {prefix}-destroy, {prefix}-status",
    )
    made.changed(justfile, additions.with_import(text), f"imports {additions.LIVE_JUST}")
    return prefix


def _cleanup(
    made: _Collected, repository: Repository, projects: Sequence[FoundProject], version: str
) -> None:
    files = cleanup.cleanup_files(
        repository,
        projects,
        version,
        pipeline=made.read(repository.top / cleanup.GITLAB_PIPELINE) or "",
        requirements=_requirements(made.read, repository, projects),
        buckets={
            project.app: str(shared_backend(project).get("bucket", "")) for project in projects
        },
    )
    for name, text, purpose in files:
        made.own(repository.top / name, text, purpose)
    if not repository.path:
        made.advice.append(
            f"The repository has no remote: write its name for {cleanup.UNKNOWN} in role.tf."
        )
    if repository.ci is CiSystem.GITLAB:
        _include_in_pipeline(made, repository.top / cleanup.GITLAB_PIPELINE)


def _include_in_pipeline(made: _Collected, file: Path) -> None:
    included = additions.with_ci_include(made.read(file) or "", cleanup.GITLAB_FILE)
    if included is not None:
        made.changed(file, included, f"includes {cleanup.GITLAB_FILE}")
        return
    made.advice.append(
        f"{file.name} has `include` already. Add this entry: - local: {cleanup.GITLAB_FILE}"
    )


def _requirements(
    read: Read, repository: Repository, projects: Sequence[FoundProject]
) -> tuple[str, ...]:
    """Return the requirements.txt of each CDKTF program, relative to the top."""
    found: list[str] = []
    for project in projects:
        file = project.terraform_dir / "requirements.txt"
        if project.is_program and read(file) is not None:
            found.append(relative(file, repository.top))
    return tuple(found)


def _agents(
    made: _Collected, repository: Repository, projects: Sequence[FoundProject], prefix: str
) -> None:
    file = repository.top / _AGENTS
    section = rendered(
        "agents.md",
        prefix=prefix,
        make=repository.makefile is not None or repository.justfile is None,
        projects=_folders(projects, repository.top),
    )
    text = additions.with_section(made.read(file) or "", section)
    if text is None:
        made.advice.append(
            f"The markers of terralive in {_AGENTS} are not one pair. It was left as it is."
        )
        return
    made.changed(file, text, "how a coding agent runs, invokes and reads results")


def _home(repository: Repository, projects: Sequence[FoundProject]) -> Path:
    """Return the folder of new targets: that of the only project, or the top."""
    if len(projects) == 1:
        return projects[0].folder
    return repository.top


def _folders(projects: Sequence[FoundProject], base: Path) -> tuple[str, ...]:
    """Return the projects' folders relative to another one; () for that folder alone."""
    found = tuple(_shown(project.folder, base) for project in projects)
    if found == (".",):
        return ()
    return found


def _shown(folder: Path, base: Path) -> str:
    return relative(folder, base) or "."


def changing(proposals: Sequence[Proposal]) -> Iterator[Proposal]:
    """Yield the proposals that would create or change a file."""
    for proposal in proposals:
        if proposal.changes:
            yield proposal
