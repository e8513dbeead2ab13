"""Reading Terraform's language: what is understood, and what an error costs."""

from __future__ import annotations

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.blocks import Fault, read_document

BEFORE = 'resource "aws_lambda_function" "a" {\n  handler = "a.h"\n}\n'
AFTER = (
    'resource "aws_lambda_function" "c" {\n  handler = "c.h"\n}\nmodule "d" { source = "./d" }\n'
)


def value_of(expression: str) -> Json:
    document = read_document(f"a = {expression}\n".encode())
    assert document.faults == ()
    return document.content["a"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('"plain"', "plain"),
        (r'"a\n\t\"\\ \u00e9 \U0001F600"', 'a\n\t"\\ é 😀'),
        ('"$${x} %%{y} $ % 100%"', "$${x} %%{y} $ % 100%"),
        ('"a${var.b}c"', "a${var.b}c"),
        ('"${~ var.b ~}"', "${~ var.b ~}"),
        ('"${"}"}"', '${"}"}'),
        ('"%{ for x in [1] ~}${x}%{ endfor ~}"', "%{ for x in [1] ~}${x}%{ endfor ~}"),
        ("<<T\nhello\n  T  ", "hello\n"),
        ("<<-T\n    a\n      b\n\n    ${var.c}\n  T", "a\n  b\n\n${var.c}\n"),
        ('<<T\n } " \\ ${upper(<<U\n}\nU\n)} T\nT', ' } " \\ ${upper(<<U\n}\nU\n)} T\n'),
        ("<<T\nT", ""),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('[1, "a", # b\n  [var.c],\n]', [1, "a", ["${var.c}"]]),
        ('{ a = 1, "b" : 2\n c = { d = null } }', {"a": 1, "b": 2, "c": {"d": None}}),
        ("{ (var.a) = 1 }", {"${(var.a)}": 1}),
        ("[for x in var.y : x if x != null]", "${[for x in var.y : x if x != null]}"),
        ("{ for k, v in var.y : k => v... }", "${{ for k, v in var.y : k => v... }}"),
        ("var.a ? [] : [1] # why", "${var.a ? [] : [1]}"),
        ("(\n  var.a\n  && true\n)", "${(\n  var.a\n  && true\n)}"),
        ("local.l.*.a.0[*]", "${local.l.*.a.0[*]}"),
        ("provider::aws::arn_parse(var.a)", "${provider::aws::arn_parse(var.a)}"),
        ("größe.名", "${größe.名}"),
    ],
)
def test_an_expression_reads_as_terraforms_json_syntax_has_it(expression: str, value: Json) -> None:
    assert value_of(expression) == value


@pytest.mark.parametrize(
    "text",
    [
        'module "x" {\n  source = "./m"\n}\n',
        'module x {\n  source = "./m"\n}\n',
        'module x { source = "./m" }',
        '\ufeffmodule "x" {\r\n  source = "./m"\r\n}\r\n',
        '/* { */ module /* a */ "x" { # {\n  source = "./m" // "\n  /* } */\n}\n',
        'locals { a = "${"{"}" }\nmodule "x" {\n\n  source\t=\t"./m"\n\n}',
        'locals {\n  a = <<E\nmodule "y" {\nE\n}\nmodule "x" {\n  source = "./m"\n}\n',
    ],
)
def test_a_block_is_found_however_it_is_written(text: str) -> None:
    document = read_document(text.encode())
    assert document.faults == ()
    assert document.content["module"] == [{"x": {"source": "./m"}}]


@pytest.mark.parametrize(
    ("broken", "line", "labels"),
    [
        ('resource "aws_lambda_function" "b" {{{', 4, ("aws_lambda_function", "b")),
        ('resource "x" "b" {\n  handler =\n}', 5, ("x", "b")),
        ('resource "x" "b" {\n  handler = "b\n}', 5, ("x", "b")),
        ('resource "x" "b" {\n  a = [1, 2\n}', 6, ("x", "b")),
        ('resource "x" "b" {\n  a = 1 2\n}', 5, ("x", "b")),
        ('resource "x" "b" {\n  handler = "b"\n', 4, ("x", "b")),
        ('resource "x" "b" {\n  a = <<T\nfoo\n}', 5, ("x", "b")),
        ('resource "x" "b" {\n  a = "${b"\n}', 5, ("x", "b")),
        (r'resource "x" "b" {' + '\n  a = "\\w"\n}', 5, ("x", "b")),
        ("<<<<<<< HEAD\nlocals {}\n=======\n>>>>>>> b", 4, ()),
        ("}", 4, ()),
        ('"resource" "x" "b" {}', 4, ()),
        ("resource x b {\n  a = " + "(" * 5000 + "\n}", 5, ("x", "b")),
    ],
)
def test_an_error_costs_the_block_that_it_stands_in(
    broken: str, line: int, labels: tuple[str, ...]
) -> None:
    document = read_document(f"{BEFORE}{broken}\n{AFTER}".encode())
    found = document.content["resource"]
    assert isinstance(found, list)
    assert {"aws_lambda_function": {"a": {"handler": "a.h"}}} in found
    assert {"aws_lambda_function": {"c": {"handler": "c.h"}}} in found
    assert document.content["module"] == [{"d": {"source": "./d"}}]
    first = document.faults[0]
    assert (first.line, first.labels) == (line, labels)


def test_a_variables_file_loses_only_the_value_that_cannot_be_read() -> None:
    document = read_document(b'a = "1"\nb = = 2\nc = ["3"]\n')
    assert document.content == {"a": "1", "c": ["3"]}
    assert document.faults == (Fault(2, "an expression is missing"),)


def test_a_byte_that_is_no_text_is_named_and_costs_nothing_else() -> None:
    document = read_document(b'module "x" {\n  source = "./m"\n}\n# \xff\n')
    assert document.content["module"] == [{"x": {"source": "./m"}}]
    assert document.faults == (Fault(4, "it is not UTF-8"),)


def test_an_error_in_a_block_that_nobody_asks_for_is_not_reported() -> None:
    text = b'resource "x" "b" {\n  a = 1 2\n}\nmodule "d" { source = "./d" }\n'
    document = read_document(text, lambda kind, _: kind == "module")
    assert document == read_document(b'module "d" { source = "./d" }\n')
