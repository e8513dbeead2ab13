"""Where the Terraform configuration says how a function's container image is built.

`image_uri` is an expression. The references in it are followed: through variables, locals and the
outputs of modules to a `docker_image` of the kreuzwerker provider
(https://registry.terraform.io/providers/kreuzwerker/docker/latest/docs/resources/image), which
terraform-aws-modules/lambda//modules/docker-build has, too, or to an ECR repository. A
`docker build` in a `local-exec` provisioner that names the same repository builds the image.

It reads files and runs nothing. What only Terraform can compute is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, text
from terralive_terraform.discovery.declared import FUNCTION_TYPE, DeclaredFunction
from terralive_terraform.discovery.files import Module
from terralive_terraform.images.commands import build_commands
from terralive_terraform.images.scopes import Scope, nested, written
from terralive_terraform.images.source import ImageBuild, ImageSource

_REFERENCE: Final = re.compile(
    r"\b(?:(var|local)|module\.([\w-]+)(?:\[[^]]*\])?"
    r"|((?:data\.)?(?:docker|aws_ecr|null|terraform)_\w+))\.([\w-]+)"
)
# `123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders/resize:7`
_URI: Final = re.compile(r"\.dkr[.-]ecr\.[^/\s\"]*/([^:@\s\"\\]+)")
_COMMANDS: Final = frozenset(("null_resource", "terraform_data"))
_MODULE_OF_BUILDS: Final = "docker-build"


def image_source(address: str, root: Scope) -> ImageSource:
    """Return what the configuration says of a function's image.

    Args:
        address: the function's address.
        root: the root module.
    """
    scope = root.of_resource(address)
    if scope is None:
        return ImageSource()
    label = address.rpartition(f"{FUNCTION_TYPE}.")[2].partition("[")[0]
    function = scope.block("resource", FUNCTION_TYPE, label)
    search = _Search()
    search.follow(scope, function.get("image_uri"))
    search.follow(scope, function.get("depends_on"))
    if not search.builds:
        search.look_for_builders(scope)
    return ImageSource(
        tuple(dict.fromkeys(search.builds)),
        tuple(name for name in dict.fromkeys(search.names) if name),
    )


class _Search:
    """Follows the references of an expression."""

    def __init__(self) -> None:
        # The builds that were found, in their order.
        self.builds: list[ImageBuild] = []
        # The names of ECR repositories that were found.
        self.names: list[str] = []
        # Module and address of everything that was followed.
        self._seen: set[tuple[str, str]] = set()
        # The ECR repositories and Docker images among it, as an expression names them.
        self._images: set[str] = set()
        # The modules that were visited, by their keys.
        self._scopes: dict[str, Scope] = {}

    def follow(self, scope: Scope, value: Json) -> None:
        """Follow every reference of a value."""
        self._scopes[scope.key] = scope
        content = written(value)
        self.names += _URI.findall(content)
        for match in _REFERENCE.finditer(content):
            known = (scope.key, match[0])
            if known in self._seen:
                continue
            self._seen.add(known)
            kind, module, resource, name = match.groups()
            if kind == "var":
                found, where = scope.variable(name)
                self.follow(where, found)
            elif kind == "local":
                self.follow(scope, scope.local(name))
            elif module:
                self._follow_output(scope, module, name)
            else:
                self._follow_resource(scope, resource, name)

    def look_for_builders(self, scope: Scope) -> None:
        """Look for a `docker build` or `docker_image` of the same repository.

        The only one of the function's module serves, too, where no repository is known.
        """
        related: list[ImageBuild] = []
        others: list[ImageBuild] = []
        for visited in self._scopes.values():
            for (kind, name), block in _resources(visited):
                content = written(block)
                builds = _builds(visited, kind, name, block)
                if any(image in content for image in self._images):
                    related += builds
                elif visited is scope:
                    others += builds
        if related:
            self.builds = related
        elif len(others) == 1 and not self._images and not self.names:
            self.builds = others

    def _follow_output(self, scope: Scope, module: str, output: str) -> None:
        called = scope.called(module)
        call = scope.block("module", module)
        if called is not None:
            self.follow(called, called.block("output", output))
        if not self.builds and _MODULE_OF_BUILDS in text(call, "source"):
            # https://registry.terraform.io/modules/terraform-aws-modules/lambda/aws/latest/submodules/docker-build
            self._add(_of_docker_build(scope, module, call))
            self.names.append(scope.resolved(call.get("ecr_repo")))

    def _follow_resource(self, scope: Scope, kind: str, name: str) -> None:
        where, kind = ("data", kind[5:]) if kind.startswith("data.") else ("resource", kind)
        block = scope.block(where, kind, name)
        if kind in {"aws_ecr_repository", "docker_image", "docker_registry_image"}:
            self._images.add(f"{kind}.{name}")
        if kind == "aws_ecr_repository":
            self.names.append(scope.resolved(block.get("name")))
        elif kind == "aws_ecr_image":
            self.names.append(scope.resolved(block.get("repository_name")))
        for build in _builds(scope, kind, name, block):
            self._add(build)
        self.follow(scope, dict(block))

    def _add(self, build: ImageBuild | None) -> None:
        if build is not None:
            self.builds.append(build)


def _resources(scope: Scope) -> Iterator[tuple[tuple[str, str], dict[str, Json]]]:
    for labels, block in scope.document.get("resource", []):
        yield (labels[0], labels[1]), block


def _builds(scope: Scope, kind: str, name: str, block: dict[str, Json]) -> Iterator[ImageBuild]:
    """Yield the builds of a resource."""
    found_by = f"{kind}.{name}"
    if scope.key:
        found_by = f"module.{scope.key.replace('.', '.module.')}.{found_by}"
    if kind == "docker_image":
        build = nested(block, "build")
        context = scope.resolved(build.get("context"))
        if context:
            given = {**build, "arguments": build.get("build_args", build.get("build_arg"))}
            yield _build(scope, context, given, found_by)
    elif kind in _COMMANDS:
        for provisioner in _provisioners(block):
            folder = scope.root / scope.resolved(provisioner.get("working_dir"))
            for command in build_commands(scope.resolved(provisioner.get("command"))):
                context_path = (folder / command.context).resolve()
                dockerfile = context_path / "Dockerfile"
                if command.dockerfile:
                    dockerfile = (folder / command.dockerfile).resolve()
                yield ImageBuild(
                    dockerfile, context_path, command.target, command.arguments, found_by
                )


def _of_docker_build(scope: Scope, name: str, call: dict[str, Json]) -> ImageBuild | None:
    context = scope.resolved(call.get("source_path"))
    if not context:
        return None
    given = {
        "dockerfile": call.get("docker_file_path"),
        "target": call.get("build_target"),
        "arguments": call.get("build_args"),
    }
    return _build(scope, context, given, f"module.{name}")


def _build(scope: Scope, context: str, given: Mapping[str, Json], found_by: str) -> ImageBuild:
    """Return a build of the Docker provider: its Dockerfile is relative to the build context.

    Args:
        scope: the module that says it.
        context: the build context, relative to the folder that Terraform runs in.
        given: `dockerfile`, `target` and `arguments`, each an expression.
        found_by: what says it.
    """
    folder = (scope.root / context).resolve()
    dockerfile = scope.resolved(given.get("dockerfile")) or "Dockerfile"
    file = (folder / dockerfile).resolve()
    beside = (scope.root / dockerfile).resolve()
    if not file.is_file() and beside.is_file():
        file = beside
    target = scope.resolved(given.get("target")) or None
    return ImageBuild(file, folder, target, _arguments(scope, given.get("arguments")), found_by)


def _arguments(scope: Scope, value: Json) -> tuple[tuple[str, str], ...]:
    found = []
    for name, given in as_object(value).items():
        known = scope.resolved(given)
        if known and "${" not in known:
            found.append((name, known))
    return tuple(found)


def _provisioners(block: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Yield the `local-exec` provisioners of a resource."""
    value = block.get("provisioner")
    several = value if isinstance(value, list) else [value]
    for item in several:
        inner = as_object(item).get("local-exec")
        bodies = inner if isinstance(inner, list) else [inner]
        for body in bodies:
            if isinstance(body, dict):
                yield body


def _may_be_image(function: DeclaredFunction) -> bool:
    """Tell whether a function is an image, or may be one: modules of a registry name everything."""
    return function.is_image or function.package_type is None


def with_image_sources(
    modules: tuple[Module, ...], directory: Path, data_dir: Path
) -> tuple[Module, ...]:
    """Return modules whose container images have what the configuration says of their images.

    Args:
        modules: the modules.
        directory: the root module's folder.
        data_dir: where Terraform has put downloaded modules.
    """
    root: Scope | None = None
    completed: list[Module] = []
    for module in modules:
        functions: list[DeclaredFunction] = []
        for function in module.functions:
            if _may_be_image(function):
                root = root or Scope.of_root(directory, data_dir)
                functions.append(replace(function, image=image_source(function.address, root)))
            else:
                functions.append(function)
        completed.append(replace(module, functions=tuple(functions)))
    return tuple(completed)
