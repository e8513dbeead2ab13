"""The local code of functions that are container images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.configuration.tables import FunctionSettings, TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.functions.mapping import map_functions
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.images.source import ImageBuild, ImageSource
from terralive_workers.function import LocalCode

ADDRESS = "aws_lambda_function.resize"
DOCKERFILE = 'FROM public.ecr.aws/lambda/python:3.12\nCOPY app.py ./\nCMD ["app.handler"]\n'
IMAGE = DeclaredFunction(
    ADDRESS,
    "resize",
    package_type="Image",
    function_name="orders-resize",
    attributes=frozenset(("image_uri", "package_type")),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "services" / "resize"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "app.py").write_text("def handler(event, context): ...\n")
    return tmp_path


def config(project: Path, **settings: object) -> Config:
    own: tuple[FunctionSettings, ...] = ()
    if settings:
        own = (FunctionSettings(ADDRESS, **settings),)  # type: ignore[arg-type]
    return Config(project, "orders", "dev", "ana", TerraformConfig(project), functions=own)


def code_of(own: Config, function: DeclaredFunction = IMAGE) -> LocalCode:
    mapped = map_functions(own, [function])
    assert mapped.unmapped == {}
    return mapped.code[ADDRESS]


def reason_of(own: Config, function: DeclaredFunction = IMAGE) -> str:
    mapped = map_functions(own, [function])
    assert mapped.code == {}
    return mapped.unmapped[ADDRESS].text


def test_a_folder_of_the_functions_name_needs_no_setting(project: Path) -> None:
    code = code_of(config(project))
    assert (code.runtime, code.handler) == ("python3.12", "app.handler")
    assert code.path == project / "services/resize"


def test_the_build_in_the_configuration_is_used(project: Path) -> None:
    (project / "other").mkdir()
    (project / "other/Dockerfile").write_text(DOCKERFILE.replace("3.12", "3.13"))
    (project / "other/app.py").write_text("def handler(event, context): ...\n")
    build = ImageBuild(project / "other/Dockerfile", project / "other")
    code = code_of(config(project), replace(IMAGE, image=ImageSource((build,))))
    assert (code.runtime, code.path) == ("python3.13", project / "other")


@pytest.mark.parametrize("named", ["services/resize", "services/resize/Dockerfile"])
def test_the_file_names_the_dockerfile(project: Path, named: str) -> None:
    other = replace(IMAGE, label="x", function_name="y")
    (project / "services/mail").mkdir()
    (project / "services/mail/Dockerfile").write_text(DOCKERFILE)
    code = code_of(config(project, dockerfile=project / named), other)
    assert code.path == project / "services/resize"


def test_a_dockerfile_that_does_not_exist_is_an_error(project: Path) -> None:
    mapped = map_functions(config(project, dockerfile=project / "services/rezise"), [IMAGE])
    assert mapped.functions == {}
    assert mapped.errors[IMAGE.address].reference == "dockerfile-missing"


def test_settings_and_image_config_take_precedence_over_the_dockerfile(project: Path) -> None:
    folder = project / "services/resize"
    (folder / "jobs.py").write_text("def run(event, context): ...\n")
    (folder / "Dockerfile").write_text(DOCKERFILE.replace("app.py", "*.py"))
    of_config = replace(IMAGE, handler="jobs.run", attributes=IMAGE.attributes | {"image_config"})
    assert code_of(config(project), of_config).handler == "jobs.run"
    own = config(project, runtime="python3.13", handler="jobs.run")
    code = code_of(own)
    assert (code.runtime, code.handler) == ("python3.13", "jobs.run")


def test_a_command_that_only_terraform_knows_is_not_taken_from_the_dockerfile(
    project: Path,
) -> None:
    computed = replace(IMAGE, attributes=IMAGE.attributes | {"image_config"})
    reason = reason_of(config(project), computed)
    assert reason.startswith("its handler is an expression (image_config)")
    assert 'handler = "…"' in reason


def test_what_the_dockerfile_does_not_tell_is_asked_for(project: Path) -> None:
    file = project / "services/resize/Dockerfile"
    file.write_text('FROM ubuntu:24.04\nCOPY server /\nENTRYPOINT ["/server"]\n')
    own = config(project, dockerfile=file)
    reason = reason_of(own)
    assert "starts a program of its own (/server): services/resize/Dockerfile" in reason
    assert reason.splitlines()[-4:] == [
        f"[functions.'{ADDRESS}']",
        'path = "…"',
        'runtime = "…"',
        'handler = "…"',
    ]


def test_several_dockerfiles_are_listed_and_none_is_chosen(project: Path) -> None:
    (project / "copies/resize").mkdir(parents=True)
    (project / "copies/resize/Dockerfile").write_text(DOCKERFILE)
    reason = reason_of(config(project))
    assert "copies/resize/Dockerfile, services/resize/Dockerfile" in reason
    builds = tuple(
        ImageBuild(project / name, None, found_by=f"docker_image.{name}") for name in ("a", "b")
    )
    reason = reason_of(config(project), replace(IMAGE, image=ImageSource(builds)))
    assert "docker_image.a, docker_image.b" in reason


def test_code_that_the_image_builds_is_asked_for_with_its_folder(project: Path) -> None:
    (project / "services/resize/Dockerfile").write_text(
        "FROM node:22 AS build\nWORKDIR /app\nCOPY . .\nRUN npm run build\n"
        "FROM public.ecr.aws/lambda/nodejs:22\nCOPY --from=build /app/dist ./\n"
        'CMD ["index.handler"]\n'
    )
    reason = reason_of(config(project))
    assert 'path = "services/resize/dist"' in reason
    assert "npm run build" in reason


def test_the_build_of_what_the_image_builds_can_be_copied(project: Path) -> None:
    folder = project / "services" / "resize"
    stages = "FROM node:22 AS build\nCOPY . .\nRUN npm run build\n"
    last = 'FROM public.ecr.aws/lambda/nodejs:22\nCOPY --from=build dist ./\nCMD [ "index.run" ]\n'
    (folder / "Dockerfile").write_text(stages + last)
    (folder / "package.json").write_text('{"scripts": {"build": "tsc"}}')
    reason = reason_of(config(project))
    assert reason.endswith("""A build on this machine may make it. Add to terralive.toml:
[functions.'aws_lambda_function.resize']
path = "services/resize/dist"
build = "npm --prefix services/resize run build"
watch = ["../src/**"]""")


def test_a_build_that_only_stands_beside_images_is_not_taken_for_several(project: Path) -> None:
    folder = project / "services" / "resize"
    guess = ImageSource((ImageBuild(folder / "Dockerfile", folder, found_by="x"),), is_guess=True)

    def function(label: str) -> DeclaredFunction:
        address, image = (
            f"aws_lambda_function.{label}",
            f"1.dkr.ecr.eu-west-1.amazonaws.com/{label}",
        )
        planned = PlannedFunction(address, "", name=label, package_type="Image", image_uri=image)
        return replace(IMAGE, address=address, label=label, instances=(planned,), image=guess)

    assert list(map_functions(config(project), [function("one")]).functions)
    several = map_functions(config(project), [function("one"), function("two")])
    assert several.functions == {}


def test_an_image_of_another_runtime_is_told_that_it_needs_a_program(project: Path) -> None:
    content = 'FROM public.ecr.aws/lambda/java:21\nCOPY target ./\nCMD ["com.acme.Main::run"]\n'
    (project / "services" / "resize" / "Dockerfile").write_text(content)
    reason = reason_of(config(project))
    assert reason.startswith("terralive itself runs Python, Node.js and provided.*, and not java21")
    assert 'command = ["…"]' in reason


@pytest.mark.parametrize("own", ["scanner", "scanner@sha256:0a"])
def test_the_only_dockerfile_is_not_that_of_every_image(project: Path, own: str) -> None:
    def function(label: str, uri: str) -> DeclaredFunction:
        address = f"aws_lambda_function.{label}"
        planned = PlannedFunction(address, "", name=label, package_type="Image", image_uri=uri)
        return replace(IMAGE, address=address, label=label, instances=(planned,))

    resize = function("resize", "1.dkr.ecr.eu-west-1.amazonaws.com/resize:1")
    scan = function("scan", f"1.dkr.ecr.eu-west-1.amazonaws.com/vendor/{own}")
    mapped = map_functions(config(project), [resize, scan])
    assert list(mapped.functions) == [ADDRESS]
    assert mapped.unmapped["aws_lambda_function.scan"].text.startswith(
        "nothing tells whether services/resize/Dockerfile builds its image or that of another "
    )
    both = [resize, function("scan", "1.dkr.ecr.eu-west-1.amazonaws.com/resize:2")]
    assert len(map_functions(config(project), both).functions) == 2


def test_a_broken_dockerfile_is_named_with_its_line(project: Path) -> None:
    (project / "services/resize/Dockerfile").write_text("FROM x\nCOPPY a b\n")
    own = config(project, dockerfile=project / "services/resize")
    assert "services/resize/Dockerfile:2:" in reason_of(own)


def test_each_instance_of_a_plan_has_what_the_dockerfile_says(project: Path) -> None:
    (project / "services/resize/jobs.py").write_text("def run(event, context): ...\n")
    file = project / "services/resize/Dockerfile"
    file.write_text(DOCKERFILE.replace("app.py", "*.py"))
    instances = (
        PlannedFunction(f'{ADDRESS}["a"]', "", name="a", package_type="Image"),
        PlannedFunction(
            f'{ADDRESS}["b"]',
            "",
            name="b",
            package_type="Image",
            handler="jobs.run",
            starts_otherwise=True,
        ),
    )
    names = IMAGE.attributes | {"image_config"}
    function = replace(IMAGE, attributes=names, repeated="for_each", instances=instances)
    mapped = map_functions(config(project), [function])
    assert mapped.unmapped == {}
    assert {at: code.handler for at, code in mapped.code.items()} == {
        f'{ADDRESS}["a"]': "app.handler",
        f'{ADDRESS}["b"]': "jobs.run",
    }
    assert set(mapped.found_by.values()) == {"services/resize/Dockerfile (the name resize)"}
