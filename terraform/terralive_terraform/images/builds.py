"""Finds in the Terraform configuration how a function's container image is built.

`image_uri` is an expression. The references in it are followed: through variables, locals and the
outputs of modules to a `docker_image` of the kreuzwerker provider
(https://registry.terraform.io/providers/kreuzwerker/docker/latest/docs/resources/image), which
terraform-aws-modules/lambda//modules/docker-build has, too, or to an ECR repository. A
`docker build` in a `local-exec` provisioner that names the same repository builds the image.

It reads files and runs nothing. What only Terraform can compute is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, text
from terralive_terraform.discovery.declared import FUNCTION_TYPE, DeclaredFunction
from terralive_terraform.discovery.files import Module, ModuleCall
from terralive_terraform.discovery.hcl.folders import first_block, nested_blocks
from terralive_terraform.images.commands import build_commands
from terralive_terraform.images.modules import (
    Modules,
    block,
    local,
    resources,
    variable,
    written,
)
from terralive_terraform.images.source import ImageBuild, ImageSource

_REFERENCE: Final = re.compile(
    r"\b(?:(var|local)|module\.([\w-]+)(?:\[[^]]*\])?"
    r"|((?:data\.)?(?:docker|aws_ecr|null|terraform)_\w+))\.([\w-]+)"
)
# `123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders/resize:7`
_URI: Final = re.compile(r"\.dkr[.-]ecr\.[^/\s\"]*/([^:@\s\"\\]+)")
_COMMANDS: Final = frozenset(("null_resource", "terraform_data"))
_MODULE_OF_BUILDS: Final = "docker-build"


def image_source(address: str, modules: Modules) -> ImageSource:
    """Return what the configuration says of a function's image.

    Args:
        address: the function's address.
        modules: the configuration.
    """
    module = modules.of_resource(address)
    if module is None:
        return ImageSource()
    label = address.rpartition(f"{FUNCTION_TYPE}.")[2].partition("[")[0]
    function = block(module, "resource", FUNCTION_TYPE, label)
    search = _Search(modules)
    # Where the registry is a local value, no expression has all of the name.
    search.names += _URI.findall(modules.text(module, function.get("image_uri")))
    search.follow(module, function.get("image_uri"))
    search.follow(module, function.get("depends_on"))
    if not search.builds:
        search.look_for_builders(module)
    return ImageSource(
        tuple(dict.fromkeys(search.builds)),
        tuple(name for name in dict.fromkeys(search.names) if name),
        is_guess=search.is_guess,
    )


class _Search:
    """Follows the references of an expression."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        # The builds that were found, in their order.
        self.builds: list[ImageBuild] = []
        # Whether the builds are those of a module that names no repository.
        self.is_guess = False
        # The names of ECR repositories that were found.
        self.names: list[str] = []
        # Module and address of everything that was followed.
        self._seen: set[tuple[str, str]] = set()
        # The ECR repositories and Docker images among it, as an expression names them.
        self._images: set[str] = set()
        # The modules that were visited, by their keys.
        self._visited: dict[str, ModuleCall] = {}

    def follow(self, module: ModuleCall, value: Json) -> None:
        """Follow every reference of a value."""
        self._visited[module.key] = module
        content = written(value)
        self.names += _URI.findall(content)
        for match in _REFERENCE.finditer(content):
            known = (module.key, match[0])
            if known in self._seen:
                continue
            self._seen.add(known)
            kind, called, resource, name = match.groups()
            if kind == "var":
                found, where = variable(module, name)
                self.follow(where, found)
            elif kind == "local":
                self.follow(module, local(module, name))
            elif called:
                self._follow_output(module, called, name)
            else:
                self._follow_resource(module, resource, name)

    def look_for_builders(self, module: ModuleCall) -> None:
        """Look for a `docker build` or `docker_image` of the same repository.

        The only one of the function's module serves, too, where no repository is known.
        """
        related: list[ImageBuild] = []
        others: list[ImageBuild] = []
        for visited in self._visited.values():
            for kind, name, body in resources(visited):
                content = written(body)
                builds = _builds(self._modules, visited, kind, name, body)
                if any(image in content for image in self._images):
                    related += builds
                elif visited is module:
                    others += builds
        if related:
            self.builds = related
        elif len(others) == 1 and not self._images and not self.names:
            self.builds = others
            self.is_guess = True

    def _follow_output(self, module: ModuleCall, name: str, output: str) -> None:
        called = self._modules.called(module, name)
        call = block(module, "module", name)
        if called is not None:
            self.follow(called, block(called, "output", output))
        if not self.builds and _MODULE_OF_BUILDS in text(call, "source"):
            # https://registry.terraform.io/modules/terraform-aws-modules/lambda/aws/latest/submodules/docker-build
            self.builds += _of_docker_build(self._modules, module, name, call)
            self.names.append(self._modules.text(module, call.get("ecr_repo")))

    def _follow_resource(self, module: ModuleCall, kind: str, name: str) -> None:
        where = "resource"
        if kind.startswith("data."):
            where, kind = "data", kind.removeprefix("data.")
        body = block(module, where, kind, name)
        if kind in {"aws_ecr_repository", "docker_image", "docker_registry_image"}:
            self._images.add(f"{kind}.{name}")
        if kind == "aws_ecr_repository":
            self.names.append(self._modules.text(module, body.get("name")))
        elif kind == "aws_ecr_image":
            self.names.append(self._modules.text(module, body.get("repository_name")))
        self.builds += _builds(self._modules, module, kind, name, body)
        self.follow(module, body)


def _builds(
    modules: Modules, module: ModuleCall, kind: str, name: str, body: Mapping[str, Json]
) -> Iterator[ImageBuild]:
    """Yield the builds of a resource."""
    found_by = f"{module.prefix}{kind}.{name}"
    if kind == "docker_image":
        build = first_block(body.get("build"))
        context = modules.text(module, build.get("context"))
        if context:
            given = {**build, "arguments": build.get("build_args", build.get("build_arg"))}
            yield _build(modules, module, context, given, found_by)
    elif kind in _COMMANDS:
        for provisioner in _provisioners(body):
            folder = modules.root / modules.text(module, provisioner.get("working_dir"))
            for command in build_commands(modules.text(module, provisioner.get("command"))):
                context_path = (folder / command.context).resolve()
                dockerfile = context_path / "Dockerfile"
                if command.dockerfile:
                    dockerfile = (folder / command.dockerfile).resolve()
                yield ImageBuild(
                    dockerfile, context_path, command.target, command.arguments, found_by
                )


def _of_docker_build(
    modules: Modules, module: ModuleCall, name: str, call: Mapping[str, Json]
) -> Iterator[ImageBuild]:
    """Yield the build of a call of the module `docker-build`."""
    context = modules.text(module, call.get("source_path"))
    if context:
        given = {
            "dockerfile": call.get("docker_file_path"),
            "target": call.get("build_target"),
            "arguments": call.get("build_args"),
        }
        yield _build(modules, module, context, given, f"module.{name}")


def _build(
    modules: Modules, module: ModuleCall, context: str, given: Mapping[str, Json], found_by: str
) -> ImageBuild:
    """Return a build of the Docker provider: its Dockerfile is relative to the build context.

    Args:
        modules: the configuration.
        module: the module that says it.
        context: the build context, relative to the folder that Terraform runs in.
        given: `dockerfile`, `target` and `arguments`, each an expression.
        found_by: what says it.
    """
    folder = (modules.root / context).resolve()
    dockerfile = modules.text(module, given.get("dockerfile")) or "Dockerfile"
    file = (folder / dockerfile).resolve()
    beside = (modules.root / dockerfile).resolve()
    if not file.is_file() and beside.is_file():
        file = beside
    target = modules.text(module, given.get("target")) or None
    arguments: list[tuple[str, str]] = []
    for name, value in as_object(given.get("arguments")).items():
        known = modules.text(module, value)
        if known and "${" not in known:
            arguments.append((name, known))
    return ImageBuild(file, folder, target, tuple(arguments), found_by)


def _provisioners(body: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """Yield the `local-exec` provisioners of a resource."""
    for provisioner in nested_blocks(body.get("provisioner")):
        yield from nested_blocks(provisioner.get("local-exec"))


def _may_be_image(function: DeclaredFunction) -> bool:
    """Tell whether a function is an image, or may be one: modules of a registry name everything."""
    return function.is_image or function.package_type is None


def with_image_sources(
    found: Sequence[Module], calls: Sequence[ModuleCall], copies: Path | None = None
) -> tuple[Module, ...]:
    """Return modules whose container images have what the configuration says of their images.

    Args:
        found: the modules.
        calls: the calls of all modules.
        copies: the folder of copies that a program makes, whose Dockerfiles nobody edits.
    """
    modules = Modules(calls)
    completed: list[Module] = []
    for module in found:
        functions: list[DeclaredFunction] = []
        for function in module.functions:
            if _may_be_image(function):
                image = image_source(function.address, modules)
                if copies is not None:
                    image = image.outside(copies)
                functions.append(replace(function, image=image))
            else:
                functions.append(function)
        completed.append(replace(module, functions=tuple(functions)))
    return tuple(completed)
