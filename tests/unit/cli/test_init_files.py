"""The files that `terralive init` writes, and what it adds to those of a team."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]
from check_jsonschema.builtin_schemas import get_builtin_schema

from terralive_cli.configuration.loading import load
from terralive_cli.init.contents import additions
from terralive_cli.init.contents.proposals import Proposal, own_file
from terralive_cli.init.contents.wanted import Wanted, wanted_files
from terralive_cli.init.findings import (
    Backend,
    CiSystem,
    FoundFunction,
    FoundProject,
    Repository,
)
from terralive_cli.init.looking.projects import look_at_project
from terralive_cli.init.summary import found_line
from terralive_cli.main import cli

TOP = Path("/repository")
REPOSITORY = Repository(TOP, host="github.com", path="acme/orders", ci=CiSystem.GITHUB)
PROJECT = FoundProject(
    TOP,
    TOP / "infra",
    "orders",
    functions=(
        FoundFunction(
            "aws_lambda_function.api", "app.handler", "services/api", "the configuration"
        ),
        FoundFunction("module.mail.aws_lambda_function.this"),
    ),
    region="eu-west-1",
)
OTHER = FoundProject(TOP / "mail box", TOP / "mail box", "mail", region="eu-west-1")
S3 = Backend("s3", {"bucket": "acme", "key": "app.tfstate", "use_lockfile": True})


def files(wanted: Wanted) -> dict[str, Proposal]:
    return {item.file.relative_to(TOP).as_posix(): item for item in wanted.proposals}


def made(
    *projects: FoundProject,
    repository: Repository = REPOSITORY,
    existing: Mapping[str, str] | None = None,
) -> dict[str, Proposal]:
    """Return the files of a repository with these projects and files."""
    there = {TOP / name: text for name, text in (existing or {}).items()}
    return files(wanted_files(repository, projects or (PROJECT,), "1.2.3", there.get))


def advice(repository: Repository, existing: Mapping[str, str] | None = None) -> str:
    there = {TOP / name: text for name, text in (existing or {}).items()}
    return "\n".join(wanted_files(repository, (PROJECT,), "1.2.3", there.get).advice)


def settings(project: FoundProject) -> dict[str, Any]:
    return tomllib.loads(made(project)["terralive.toml"].after)


# terralive.toml


def test_the_settings_name_the_folder_the_app_and_each_function_that_was_found() -> None:
    text = made()["terralive.toml"].after
    assert tomllib.loads(text) == {
        "app": "orders",
        "stage": "dev-{user}",
        "terraform": {"dir": "infra"},
    }
    # The comments become settings when their `#` is removed.
    lines = text[text.index('# [functions."aws_lambda_function.api"]') :].splitlines()
    shown = tomllib.loads("\n".join(line.removeprefix("#").strip() for line in lines))
    assert shown["functions"]["aws_lambda_function.api"] == {"path": "services/api"}
    assert list(shown["functions"]) == [function.address for function in PROJECT.functions]


def test_the_only_variables_file_is_set_where_variables_have_no_other_value() -> None:
    one = replace(PROJECT, var_files=("infra/dev.tfvars",))
    assert settings(one)["terraform"] == {"dir": "infra"}
    needed = replace(one, without_values=("env", "greeting"))
    assert settings(needed)["terraform"] == {"dir": "infra", "var_files": ["infra/dev.tfvars"]}
    text = made(needed)["terralive.toml"].after
    assert "variables have no value: env, greeting." in text
    # Which one of several is meant, a person decides.
    several = replace(needed, var_files=("infra/ana.tfvars", "infra/dev.tfvars"))
    assert "var_files" not in settings(several)["terraform"]


def test_variables_without_a_default_are_found_where_no_file_gives_them(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'variable "env" {\n  type = string\n}\nvariable "size" {\n  default = 1\n}\n', "utf-8"
    )
    config = load(project=tmp_path, flags={}, environ={}, user="ana")
    assert look_at_project(config, reads_functions=False).without_values == ("env",)
    (tmp_path / "terraform.tfvars").write_text('env = "dev"\n', "utf-8")
    assert look_at_project(config, reads_functions=False).without_values == ()


def test_the_debug_stack_shares_the_bucket_of_the_apps_state() -> None:
    assert settings(replace(PROJECT, backend=S3))["backend"] == {
        "type": "s3",
        "config": {
            "bucket": "acme",
            "key": "terralive/{app}/{stage}.tfstate",
            "region": "eu-west-1",
            "use_lockfile": True,
        },
    }


@pytest.mark.parametrize(
    "backend",
    [
        Backend(),
        Backend("gcs", {"bucket": "acme"}),
        Backend("s3", {"key": "the bucket is named elsewhere"}),
        Backend("s3", {"bucket": "acme", "assume_role": True}),
    ],
)
def test_another_backend_is_only_explained(backend: Backend) -> None:
    assert "backend" not in settings(replace(PROJECT, backend=backend))


def test_a_configuration_that_cannot_be_read_is_named() -> None:
    project = replace(PROJECT, functions=(), unread="cdktf is not installed [no-cdktf]")
    # The text is about this machine, and the file is for everybody.
    assert "no-cdktf" not in made(project)["terralive.toml"].after
    assert "could not be read" in made(project)["terralive.toml"].after
    assert "cdktf is not installed [no-cdktf]" in found_line(REPOSITORY, [project], TOP)
    assert tomllib.loads(made(project)["terralive.toml"].after)["app"] == "orders"


def test_an_existing_terralive_toml_gets_new_functions_as_comments_and_keeps_all_else() -> None:
    before = 'app = "shop"\r\n[functions."aws_lambda_function.api"]\r\npath = "api"'
    proposal = made(existing={"terralive.toml": before})["terralive.toml"]
    assert proposal.after.startswith(before + "\r\n\r\n# Found")
    assert "module.mail.aws_lambda_function.this" in proposal.after
    assert proposal.after.count("aws_lambda_function.api") == 1
    assert tomllib.loads(proposal.after) == tomllib.loads(before)
    assert "\n" not in proposal.after.replace("\r\n", "")
    again = made(existing={"terralive.toml": proposal.after})["terralive.toml"]
    assert not again.changes


def test_a_function_whose_name_begins_like_another_one_is_a_function_of_its_own() -> None:
    functions = (FoundFunction("aws_lambda_function.api"),)
    assert additions.new_functions("# aws_lambda_function.api_v2", functions) == functions
    assert additions.new_functions("# aws_lambda_function.api\n", functions) == ()


# make and just


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "include live.mk\n"),
        ("test:\n\techo\n", "test:\n\techo\n\ninclude live.mk\n"),
        ("test:\n\techo", "test:\n\techo\n\ninclude live.mk\n"),
        ("A = \\", "A = \\\n\ninclude live.mk\n"),
        ("test:\r\n\techo\r\n", "test:\r\n\techo\r\n\r\ninclude live.mk\r\n"),
        ("test:\n\n", "test:\n\ninclude live.mk\n"),
    ],
)
def test_a_makefile_gets_one_line_at_its_end(before: str, after: str) -> None:
    assert additions.with_include(before) == after
    assert additions.with_include(after) == after


@pytest.mark.parametrize(
    "line",
    ["include live.mk", "-include ./live.mk", "include a.mk live.mk", "include $(wildcard *.mk)"],
)
def test_a_makefile_that_includes_the_targets_already_stays(line: str) -> None:
    assert additions.with_include(f"{line}\n") == f"{line}\n"


@pytest.mark.parametrize("makefile", ["live: build\n", "test live:\n\techo\n", "live-plan::\n"])
def test_a_makefile_with_such_a_target_gets_targets_of_another_name(makefile: str) -> None:
    there = made(
        repository=replace(REPOSITORY, makefile=TOP / "Makefile"), existing={"Makefile": makefile}
    )
    assert "\nterralive-plan:\n" in there["live.mk"].after
    assert "\nlive" not in there["live.mk"].after.replace("\nlive.mk", "")
    assert "make terralive-restore" in there["AGENTS.md"].after


def test_a_target_in_an_included_file_counts_and_a_variable_does_not() -> None:
    repository = replace(REPOSITORY, makefile=TOP / "Makefile")
    makefile = "include mk/dev.mk\nlive := 1\nlive ?= 2\n# live: no\n"
    own = made(repository=repository, existing={"Makefile": makefile})
    assert "\nlive-plan:\n" in own["live.mk"].after
    theirs = made(
        repository=repository, existing={"Makefile": makefile, "mk/dev.mk": "live:\n\techo\n"}
    )
    assert "\nterralive-plan:\n" in theirs["live.mk"].after


def test_a_justfile_imports_recipes() -> None:
    repository = replace(REPOSITORY, justfile=TOP / "justfile")
    there = made(repository=repository, existing={"justfile": "test:\n    echo\n"})
    assert there["justfile"].after == "test:\n    echo\n\nimport 'live.just'\n"
    assert "{{ terralive_command }} plan {{ arguments }}" in there["live.just"].after
    assert "live.mk" not in there
    taken = made(repository=repository, existing={"justfile": "live stage='dev':\n    echo\n"})
    assert "terralive-plan *arguments:" in taken["live.just"].after


def test_several_projects_have_targets_with_a_variable() -> None:
    text = made(PROJECT, OTHER)["live.mk"].after
    assert "LIVE_PROJECT ?= .\n" in text
    assert "mail box" in text


# AGENTS.md


def test_a_section_is_added_once_and_replaced_in_its_place() -> None:
    first = additions.with_section("# Agents\r\n", "old\n")
    assert first is not None
    assert first.startswith("# Agents\r\n\r\n<!-- terralive:begin -->\r\nold\r\n")
    second = additions.with_section(first + "More.\r\n", "new\n")
    assert second is not None
    assert "old" not in second
    assert second.endswith("<!-- terralive:end -->\r\nMore.\r\n")
    assert additions.with_section(second, "new\n") == second


@pytest.mark.parametrize(
    "text",
    [
        "<!-- terralive:begin -->\n",
        "<!-- terralive:end -->\n<!-- terralive:begin -->\n",
        "<!-- terralive:begin -->\n<!-- terralive:end -->\n" * 2,
    ],
)
def test_broken_markers_are_left_alone(text: str) -> None:
    assert additions.with_section(text, "new\n") is None
    assert "AGENTS.md" not in made(existing={"AGENTS.md": text})
    assert "not one pair" in advice(REPOSITORY, {"AGENTS.md": text})


def test_agents_learn_commands_exit_codes_and_the_project() -> None:
    text = made(OTHER)["AGENTS.md"].after
    for words in ("start --until-ready", "status --output json", "invoke", "logs", "restore"):
        assert f"terralive {words}" in text
    assert "5 somebody else holds the stage" in text
    assert "--project mail box" in text
    assert "--project" not in made()["AGENTS.md"].after


def commands() -> list[str]:
    """Return every command line of terralive's that the generated files have."""
    there = made(PROJECT, OTHER, repository=replace(REPOSITORY, ci=CiSystem.GITHUB))
    gitlab = made(repository=replace(REPOSITORY, ci=CiSystem.GITLAB))
    text = there["AGENTS.md"].after
    lines = re.findall(r"^terralive .*$", text, re.MULTILINE)
    (job,) = yaml.safe_load(there[".github/workflows/terralive-cleanup.yml"].after)["jobs"].values()
    lines += [step["run"] for step in job["steps"] if step.get("run", "").startswith("terralive ")]
    jobs = yaml.safe_load(gitlab["terralive-cleanup.gitlab-ci.yml"].after)
    for name in ("terralive-cleanup", "terralive-nightly"):
        lines += jobs[name]["script"]
    targets = re.findall(r"\$\(LIVE_COMMAND\) (\w+)", there["live.mk"].after)
    return lines + [f"terralive {target}" for target in targets]


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_generated_files_is_one_of_the_command_line(line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    context = cli.make_context("terralive", words)
    name, *options = context._protected_args + context.args
    assert cli.commands[name].make_context(name, options, parent=context).params


# The cleanup job


def test_the_job_for_github_holds_to_githubs_schema() -> None:
    for there in (made(), made(PROJECT, OTHER), made(replace(PROJECT, is_program=True, region=""))):
        job = yaml.safe_load(there[".github/workflows/terralive-cleanup.yml"].after)
        jsonschema.Draft7Validator(get_builtin_schema("vendor.github-workflows")).validate(
            # YAML 1.1 reads the key `on` as true.
            {str(key).replace("True", "on"): value for key, value in job.items()}
        )


@pytest.mark.parametrize(
    ("pipeline", "stage"),
    [
        ("", "deploy"),
        ("stages: [lint, 'ship it']\n", "ship it"),
        ("stages:\n  - lint\n  # the last one\n  - ship # now\n  - .post\n\njob:\n  - x\n", "ship"),
    ],
)
def test_the_job_for_gitlab_holds_to_gitlabs_schema(pipeline: str, stage: str) -> None:
    repository = replace(REPOSITORY, ci=CiSystem.GITLAB, host="gitlab.acme.com", path="team/orders")
    there = made(PROJECT, OTHER, repository=repository, existing={".gitlab-ci.yml": pipeline})
    jobs = yaml.safe_load(there["terralive-cleanup.gitlab-ci.yml"].after)
    jsonschema.Draft7Validator(get_builtin_schema("vendor.gitlab-ci")).validate(jobs)
    assert jobs[".terralive"]["stage"] == stage
    included = yaml.safe_load(there[".gitlab-ci.yml"].after)
    assert included["include"] == [{"local": "terralive-cleanup.gitlab-ci.yml"}]
    role = there[".gitlab/terralive-cleanup/role.tf"].after
    assert 'issuer   = "gitlab.acme.com"' in role
    assert '"project_path:team/orders:ref_type:branch:ref:*"' in role


def test_a_pipeline_that_includes_others_is_left_to_a_person() -> None:
    repository = replace(REPOSITORY, ci=CiSystem.GITLAB)
    existing = {".gitlab-ci.yml": "include: templates.yml\n"}
    assert ".gitlab-ci.yml" not in made(repository=repository, existing=existing)
    assert "- local: terralive-cleanup.gitlab-ci.yml" in advice(repository, existing)
    there = {".gitlab-ci.yml": "include:\n  - local: terralive-cleanup.gitlab-ci.yml\n"}
    assert not made(repository=repository, existing=there)[".gitlab-ci.yml"].changes


def test_a_list_of_accounts_in_terralive_toml_is_not_replaced_by_a_variable() -> None:
    name = ".github/workflows/terralive-cleanup.yml"
    assert "TERRALIVE_ACCOUNTS: ${{ vars.TERRALIVE_ACCOUNT }}" in made()[name].after
    assert (
        "TERRALIVE_ACCOUNTS" not in made(replace(PROJECT, accounts=("123456789012",)))[name].after
    )


def test_the_policy_of_the_role_is_narrowed_to_the_stages_of_pull_requests() -> None:
    project = replace(PROJECT, accounts=("123456789012",), backend=S3)
    policy = json.loads(made(project)[".github/terralive-cleanup/orders.policy.json"].after)
    by_sid = {item["Sid"]: item["Resource"] for item in policy["Statement"]}
    assert by_sid["Table"] == (
        "arn:aws:dynamodb:eu-west-1:123456789012:table/terralive-orders-pr-*"
    )
    assert by_sid["State"] == "arn:aws:s3:::acme/terralive/orders/*.tfstate"


def test_without_a_remote_the_repository_is_named_by_a_person() -> None:
    repository = replace(REPOSITORY, host="", path="")
    assert "repo:OWNER/REPOSITORY:pull_request" in (
        made(repository=repository)[".github/terralive-cleanup/role.tf"].after
    )
    assert "OWNER/REPOSITORY" in advice(repository)
    assert advice(REPOSITORY) == ""


def test_without_a_ci_system_there_is_no_job() -> None:
    repository = replace(REPOSITORY, ci=CiSystem.NONE)
    assert not [name for name in made(repository=repository) if "cleanup" in name]


# A second run


def test_a_second_run_changes_nothing() -> None:
    project = replace(PROJECT, backend=S3)
    first = made(project)
    texts = {name: item.after for name, item in first.items()}
    repository = replace(REPOSITORY, makefile=TOP / "Makefile")
    again = made(project, repository=repository, existing=texts)
    assert set(again) == set(first)
    assert [name for name, item in again.items() if item.changes] == []


def test_a_file_that_git_has_written_with_other_line_endings_is_the_same() -> None:
    assert not own_file(Path("live.mk"), "a\r\nb\r\n", "a\nb\n", "").changes


def test_a_change_is_a_unified_diff() -> None:
    proposal = Proposal(Path("Makefile"), "a:\n\tb", "a:\n\tb\n\ninclude live.mk\n", "")
    assert proposal.diff("Makefile").splitlines() == [
        "--- a/Makefile",
        "+++ b/Makefile",
        "@@ -1,2 +1,4 @@",
        " a:",
        "-\tb",
        "\\ No newline at end of file",
        "+\tb",
        "+",
        "+include live.mk",
    ]
    assert Proposal(Path("x"), None, "a\n", "").diff("x") == ""
