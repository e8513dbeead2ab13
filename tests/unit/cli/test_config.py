from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from terralive_cli.configuration.loading import Flags, find_project, load
from terralive_cli.configuration.tables import DebugStackConfig, FunctionSettings
from terralive_cli.configuration.values import Config, Output
from terralive_cli.output.interrupts import options_of
from terralive_stub.errors import ConfigurationError
from terralive_terraform.runs.arguments import users_arguments

BACKEND = """
app = "orders"
[backend]
type = "s3"

[backend.config]
bucket = "acme-tfstate"
key = "terralive/{app}/{stage}"
use_lockfile = true
tags = ["{user}"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "My Orders"
    folder.mkdir()
    (folder / "main.tf").touch()
    return folder


def read(
    project: Path,
    toml: str = "",
    *,
    flags: Flags | None = None,
    environ: Mapping[str, str] | None = None,
    user: str = "ana",
    arguments: tuple[str, ...] = (),
) -> Config:
    if toml:
        (project / "terralive.toml").write_text(toml, "utf-8")
    return load(
        project=project,
        flags=flags or {},
        environ=environ or {},
        user=user,
        arguments=arguments,
    )


def mistakes(project: Path, toml: str, **more: Mapping[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(project, toml, **more)  # type: ignore[arg-type] # only environ is ever given
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value.message


def test_without_configuration_everything_has_a_sensible_value(project: Path) -> None:
    config = read(project)

    assert (config.app, config.stage, config.region, config.sandbox) == (
        "my-orders",
        "dev-ana",
        None,
        False,
    )
    assert (config.terraform.dir, config.terraform.app, config.terraform.binary) == (
        project,
        None,
        "terraform",
    )
    assert config.protected == ("prod*", "main")
    assert config.debug_stack == DebugStackConfig()
    assert (config.backend, config.functions, config.output) == (None, (), None)


@pytest.mark.parametrize(
    ("user", "stage"),
    [("Ana.Böhm", "dev-ana-b-hm"), ("ACME\\bob", "dev-acme-bob"), ("李", "dev-user")],
)
def test_any_login_name_becomes_a_stage_that_aws_takes(
    project: Path, user: str, stage: str
) -> None:
    assert read(project, user=user).stage == stage


def test_terralive_user_comes_before_the_login_name(project: Path) -> None:
    config = read(project, environ={"TERRALIVE_USER": "ci"}, user="root")

    assert (config.user, config.stage) == ("ci", "dev-ci")


def test_flag_wins_over_environment_over_file_over_default(project: Path) -> None:
    toml, environ = 'stage = "of-file"', {"TERRALIVE_STAGE": "of-environment"}

    assert read(project, toml).stage == "of-file"
    assert read(project, toml, environ=environ).stage == "of-environment"
    assert read(project, toml, environ=environ, flags={"stage": "of-flag"}).stage == "of-flag"


def test_a_flag_may_switch_off_what_the_file_switches_on(project: Path) -> None:
    assert read(project, "sandbox = true").sandbox
    assert not read(project, "sandbox = true", environ={"TERRALIVE_SANDBOX": "0"}).sandbox
    assert not read(
        project, "sandbox = true", environ={"TERRALIVE_SANDBOX": "1"}, flags={"sandbox": False}
    ).sandbox


def test_region_comes_from_aws_own_variables_where_terralive_has_none(project: Path) -> None:
    assert read(project, environ={"AWS_DEFAULT_REGION": "eu-central-1"}).region == "eu-central-1"
    both = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_REGION": "eu-west-1"}
    assert read(project, environ=both).region == "eu-west-1"
    assert read(project, 'region = "us-gov-west-1"', environ=both).region == "us-gov-west-1"


def test_stage_flag_may_use_the_user(project: Path) -> None:
    assert read(project, flags={"stage": "try-{user}"}).stage == "try-ana"


def test_backend_gets_app_and_stage_put_in(project: Path) -> None:
    backend = read(project, BACKEND).backend

    assert backend is not None
    assert backend.type == "s3"
    assert backend.config == {
        "bucket": "acme-tfstate",
        "key": "terralive/orders/dev-ana",
        "use_lockfile": True,
        "tags": ["ana"],
    }


def test_every_mistake_is_told_at_once_with_its_place_and_what_is_allowed(project: Path) -> None:
    message = mistakes(
        project,
        """
        stgae = "x"
        protected = "main"
        [terraform]
        dir = "nowhere"
        var_files = ["dev.tfvars"]
        [debug_stack]
        role_path = "teams"
        log_retention_days = 8
        [stub_image]
        x86_64 = "terralive-stub:1"
        [functions."aws_lambda_function.api"]
        handlr = "app.handler"
        max_workers = 0
        roots = ["nowhere/src"]
        env = { "API-URL" = "x" }
        """,
    )

    assert 'terralive.toml: stgae: there is no such setting. Did you mean "stage"?' in message
    assert "terralive.toml: protected: it is 'main', text; allowed is a list of texts" in message
    assert "terralive.toml: terraform.dir: there is no folder" in message
    assert 'terralive.toml: stub_image.x86_64: "terralive-stub:1" is no image in ECR' in message
    assert "terralive.toml: terraform.var_files: there is no file" in message
    assert "terralive.toml: debug_stack.role_path:" in message
    assert (
        "debug_stack.log_retention_days: CloudWatch Logs cannot keep 8 days; allowed are 1, 3, 5, 7"
        in message
    )
    assert (
        'functions."aws_lambda_function.api".handlr: there is no such setting. '
        'Did you mean "handler"?' in message
    )
    assert (
        'functions."aws_lambda_function.api".max_workers: it is 0, a whole number; allowed is'
        in message
    )
    assert 'functions."aws_lambda_function.api".roots: there is no folder' in message
    assert '"API-URL" is no name of an environment variable' in message
    assert len(message.splitlines()) == 11


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (
            'stage = "pr/412"',
            'terralive.toml: stage: "pr/412" cannot be part of AWS names.* "pr-412" would do',
        ),
        (f'stage = "{"x" * 41}"', "at most 40 characters"),
        ('stage = "{branch}"', r"there is no \{branch\}; known are \{user\}"),
        ('app = ""', "app: it is '', text; allowed is text that is not empty"),
        ('region = "Ireland"', '"Ireland" is no AWS region'),
        ('output = "jsno"', 'Did you mean "json"'),
        ('[backend]\ntype = "s4"', '"s4" is no Terraform backend. Did you mean "s3"'),
        ('[backend]\nconfig = { key = "x" }', "backend.type: it is missing"),
        (
            '[backend]\ntype = "s3"\nconfig = { key = "{branch}" }',
            r"backend.config: there is no \{branch\}",
        ),
        ('[backend]\ntype = "s3"\nconfig = { key = 2024-01-01 }', "backend.config.key: it is date"),
        ('[debug_stack]\ntags = { "terralive:app" = "x" }', "reserved"),
        ('[debug_stack]\nkms_key = "alias/x"', "no ARN of a KMS key"),
        ('[debug_stack]\npermissions_boundary = "x"', "no ARN of an IAM policy"),
        ('[debug_stack]\nclass = "acme.debug"', "no import path"),
        ('[debug_stack]\nclass_ = "acme:Debug"', 'there is no such setting. Did you mean "class"'),
        ("[functions]\napi = 1", "functions.api: it is 1, a whole number; allowed is a table"),
        ("terraform = 1", "terraform: it is 1, a whole number; allowed is a table"),
        ("sandbox = 1", "sandbox: it is 1, a whole number; allowed is true or false"),
        ("yes = true", "yes: there is no such setting"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(project: Path, toml: str, said: str) -> None:
    assert re.search(said, mistakes(project, toml))


def test_a_wrong_environment_variable_is_named(project: Path) -> None:
    assert mistakes(project, "", environ={"TERRALIVE_SANDBOX": "maybe"}).startswith(
        "TERRALIVE_SANDBOX: "
    )
    assert mistakes(project, "", environ={"TERRALIVE_STAGE": "a b"}).startswith("TERRALIVE_STAGE: ")


def test_a_file_that_is_not_toml_is_told_with_line_and_column(project: Path) -> None:
    (project / "terralive.toml").write_text("stage = dev\n")
    with pytest.raises(ConfigurationError, match="line 1, column") as caught:
        read(project)
    assert caught.value.reference == "configuration-syntax"


def test_a_file_that_is_not_text_is_told(project: Path) -> None:
    (project / "terralive.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError) as caught:
        read(project)
    assert caught.value.reference == "configuration-unreadable"


def test_a_project_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no folder"):
        read(tmp_path / "nowhere")


def test_a_cdktf_program_is_found_by_its_file(project: Path) -> None:
    (project / "cdktf.json").write_text('{"language": "python", "app": "python main.py"}')

    assert read(project).require_program().app == "python main.py"


def test_a_folder_without_terraform_is_told_only_by_what_needs_it(tmp_path: Path) -> None:
    config = read(tmp_path)

    with pytest.raises(ConfigurationError) as caught:
        config.require_program()
    assert caught.value.reference == "no-terraform-program"


def test_a_protected_stage_is_refused_without_the_flag(project: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(project, flags={"stage": "production"}).refuse_protected()
    assert caught.value.reference == "stage-protected"
    read(project, flags={"stage": "production", "allow_protected": True}).refuse_protected()
    read(project, flags={"stage": "dev-ana"}).refuse_protected()
    read(project, "protected = []", flags={"stage": "main"}).refuse_protected()


def test_terralive_is_found_from_a_folder_below(project: Path) -> None:
    (project / "terralive.toml").touch()
    below = project / "services" / "api"
    below.mkdir(parents=True)

    assert find_project(below) == project


def test_paths_are_the_projects_and_a_venv_stays_a_venv(project: Path) -> None:
    toml = (
        '[functions.api]\npath = "services/api"\npython = ".venv/bin/python"\nwatch = ["src/**"]\n'
    )
    toml += 'node = "node22"\ncommand = ["bin/run", "--once"]'

    assert read(project, toml).functions == (
        FunctionSettings(
            "api",
            path=project / "services/api",
            python=project / ".venv/bin/python",
            node=Path("node22"),
            command=("bin/run", "--once"),
            watch=("src/**",),
        ),
    )


def test_output_is_one_of_three(project: Path) -> None:
    assert read(project, environ={"TERRALIVE_OUTPUT": "json"}).output is Output.JSON


def functions(project: Path, *patterns: str) -> Config:
    return read(project, "".join(f"[functions.'{pattern}']\n" for pattern in patterns))


@pytest.mark.parametrize(
    ("patterns", "address", "name", "found"),
    [
        (("aws_lambda_function.*", "aws_lambda_function.api"), "aws_lambda_function.api", "x", 1),
        (("orders-*", "orders-dev-api"), "aws_lambda_function.api", "orders-dev-api", 1),
        (("*api", "*"), "aws_lambda_function.api", "x", 0),
        (("*api", "*"), "aws_lambda_function.sns", "x", 1),
        (("aws_lambda_function.api",), 'aws_lambda_function.api["eu"]', "x", 0),
        (('aws_lambda_function.api["eu"]',), 'aws_lambda_function.api["eu"]', "x", 0),
        (('*.api["e*"]',), 'module.a.aws_lambda_function.api["eu"]', "x", 0),
        (("aws_lambda_function.api",), "module.a.aws_lambda_function.api", "x", None),
        (("API",), "aws_lambda_function.api", "api", None),
        (("aws_lambda_function.fn", "*fn[*]", "fn-eu"), 'aws_lambda_function.fn["eu"]', "fn-eu", 2),
        (("aws_lambda_function.fn", "*.fn[*]"), 'aws_lambda_function.fn["eu"]', "x", 1),
        (("module.a.aws_lambda_function.fn",), 'module.a["x.y"].aws_lambda_function.fn[0]', "x", 0),
        (("fn-*",), 'aws_lambda_function.fn["eu"]', "fn-eu", 0),
    ],
)
def test_a_function_finds_its_settings_exact_name_first(
    project: Path, patterns: tuple[str, ...], address: str, name: str, found: int | None
) -> None:
    function = functions(project, *patterns).function_for(address, name)

    assert (function.pattern if function else None) == (None if found is None else patterns[found])


def test_a_protected_workspace_or_variables_file_is_refused_on_aws_but_not_in_the_sandbox(
    project: Path,
) -> None:
    (project / ".terraform").mkdir()
    (project / ".terraform" / "environment").write_text("prod", "utf-8")
    with pytest.raises(ConfigurationError, match='workspace "prod"'):
        read(project).refuse_protected()
    read(project, flags={"sandbox": True}).refuse_protected()

    (project / ".terraform" / "environment").unlink()
    (project / "prod.eu.tfvars").touch()
    with pytest.raises(ConfigurationError, match='file "prod"'):
        read(project, '[terraform]\nvar_files = ["prod.eu.tfvars"]').refuse_protected()
    (project / "terralive.toml").unlink()
    typed = users_arguments(["-var-file", "prod.eu.tfvars"], project)
    with pytest.raises(ConfigurationError, match='file "prod"'):
        read(project, arguments=typed).refuse_protected()
    read(project).refuse_protected()


def test_arguments_of_a_partly_configured_backend_come_from_file_or_environment(
    project: Path,
) -> None:
    (project / "dev.tfbackend").write_text("")
    lines = '[terraform]\nbackend_config = ["key={app}/{stage}.tfstate", "dev.tfbackend"]'
    settings = read(project, f'app = "orders"\nstage = "dev"\n{lines}').terraform
    assert settings.backend_config == (
        "key=orders/dev.tfstate",
        str(project / "dev.tfbackend"),
    )
    given = {"TERRALIVE_BACKEND_CONFIG": "bucket=states 'key=a b'"}
    assert read(project, lines, environ=given).terraform.backend_config == (
        "bucket=states",
        "key=a b",
    )
    with pytest.raises(ConfigurationError, match=r"there is no file .*prod"):
        read(project, '[terraform]\nbackend_config = ["prod.tfbackend"]')
    with pytest.raises(ConfigurationError, match="TERRALIVE_BACKEND_CONFIG"):
        read(project, environ={"TERRALIVE_BACKEND_CONFIG": "'open"})


def test_a_project_in_a_repositorys_infra_folder_is_named_after_the_repository(
    tmp_path: Path,
) -> None:
    git = tmp_path / "checkout" / ".git"
    git.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n", "utf-8")
    (git / "config").write_text('[remote "origin"]\n\turl = git@github.com:acme/Orders.git\n')
    infra = tmp_path / "checkout" / "infra"
    infra.mkdir()

    config = read(infra)
    assert (config.app, config.source) == ("orders", "github.com/acme/Orders//infra")
    named = read(infra, 'app = "shop"\nsource = "acme/shop"')
    assert (named.app, named.source) == ("shop", "acme/shop")
    assert read(infra, environ={"TERRALIVE_SOURCE": "ci/shop"}).source == "ci/shop"
    assert "cannot be the value of a tag" in mistakes(infra, 'source = "a;b"')


def test_the_next_command_is_shown_with_the_stack_and_the_arguments_for_terraform(
    project: Path,
) -> None:
    (project / "eu.tfvars").touch()
    typed = users_arguments(["-var-file", "eu.tfvars", "-var", "token=secret"], project)
    config = read(project, flags={"stage": "dev-ana", "stack": "api"}, arguments=typed)
    shown = options_of(config)
    assert shown.startswith("--stage dev-ana --stack api -- ")
    assert shlex.split(shown)[-2:] == [f"-var-file={project / 'eu.tfvars'}", "-var=token=…"]
    assert "secret" not in f"{shown} {config}"
    assert options_of(read(project, flags={"stage": "dev-ana"})) == "--stage dev-ana"


def test_stacks_are_a_text_a_list_or_an_option_that_is_given_again(project: Path) -> None:
    assert read(project).terraform.stack == ()
    assert read(project, '[terraform]\nstack = "jobs"').terraform.stack == ("jobs",)
    config = read(project, '[terraform]\nstack = ["jobs", "web-*"]')
    assert config.terraform.stack == ("jobs", "web-*")
    given = {"TERRALIVE_STACK": "web, api"}
    assert read(project, environ=given).terraform.stack == ("web", "api")
    typed = read(project, environ=given, flags={"stack": ("a", "b*")})
    assert typed.terraform.stack == ("a", "b*")
    assert options_of(typed) == "--stage dev-ana --stack a --stack 'b*'"
    assert "a list of texts" in mistakes(project, "[terraform]\nstack = 1")
