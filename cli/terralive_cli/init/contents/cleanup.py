"""The cleanup job of a repository, its role and the role's policies. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.configuration.rules import sanitise
from terralive_cli.init.contents.additions import last_stage
from terralive_cli.init.contents.rendering import rendered
from terralive_cli.init.findings import CiSystem, FoundProject, Repository, relative
from terralive_cli.permissions.policies import PolicyScope, policy_of
from terralive_stub.shared.json_documents import Json

GITLAB_PIPELINE: Final = ".gitlab-ci.yml"
GITLAB_FILE: Final = "terralive-cleanup.gitlab-ci.yml"
_GITHUB_FILE: Final = ".github/workflows/terralive-cleanup.yml"
_GITHUB_ROLE: Final = ".github/terralive-cleanup"
_GITLAB_ROLE: Final = ".gitlab/terralive-cleanup"
# The stages that the job removes: those of pull requests.
_STAGES: Final = "pr-*"
# The beginning of the debug stacks' state keys in a bucket.
STATE_KEYS: Final = "terralive/"
# https://docs.github.com/en/actions/reference/security/oidc
_GITHUB_ISSUER: Final = "token.actions.githubusercontent.com"
# https://docs.gitlab.com/ci/cloud_services/aws/
_GITLAB_HOST: Final = "gitlab.com"
# Stands for the repository's name where there is no remote.
UNKNOWN: Final = "OWNER/REPOSITORY"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_ROLE_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class _Command:
    """A project, as the commands of a job name it.

    Attributes:
        app: the app's name.
        option: ` --project DIR`; "" for the top folder.
    """

    app: str
    option: str


def cleanup_files(
    repository: Repository,
    projects: Sequence[FoundProject],
    version: str,
    *,
    pipeline: str,
    requirements: Sequence[str],
    buckets: Mapping[str, str],
) -> Iterator[tuple[str, str, str]]:
    """Yield name, text and purpose of each file.

    Args:
        repository: the repository; its CI system is known.
        projects: the projects.
        version: the version of terralive that the job installs.
        pipeline: the text of .gitlab-ci.yml, with the names of its stages.
        requirements: requirements.txt files of CDKTF programs, relative to the top.
        buckets: the bucket of the debug stacks' states by app; "" for none.
    """
    is_github = repository.ci is CiSystem.GITHUB
    name, role_dir, template = GITLAB_FILE, _GITLAB_ROLE, "gitlab-cleanup.yml"
    if is_github:
        name, role_dir, template = _GITHUB_FILE, _GITHUB_ROLE, "github-cleanup.yml"
    region = _region(projects)
    needs_account = not all(project.accounts for project in projects)
    text = rendered(
        template,
        role_dir=role_dir,
        version=version,
        region=region,
        needs_account=needs_account,
        has_program=any(project.is_program for project in projects),
        requirements=requirements,
        stage=json.dumps(last_stage(pipeline)),
        projects=[_command(project, repository) for project in projects],
    )
    yield name, text, "removes the debug stacks of closed pull requests, and nightly others"
    role = rendered(
        "role.tf",
        is_github=is_github,
        workflow=name,
        repository=repository.path or UNKNOWN,
        default_branch=repository.default_branch,
        issuer=_issuer(repository),
        region=region,
        needs_account=needs_account,
        apps=[project.app for project in projects],
        role=_role_name(repository, projects),
    )
    yield f"{role_dir}/role.tf", role, "the OIDC role of that job"
    for project in projects:
        policy = _policy(project, buckets.get(project.app, ""))
        own = f"{role_dir}/{project.app}.policy.json"
        yield own, json.dumps(policy, indent=2) + "\n", "what that role may do"


def _policy(project: FoundProject, bucket: str) -> dict[str, Json]:
    """Return the policy of the job: that of docs/PERMISSIONS.md, and the one of a state bucket."""
    account = "*"
    if len(project.accounts) == 1:
        account = project.accounts[0]
    scope = PolicyScope(
        account=account,
        region=project.region or "*",
        app=project.app,
        stage=_STAGES,
        name_prefix=project.name_prefix,
        role_path=project.role_path,
        bucket=bucket,
        keys=f"{STATE_KEYS}{project.app}/",
    )
    policy = policy_of("cleanup", scope)
    if bucket:
        statements, more = policy["Statement"], policy_of("state-bucket", scope)["Statement"]
        if isinstance(statements, list) and isinstance(more, list):
            policy["Statement"] = [*statements, *more]
    return policy


def _command(project: FoundProject, repository: Repository) -> _Command:
    folder = relative(project.folder, repository.top)
    option = ""
    if folder:
        option = f" --project {shlex.quote(folder)}"
    return _Command(project.app, option)


def _region(projects: Sequence[FoundProject]) -> str:
    """Return the region of all projects; "" where they differ or it is not known."""
    regions = {project.region for project in projects}
    if len(regions) != 1:
        return ""
    return regions.pop()


def _issuer(repository: Repository) -> str:
    if repository.ci is CiSystem.GITHUB:
        return _GITHUB_ISSUER
    return repository.host or _GITLAB_HOST


def _role_name(repository: Repository, projects: Sequence[FoundProject]) -> str:
    name = projects[0].app
    if len(projects) > 1:
        name = sanitise(repository.path.rpartition("/")[2]) or name
    return f"terralive-cleanup-{name}"[:_ROLE_CHARACTERS]
