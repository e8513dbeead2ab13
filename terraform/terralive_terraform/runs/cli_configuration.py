"""The user's CLI configuration of Terraform, and files that replace it without a loss.

A file that `TF_CLI_CONFIG_FILE` names replaces the user's whole CLI configuration, also the tokens
of `terraform login`. So a file of terralive's begins with all of the user's settings. Only one file
may have a `provider_installation` block, so that of the user is kept apart.

https://developer.hashicorp.com/terraform/cli/config/config-file
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, parse_object

VARIABLE: Final = "TF_CLI_CONFIG_FILE"
# Terraform still reads its old name.
_VARIABLES: Final = (VARIABLE, "TERRAFORM_CONFIG")
_INSTALLATION: Final = "provider_installation"
_DEVELOPMENT: Final = "dev_overrides"
_DEFAULT_REGISTRY: Final = "registry.terraform.io"
# One string, comment or word, or one other character.
_PART: Final = re.compile(
    r'"(?:\\.|[^"\\\n])*"|(?:#|//)[^\n]*|/\*.*?\*/|[\w-]+|\S', re.DOTALL | re.ASCII
)
# Comments, and what may stand between arguments.
_IGNORED: Final = ("#", "//", "/*", ",")
# Their blocks have a label.
_LABELLED: Final = ("credentials", "credentials_helper", "host")
_OPENING: Final = ("{", "[")
_CLOSING: Final = ("}", "]")


@dataclass(frozen=True, slots=True)
class CliConfiguration:
    """The user's CLI configuration.

    Attributes:
        settings: all settings but `provider_installation`, in HCL. They may hold tokens.
        caches_plugins: whether they have a `plugin_cache_dir`.
        has_installation: whether the user has a `provider_installation` block.
        in_development: the folders of providers in development (`dev_overrides`), by address.
        tokens: the tokens, by host name.
    """

    settings: str = field(default="", repr=False)
    caches_plugins: bool = False
    has_installation: bool = False
    in_development: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    def with_installation(
        self, methods: str, in_development: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the content of a file with the user's settings and another installation.

        Args:
            methods: the installation methods, in HCL.
            in_development: further providers in development. Those of the user come first.
        """
        lines: list[str] = []
        for address, folder in {**(in_development or {}), **self.in_development}.items():
            lines.append(f"    {_text(address)} = {_text(folder)}\n")
        overrides = ""
        if lines:
            overrides = f"  {_DEVELOPMENT} {{\n{''.join(lines)}  }}\n"
        return f"{self.settings}{_INSTALLATION} {{\n{overrides}{methods}}}\n".encode()


def users_configuration(environ: Mapping[str, str]) -> CliConfiguration:
    """Read the user's CLI configuration. A file that cannot be read is left out."""
    settings: list[str] = []
    caches_plugins = has_installation = False
    in_development: dict[str, str] = {}
    tokens: dict[str, str] = {}
    for file in _files(environ):
        content = _native(file)
        for item in _items(content):
            if item.name == _INSTALLATION:
                has_installation = True
                in_development |= _development(item)
                continue
            caches_plugins = caches_plugins or item.name == "plugin_cache_dir"
            tokens |= _tokens(item)
            settings.append(item.source + "\n")
    return CliConfiguration(
        "".join(settings), caches_plugins, has_installation, in_development, tokens
    )


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files in Terraform's order. With a variable, Terraform reads that file only."""
    for name in _VARIABLES:
        if environ.get(name):
            yield Path(environ[name])
            return
    home = Path(environ.get("HOME", "/nonexistent"))
    yield home / ".terraformrc"
    folder = home / ".terraform.d"
    yield from sorted([*folder.glob("*.tfrc"), *folder.glob("*.tfrc.json")])


def _native(file: Path) -> str:
    """Return the content of a file in HCL; "" for a file that cannot be read."""
    try:
        content = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    if not content.lstrip().startswith("{"):
        return content
    return "\n".join(_from_json(parse_object(content)))


def _from_json(document: Mapping[str, Json]) -> Iterator[str]:
    """Yield the settings of a document in HCL."""
    for name, value in document.items():
        if name in _LABELLED and isinstance(value, dict):
            for label, body in value.items():
                yield from _blocks(f"{name} {_text(label)}", body)
        else:
            yield from _blocks(_text(name), value)


def _blocks(head: str, value: Json) -> Iterator[str]:
    """Yield an object as a block, a list of objects as several, and any other value."""
    several = value if isinstance(value, list) and value else [value]
    if not all(isinstance(item, dict) for item in several):
        yield f"{head} = {_text(value)}"
        return
    for item in several:
        if isinstance(item, dict):
            body = [part for name, inner in item.items() for part in _blocks(_text(name), inner)]
            yield "\n".join([f"{head} {{", *body, "}"])


def _text(value: Json) -> str:
    """Return a value in HCL, which JSON's values are part of."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Item:
    """One block or argument.

    Attributes:
        name: its name.
        label: its label; "" for none.
        value: the content of a block in HCL, or the value of an argument.
        source: the whole of it in HCL.
    """

    name: str
    label: str = field(repr=False)
    value: str = field(repr=False)
    source: str = field(repr=False)


def _items(content: str) -> Iterator[_Item]:
    """Yield the blocks and arguments of a text in HCL, without those in nested blocks."""
    # The name and the label of the item that is read, and where it and its content begin.
    words: list[str] = []
    start = inside = 0
    is_argument = False
    for match in _outer_parts(content):
        part = match[0]
        if not words:
            start = match.start()
        if part == "=":
            is_argument = True
            continue
        if part in _OPENING:
            inside = match.end()
            continue
        if part in _CLOSING:
            value = content[inside : match.start()]
        elif is_argument:
            value = _unquoted(part)
        else:
            words.append(_unquoted(part))
            continue
        if words:
            yield _Item(words[0], " ".join(words[1:]), value, content[start : match.end()])
        words, is_argument = [], False


def _outer_parts(content: str) -> Iterator[re.Match[str]]:
    """Yield the words and strings of a text that are in no brackets, and its outer brackets."""
    depth = 0
    for match in _PART.finditer(content):
        if match[0].startswith(_IGNORED):
            continue
        if match[0] in _CLOSING:
            depth -= 1
        if depth == 0:
            yield match
        if match[0] in _OPENING:
            depth += 1


def _unquoted(text: str) -> str:
    """Return the text of a string; anything else as it is."""
    if not text.startswith('"') or not text.endswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def _development(installation: _Item) -> dict[str, str]:
    """Return the folders of providers in development that an installation names, by address."""
    found: dict[str, str] = {}
    for method in _items(installation.value):
        if method.name == _DEVELOPMENT:
            for item in _items(method.value):
                found[_full_address(item.name)] = item.value
    return found


def _full_address(address: str) -> str:
    """Return the address of a provider with its registry.

    https://developer.hashicorp.com/terraform/language/providers/requirements#source-addresses
    """
    if address.count("/") == 1:
        return f"{_DEFAULT_REGISTRY}/{address}"
    return address


def _tokens(item: _Item) -> dict[str, str]:
    """Return the token of a `credentials` block, by host name."""
    if item.name != "credentials":
        return {}
    for argument in _items(item.value):
        if argument.name == "token":
            return {item.label: argument.value}
    return {}
