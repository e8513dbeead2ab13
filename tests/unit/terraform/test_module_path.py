"""`path.module` in a copy of a module names the module's own folder."""

from __future__ import annotations

import json

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.overrides.module_path import in_json_syntax, in_native_syntax

FOLDER = "../../modules/jobs"


@pytest.mark.parametrize(
    ("original", "copy"),
    [
        ("a = path.module", f'a = "{FOLDER}"'),
        ('a = "${path.module}/src"', f'a = "${{"{FOLDER}"}}/src"'),
        ('a = "${ path . module }"', f'a = "${{ "{FOLDER}" }}"'),
        ('a = file("${path.module}/x")', f'a = file("${{"{FOLDER}"}}/x")'),
        ('a = "${join("/", [path.module, "x"])}"', f'a = "${{join("/", ["{FOLDER}", "x"])}}"'),
        ('a = { b = path.module, c = "${path.module}" }',) * 2,
        ("a = [for p in x : {path = path.module}]", f'a = [for p in x : {{path = "{FOLDER}"}}]'),
        (
            'a = "%{ if path.module == "" }x%{ endif }"',
            f'a = "%{{ if "{FOLDER}" == "" }}x%{{ endif }}"',
        ),
        ("a = <<EOT\n${path.module}/x\nEOT\nb = path.module\n", None),
        ("a = <<-EOT\n  ${path.module}\n  EOT\n", None),
    ],
)
def test_expressions_get_the_modules_folder(original: str, copy: str | None) -> None:
    if copy is None or copy == original:
        copy = original.replace("path.module", f'"{FOLDER}"')
    assert in_native_syntax(original, FOLDER) == copy


@pytest.mark.parametrize(
    "content",
    [
        'a = "see path.module"',
        'a = "$${path.module}"',
        'a = "\\"${"x"}\\" path.module"',
        "# path.module\n// path.module\n/* path.module\npath.module */",
        "a = <<EOT\npath.module $${path.module}\nEOT\n",
        "a = local.path.module",
        "a = var.path .module",
        "a = my_path.module",
        "a = path.module_name + path.root + path.cwd",
        'a = "unterminated ${path',
        "",
    ],
)
def test_texts_comments_and_other_references_stay(content: str) -> None:
    assert in_native_syntax(content, FOLDER) == content


def test_a_brace_or_quote_in_a_text_does_not_end_an_expression() -> None:
    original = 'a = "${replace("}\\"", "x", path.module)}/${path.module}"'
    assert in_native_syntax(original, FOLDER) == original.replace("path.module", f'"{FOLDER}"')


def test_a_folder_with_a_strange_name_computes_nothing() -> None:
    assert in_native_syntax("a = path.module", 'm"${x}%{y}') == 'a = "m\\"$${x}%%{y}"'


def test_files_in_json_syntax_are_read_as_terraform_reads_them() -> None:
    document: dict[str, dict[str, Json]] = {
        "locals": {"a": "${path.module}/x", "b": "path.module", "c": ["$${path.module}", 1, None]}
    }
    document["locals"]["d"] = {"${path.module}/x": 1, "$${path.module}": 2, "path.module": 3}
    changed = json.loads(in_json_syntax(json.dumps(document), FOLDER))
    assert changed["locals"].pop("d") == {
        f'${{"{FOLDER}"}}/x': 1,
        "$${path.module}": 2,
        "path.module": 3,
    }
    assert changed == {
        "locals": {"a": f'${{"{FOLDER}"}}/x', "b": "path.module", "c": ["$${path.module}", 1, None]}
    }
    assert in_json_syntax("{ no json", FOLDER) == "{ no json"
