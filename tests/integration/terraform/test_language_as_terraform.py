"""terralive reads and computes Terraform's language as Terraform itself does.

All samples are child modules of one configuration without providers, which Terraform plans once.
"""

# ruff: noqa: E501  # a sample reads best in one line

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from terralive_stub.shared.json_documents import Json, section
from terralive_terraform.discovery.hcl.folders import read_folder
from terralive_terraform.discovery.hcl.scope import Scope
from terralive_terraform.discovery.hcl.values import is_known
from terralive_terraform.discovery.variables import variable_values

BINARY: Final = os.environ.get("TERRALIVE_TERRAFORM_BINARY", "terraform")
pytestmark = pytest.mark.skipif(shutil.which(BINARY) is None, reason="Terraform is not on PATH")

# Files that declare `local.value`. What terralive reads has to have the value that Terraform gives.
FILES: Final = {
    "a byte order mark": '\ufefflocals {\n  value = "a"\n}\n',
    "Windows line ends": 'locals {\r\n  value = [<<T\r\nx\r\n  y\r\nT\r\n  , "b"]\r\n}\r\n',
    "no line end": "locals { value = 1 }",
    "one line": "locals { value = { a = [1, 2,], b = { c = true } } }\n",
    "comments": '# {\n// "\n/* c\n } */ locals /* { */ { # e\n value = /* f */ [1 /* , */, # "\n 2] // g\n}',
    "words outside of ASCII": 'locals {\n  größe = "ü"\n  名 = 2\n  कि = 3\n  value = [local.größe, local.名, local.कि]\n}\n',
    "words with dashes": "locals {\n  a-b = 3\n  value = local.a-b - 1\n}\n",
    "escapes": 'locals {\n  value = "$${x} %%{y} $ % $$ \\" \\\\ \\n\\t \\u00e9 \\U0001F600 100%"\n}\n',
    "white space that is removed": 'locals {\n  value = "x ${~ "b" ~} y"\n}\n',
    "white space that stays": 'locals {\n  value = "x ${ "b" } y"\n}\n',
    "texts in texts": 'locals {\n  value = "a${"b${"c}"}{"}d"\n}\n',
    "an expression on several lines": 'locals {\n  value = "${\n upper(\n "x" # c }"\n)\n}"\n}\n',
    "a loop in a text": 'locals {\n  value = "%{ for x in ["a","b"] ~}${x},%{ endfor ~}"\n}\n',
    "a choice in a text": 'locals {\n  value = "%{ if true }y%{ else }n%{ endif }"\n}\n',
    "a heredoc": 'locals {\n  value = <<T\n\n hello "x" \\n } {\n T x\n$${no} %%{no}\nT\n}\n',
    "a heredoc that ends in white space": "locals {\n  value = <<T\nhello\n \t T \t\n}\n",
    "a heredoc without its indent": "locals {\n  value = <<-T\n      a\n\n    b\n  \n     c\n  T\n}\n",
    "a heredoc with tabs": "locals {\n  value = <<-T\n\t\ta\n\t  b\n  T\n}\n",
    "a heredoc of expressions": 'locals {\n  x = "X"\n  value = <<-T\n    ${local.x} a\n      ${local.x}\n  T\n}\n',
    "a heredoc that begins with an expression": 'locals {\n  value = <<-T\n${"x"} a\n    b\n  T\n}\n',
    "an empty heredoc": "locals {\n  value = <<T\nT\n}\n",
    "a heredoc in a heredoc": 'locals {\n  value = <<A\n${upper(<<B\nin } " \nB\n)}\nA\n}\n',
    "heredocs in a list": "locals {\n  value = [\n<<A\nx\nA\n,\n<<-A\n  y\n  A\n]\n}\n",
    "a heredoc as an argument": 'locals {\n  value = join("", [<<A\nx\nA\n  , "y"])\n}\n',
    "a heredoc with a loop": 'locals {\n  value = <<-T\n    %{ for x in ["a"] ~}\n    v = ${x}\n    %{ endfor ~}\n  T\n}\n',
    "a heredoc with an odd word": "locals {\n  value = <<END-OF_é1\nx\nEND-OF_é1\n}\n",
    "objects": 'locals {\n  value = { b : 1, "c" = 2\n d = 3, (upper("e")) = 4, 5 = 6, true = 7\n\n f = {} }\n}\n',
    "numbers": "locals {\n  value = [1e5, 1.5E-3, -1, 0.5, 100000000000, 2.0]\n}\n",
    "old indexes": "locals {\n  l = [{ a = [1, 2] }]\n  value = local.l.0.a.1\n}\n",
    "splats": "locals {\n  l = [{ a = 1 }]\n  value = [local.l.*.a, local.l[*].a]\n}\n",
    "loops": "locals {\n  value = [{ for k, v in { a = 1 } : k => v... if v != null }, [for x in [1] : x]]\n}\n",
    "brackets across lines": "locals {\n  value = (\n  true\n  ? 1 +\n 2\n  : [4][0]\n )\n}\n",
    "a comment in an expression": "locals {\n  value = 1 + /* x\n */ 2 * 3 - 4 / 2 // 5\n}\n",
    "expanded arguments": "locals {\n  value = concat([[1], [2]]...)\n}\n",
    "keywords as names": "locals {\n  for = 1\n  if = 2\n  in = { if = 3 }\n  value = [local.for, local.if, local.in.if]\n}\n",
    "a quoted label": 'variable "v" {\n  default = "d"\n}\nlocals {\n  value = var.v\n}\n',
    "a label without quotes": "variable v {\n  default = [1]\n}\nlocals {\n  value = var.v\n}\n",
    "typed variables": 'variable "v" {\n  type = string\n  default = 1\n}\nvariable "w" {\n  type = number\n  default = "2"\n}\nvariable "x" {\n  type = bool\n  default = "true"\n}\nlocals {\n  value = [var.v, var.w, var.x]\n}\n',
    "a variable that is not nullable": 'variable "v" {\n  nullable = false\n  default = "d"\n}\nlocals {\n  value = var.v\n}\n',
    "optional attributes": 'variable "v" {\n  type = object({ a = optional(string, "x") })\n  default = {}\n}\nlocals {\n  value = var.v.a\n}\n',
    "conversions in a choice": 'locals {\n  value = true ? 1 : "a"\n}\n',
    "paths": "locals {\n  value = [path.root, basename(path.module)]\n}\n",
    "a very long file": "locals {\n"
    + "".join(f'  a{n} = "v{n}"\n' for n in range(3000))
    + "  value = local.a2999\n}\n",
}
# Files of the same language that terralive does not compute, and has to say so.
NOT_COMPUTED: Final = {
    "a loop in a text",
    "a choice in a text",
    "a heredoc with a loop",
    "splats",
    "loops",
    "expanded arguments",
    "optional attributes",
}


def test_what_is_read_has_the_value_that_terraform_gives(tmp_path: Path) -> None:
    folders: dict[str, str] = {}
    for number, (name, content) in enumerate(FILES.items()):
        folders[name] = f"m{number}"
        (tmp_path / f"m{number}").mkdir()
        (tmp_path / f"m{number}" / "main.tf").write_bytes(content.encode())
    expected = values_of_terraform(tmp_path, list(folders.values()))
    for name, folder in folders.items():
        computed = value_of_terralive(tmp_path, folder)
        if name in NOT_COMPUTED:
            assert not computed, name
        else:
            assert computed == [expected[folder]], name


def test_whatever_is_computed_has_the_value_that_terraform_gives(tmp_path: Path) -> None:
    """Chance makes expressions. One that is an error in Terraform may have any value here."""
    seed = 13
    made = Expressions(random.Random(seed))
    expressions = [made.expression(kind, 5) for _ in range(50) for kind in MADE]
    (tmp_path / "m").mkdir()
    lines = [f"    try([{expression}], []),\n" for expression in expressions]
    (tmp_path / "m" / "main.tf").write_text(
        "".join(
            (
                'variable "null" {\n  default = null\n}\nvariable "list" {\n  default = []\n}\n',
                'variable "map" {\n  default = { a = "x", b = null }\n}\n',
                'variable "text" {\n  type = string\n  default = "a/b"\n}\n',
                "locals {\n  empty = length(var.list) > 0 ? var.list : []\n  value = [\n",
                *lines,
                "  ]\n}\n",
            )
        )
    )
    values = values_of_terraform(tmp_path, ["m"])["m"]
    assert isinstance(values, list)
    known = 0
    wrong: list[tuple[str, Json, list[Json]]] = []
    (tmp_path / "one").mkdir()
    for expression, value in zip(expressions, values, strict=True):
        text = (tmp_path / "m" / "main.tf").read_text().partition("  value =")[0]
        (tmp_path / "one" / "main.tf").write_text(f"{text}  value = {expression}\n}}\n")
        computed = value_of_terralive(tmp_path, "one")
        if computed and value != []:
            known += 1
            if computed != value:
                wrong.append((expression, value, computed))
    assert not wrong, "\n".join(map(str, wrong))
    # Most are computed, or the test says little.
    assert known > len(expressions) / 2


# Expressions by the types of their values; `{text}` in them is another expression of that type.
MADE: Final[dict[str, tuple[str, ...]]] = {
    "text": (
        *(
            '"a"',
            '""',
            '"${var.text}-x"',
            "var.text",
            "path.root",
            "var.map.a",
            "tostring({number})",
        ),
        *('"x${{text}}y"', 'join("-", {list})', 'format("%s/%s", {text}, {number})'),
        *('replace({text}, "a", {text})', "basename({text})", "dirname({text})", "upper({text})"),
        *("trimspace({text})", "coalesce({text}, {text})", "{truth} ? {text} : {text}"),
        *('lookup({object}, "a", {text})', '{object}["a"]', "{list}[0]", "try({list}[1], {text})"),
    ),
    "number": (
        *("0", "1", "2.5", "length({list})", "length({object})", "length({text})", "-{number}"),
        *("{number} + {number}", "{number} * {number}", "{number} - {number}", "{number} / 4"),
        *('tonumber("12")', "{truth} ? {number} : {number}", "{number} % 3", "min({number}, 2)"),
    ),
    "truth": (
        *("true", "false", "!{truth}", "{truth} && {truth}", "{truth} || {truth}", "{any} == null"),
        *("{any} != null", "{number} < {number}", "{number} >= {number}", "{text} == {text}"),
        *("{any} == {any}", "{any} != {any}", "contains({list}, {text})", 'tobool("true")'),
    ),
    "list": (
        *("[]", "var.list", "local.empty", "[{text}, {text}]", "keys({object})", "[{text}]"),
        *("values({object})", "concat({list}, {list})", "compact({list})", "flatten([{list}])"),
        *(
            "{truth} ? {list} : []",
            "tolist({list})",
            "toset({list})",
            "flatten([[{list}], {list}])",
            "[{number}]",
            "tolist([{number}, {text}])",
            "{truth} ? [{number}] : [{text}]",
            "{truth} ? {list} : [{truth}]",
        ),
    ),
    "object": (
        *("{}", "var.map", "{ a = {text} }", "{ ({text}) = {text}, b = {text} }"),
        *("merge({object}, {object})", "{truth} ? {object} : {object}", "merge({object}, null)"),
    ),
    "any": (
        "null",
        "var.null",
        *["{truth}"] * 3,
        "{text}",
        "{number}",
        "{truth}",
        "{list}",
        "{object}",
    ),
}
PART: Final = re.compile(r"\{(text|number|truth|list|object|any)\}")


class Expressions:
    """Makes expressions by chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def expression(self, kind: str, depth: int) -> str:
        choices = MADE[kind]
        if depth == 0:
            choices = tuple(item for item in choices if not PART.search(item))
        made = self.chance.choice(choices)
        return PART.sub(lambda part: f"({self.expression(part[1], depth - 1)})", made)


def value_of_terralive(root: Path, folder: str) -> list[Json]:
    """Return the value of `local.value` as a list of one; [] where it is not known."""
    document = read_folder(root / folder, lambda *_: True)
    assert document.unreadable == (), folder
    content = document.content
    scope = Scope(
        variables=variable_values(section(content, "variable"), {}),
        locals=section(content, "locals"),
        paths={"root": ".", "module": folder},
    )
    value = scope.local("value")
    if not is_known(value):
        return []
    plain: Json = json.loads(json.dumps(value))
    return [plain]


def values_of_terraform(root: Path, folders: list[str]) -> dict[str, Json]:
    """Return the value of `local.value` in each folder, as a plan of Terraform shows it."""
    configuration = ""
    for folder in folders:
        (root / folder / "outputs.tf").write_text("output value { value = local.value }\n")
        configuration += f'module "{folder}" {{\n  source = "./{folder}"\n}}\n'
        configuration += f'output "{folder}" {{\n  value = module.{folder}.value\n}}\n'
    (root / "main.tf").write_text(configuration)
    run(root, "init", "-backend=false")
    run(root, "plan", "-out=plan")
    shown = json.loads(run(root, "show", "-json", "plan"))
    outputs = section(section(shown, "planned_values"), "outputs")
    found: dict[str, Json] = {}
    for folder in folders:
        found[folder] = section(outputs, folder).get("value")
        (root / folder / "outputs.tf").unlink()
    return found


def run(root: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [BINARY, arguments[0], "-no-color", *arguments[1:]],
        cwd=root,
        env={**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
