"""Local code of the functions of a plan."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.code import CodeNotFound, FoundCode, find_code
from terralive_terraform.evaluation.functions import planned_functions
from terralive_testing.fakes.plan_document import PlanDocument, References

API = "aws_lambda_function.api"
CODE = "data.archive_file.code"
PYTHON: dict[str, Json] = {"handler": "app.handler", "runtime": "python3.13"}
HANDLER = "def handler(event, context):\n    return 1\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with `src/app.py`."""
    write(tmp_path / "src" / "app.py", HANDLER)
    return tmp_path


def write(file: Path, content: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def found(plan: PlanDocument, project: Path, address: str = API) -> FoundCode | CodeNotFound:
    evaluation = plan.evaluation(project)
    return find_code(evaluation, planned_functions(evaluation), project)[address]


def function(
    plan: PlanDocument,
    address: str = API,
    *,
    references: References | None = None,
    unknown: tuple[str, ...] = (),
    **values: str,
) -> None:
    not_known: dict[str, Json] = dict.fromkeys(unknown, True)
    plan.managed(address, {**PYTHON, **values}, unknown=not_known, references=references)


@pytest.mark.parametrize(
    "source",
    [
        {"source_dir": "./src"},
        {"source_file": "src/app.py"},
        {"source_content": HANDLER, "source_content_filename": "app.py"},
        {"source": [{"content": HANDLER, "filename": "app.py"}]},
    ],
)
@pytest.mark.parametrize("address", ["archive_file.code", "data.archive_file.code"])
def test_the_code_of_an_archive_is_what_the_archive_is_made_of(
    project: Path, source: dict[str, Json], address: str
) -> None:
    plan = PlanDocument()
    function(plan, filename="./code.zip")
    add = plan.data if address.startswith("data.") else plan.managed
    add(address, {"output_path": "code.zip", **source})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {address}")


def test_an_archive_is_found_by_its_sum(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="built-by-a-script.zip", source_code_hash="c3Vt")
    sums: dict[str, Json] = {"output_path": "/dev/null", "output_base64sha256": "c3Vt"}
    plan.data(CODE, {"source_dir": "src", **sums})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {CODE}")


def test_an_archive_behind_an_s3_object_is_found(project: Path) -> None:
    plan = PlanDocument()
    function(plan, s3_key="code.zip", unknown=("s3_bucket",))
    plan.managed("aws_s3_object.code", {"key": "code.zip", "source": "code.zip"})
    plan.data(CODE, {"source_dir": "src", "output_path": "code.zip"})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {CODE}")


def test_an_archive_whose_values_are_not_known_is_found_by_references(project: Path) -> None:
    plan = PlanDocument()
    function(
        plan,
        "module.fn.aws_lambda_function.api",
        unknown=("filename",),
        references={"filename": ["var.zip"]},
    )
    plan.call("module.fn", {"zip": ["module.package.zip"]})
    plan.output("module.package", "zip", ["data.archive_file.code.output_path"])
    plan.data("module.package.data.archive_file.code", {"source_dir": "src"})
    assert found(plan, project, "module.fn.aws_lambda_function.api") == FoundCode(
        project / "src", "archive_file module.package.data.archive_file.code"
    )


def test_each_instance_has_the_archive_of_its_own_key(project: Path) -> None:
    plan = PlanDocument()
    for key in ("a", "b"):
        write(project / key / "app.py", HANDLER)
        function(
            plan,
            f'{API}["{key}"]',
            unknown=("filename",),
            references={"filename": ["data.archive_file.code", "each.key"]},
        )
        plan.data(f'{CODE}["{key}"]', {"source_dir": key})
    for key in ("a", "b"):
        code = found(plan, project, f'{API}["{key}"]')
        assert code == FoundCode(project / key, f'archive_file {CODE}["{key}"]')


def test_several_source_blocks_are_one_folder(project: Path) -> None:
    write(project / "src" / "shared" / "db.py", "TABLE = 1\n")
    write(project / "copy" / "db.py", "TABLE = 1\n")
    plan = PlanDocument()
    function(plan, filename="code.zip")
    sources: Json = [
        {"content": HANDLER, "filename": "app.py"},
        {"content": "TABLE = 1\n", "filename": "shared/db.py"},
        {"content": "", "filename": "shared/__init__.py"},
    ]
    plan.data(CODE, {"output_path": "code.zip", "source": sources})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {CODE}")


def test_a_file_that_the_archive_renames_has_another_handler_here(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="code.zip", handler="index.handler")
    sources: Json = [{"content": HANDLER, "filename": "index.py"}]
    plan.data(CODE, {"output_path": "code.zip", "source": sources})
    code = found(plan, project)
    assert code == FoundCode(project / "src", f"archive_file {CODE}", handler="app.handler")


def test_code_that_stands_in_the_configuration_is_no_file(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="code.zip")
    other = "def handler(event, context):\n    return {'statusCode': 200}\n"
    plan.data(
        CODE, {"output_path": "code.zip", "source": [{"content": other, "filename": "app.py"}]}
    )
    code = found(plan, project)
    assert isinstance(code, CodeNotFound)
    assert code.reason.startswith("the configuration itself makes app.py of archive_file")


def test_the_code_of_a_placeholder_is_found_by_its_handler(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="placeholder.zip")
    sources: Json = [{"content": "placeholder", "filename": "dummy.txt"}]
    plan.data(CODE, {"output_path": "placeholder.zip", "source": sources})
    assert found(plan, project) == FoundCode(project / "src", "handler src/app.py")


MODULE = "module.orders.aws_lambda_function.this[0]"
PACKAGE = "module.orders.data.external.archive_prepare[0]"


def packaged(plan: PlanDocument, source: Json, handler: str = "app.handler") -> None:
    """Add a function as terraform-aws-modules/lambda packages it."""
    function(plan, MODULE, filename="builds/3f2a.zip", handler=handler)
    query: Json = {"source_path": json.dumps(source), "runtime": "python3.13"}
    result: Json = {"filename": "builds/3f2a.zip", "was_missing": "true"}
    plan.data(PACKAGE, {"query": query, "result": result})


@pytest.mark.parametrize(
    "source",
    [
        "./src",
        "./src/app.py",
        ["./src/app.py", {"pip_requirements": "requirements.txt", "prefix_in_zip": "vendor"}],
        [{"path": "src", "pip_requirements": True, "patterns": ["!tests/.*"]}],
        ["lib", "src"],
        {"path": "src", "commands": [":zip", "cd `mktemp -d`", "pip install x", ":zip . vendor/"]},
        [{"path": ".", "commands": ["pip install -t src x", "cd src", ":zip"]}],
        [{"path": "src", "commands": "npm ci && cd ../src\n:zip"}],
        [{"path": "src/app.py", "poetry_install": True}],
    ],
)
def test_the_code_of_a_packaged_function_is_its_source_path(project: Path, source: Json) -> None:
    write(project / "lib" / "shared.py")
    write(project / "requirements.txt")
    plan = PlanDocument()
    packaged(plan, source)
    code = found(plan, project, MODULE)
    assert isinstance(code, FoundCode)
    assert (code.path, code.found_by) == (project / "src", "source_path of module.orders")
    assert code.handler is None


def test_other_folders_of_a_package_are_named(project: Path) -> None:
    write(project / "lib" / "shared.py")
    plan = PlanDocument()
    packaged(plan, ["src", "lib"])
    code = found(plan, project, MODULE)
    assert isinstance(code, FoundCode)
    assert code.note == "its package also has lib, which is not in that folder"


def test_the_code_of_a_downloaded_module_comes_with_a_note(project: Path) -> None:
    write(project / ".terraform" / "modules" / "slack" / "functions" / "app.py", HANDLER)
    plan = PlanDocument()
    packaged(plan, ".terraform/modules/slack/functions/app.py")
    code = found(plan, project, MODULE)
    assert isinstance(code, FoundCode)
    assert code.path == project / ".terraform" / "modules" / "slack" / "functions"
    assert "Terraform has downloaded it" in code.note


def test_a_prefix_in_the_zip_is_no_folder_here(project: Path) -> None:
    plan = PlanDocument()
    packaged(plan, [{"path": "src", "prefix_in_zip": "orders"}], handler="orders.app.handler")
    code = found(plan, project, MODULE)
    assert code == FoundCode(project / "src", "source_path of module.orders", handler="app.handler")


def test_commands_that_build_are_named(project: Path) -> None:
    write(project / "app" / "dist" / "app.py", HANDLER)
    plan = PlanDocument()
    commands: Json = ["make build", "cd dist", ":zip"]
    packaged(plan, [{"path": "app", "commands": commands}])
    code = found(plan, project, MODULE)
    assert isinstance(code, FoundCode)
    assert "make build" in code.note


def test_a_package_of_another_module_is_found_by_its_zip(project: Path) -> None:
    plan = PlanDocument()
    function(plan, "module.fn.aws_lambda_function.this[0]", filename="builds/3f2a.zip")
    query: Json = {"source_path": '"src"'}
    result: Json = {"filename": "builds/3f2a.zip"}
    plan.data("module.package.data.external.archive_prepare[0]", {"query": query, "result": result})
    code = found(plan, project, "module.fn.aws_lambda_function.this[0]")
    assert code == FoundCode(project / "src", "source_path of module.package")


def test_the_sources_that_sam_reads_are_used(project: Path) -> None:
    write(project / "other" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="build/fn.zip")
    triggers: Json = {
        "resource_name": API,
        "resource_type": "ZIP_LAMBDA_FUNCTION",
        "original_source_code": "./src",
        "built_output_path": "build/fn.zip",
    }
    plan.managed("null_resource.sam_metadata", {"triggers": triggers})
    code = found(plan, project)
    assert code == FoundCode(project / "src", "original_source_code of null_resource.sam_metadata")


def test_a_folder_that_a_build_gets_is_used(project: Path) -> None:
    write(project / "other" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="build/fn.zip", references={"depends_on": []})
    plan.managed(
        "module.fn.aws_lambda_function.this",
        {**PYTHON, "filename": "build/fn2.zip"},
        depends_on=["null_resource.build"],
    )
    plan.managed("module.fn.null_resource.build", {"triggers": {"source": "./src", "h": "a/b"}})
    code = found(plan, project, "module.fn.aws_lambda_function.this")
    assert code == FoundCode(project / "src", "source of module.fn.null_resource.build")


def zipped(file: Path, **members: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/") + ".py", content)


def test_a_zip_is_the_folder_whose_files_it_has(project: Path) -> None:
    write(project / "other" / "app.py", "def handler(event, context):\n    return 2\n")
    zipped(project / "dist" / "fn.zip", app=HANDLER, boto3____init__="")
    plan = PlanDocument()
    function(plan, filename="dist/fn.zip")
    assert found(plan, project) == FoundCode(project / "src", "content of dist/fn.zip")


def test_a_zip_with_older_code_is_the_folder_with_the_edited_file(project: Path) -> None:
    code = "import logging\nimport boto3\nclient = boto3.client('dynamodb')\n\n"
    older = f"{code}def handler(event, context):\n    return client.describe_table(Name='orders')\n"
    write(project / "src" / "app.py", older.replace("orders", "invoices_table"))
    write(project / "other" / "app.py", "def handler(message, scope):\n    print(message, scope)\n")
    zipped(project / "fn.zip", app=older)
    plan = PlanDocument()
    function(plan, filename="fn.zip")
    assert found(plan, project) == FoundCode(project / "src", "content of fn.zip")


def test_a_zip_whose_files_are_in_no_folder_has_no_local_code(project: Path) -> None:
    other = (
        "import stripe\n\ndef handler(invoice, scope):\n    stripe.Invoice.pay(invoice['number'])\n"
    )
    zipped(project / "fn.zip", app=other)
    plan = PlanDocument()
    function(plan, filename="fn.zip")
    code = found(plan, project)
    assert code == CodeNotFound("no folder of the repository has the files of fn.zip")


def test_equal_files_are_told_apart_by_the_other_files_of_the_zip(project: Path) -> None:
    write(project / "other" / "app.py", HANDLER)
    write(project / "src" / "orders.py", "ORDERS = 1\n")
    write(project / "other" / "orders.py", "ORDERS = 2\n")
    zipped(project / "fn.zip", app=HANDLER, orders="ORDERS = 1\n")
    plan = PlanDocument()
    function(plan, filename="fn.zip")
    assert found(plan, project) == FoundCode(project / "src", "content of fn.zip")


def test_a_copy_that_a_build_has_made_is_not_what_the_team_edits(project: Path) -> None:
    write(project / "build" / "app.py", HANDLER)
    write(project / "build" / "requests" / "__init__.py")
    plan = PlanDocument()
    function(plan, filename="code.zip")
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "build"})
    found_by = f"archive_file {CODE}, copied from src"
    assert found(plan, project) == FoundCode(project / "src", found_by)


NODE = {"handler": "index.handler", "runtime": "nodejs22.x"}
BUNDLE = "exports.handler=async()=>1;\n//# sourceMappingURL=index.js.map\n"


def test_a_bundle_comes_with_the_command_that_builds_it(tmp_path: Path) -> None:
    write(tmp_path / "api" / "src" / "index.ts", "export const handler = async () => 1\n")
    write(tmp_path / "api" / "dist" / "index.js", BUNDLE)
    sources = {"sources": ["../node_modules/x/y.js", "../src/index.ts"]}
    write(tmp_path / "api" / "dist" / "index.js.map", json.dumps(sources))
    write(tmp_path / "api" / "package.json", '{"scripts": {"build": "esbuild src/index.ts"}}')
    plan = PlanDocument()
    plan.managed(API, {"filename": "code.zip", **NODE})
    plan.data(CODE, {"output_path": "code.zip", "source_file": "api/dist/index.js"})
    code = found(plan, tmp_path)
    assert isinstance(code, FoundCode)
    assert code.path == tmp_path / "api" / "dist"
    assert code.note == "`npm --prefix api run build` builds it"
    assert code.settings == (
        'build = "npm --prefix api run build"',
        'watch = ["../src/**"]',
    )


def test_typescript_that_is_not_built_is_named(tmp_path: Path) -> None:
    write(tmp_path / "package.json", '{"scripts": {"build": "tsc"}}')
    write(tmp_path / "src" / "index.ts", "export const handler = async () => 1\n")
    plan = PlanDocument()
    plan.managed(API, {"filename": "code.zip", **NODE})
    code = found(plan, tmp_path)
    assert isinstance(code, CodeNotFound)
    assert "TypeScript of its handler is not built: src/index.ts" in code.reason
    assert "`npm run build` may build it" in code.reason


@pytest.mark.parametrize(
    ("handler", "runtime", "file", "folder"),
    [
        ("app.handler", "python3.13", "src/app.py", "src"),
        ("orders.app.handler", "python3.13", "src/orders/app.py", "src"),
        ("orders/app.handler", "python3.13", "src/orders/app.py", "src"),
        ("orders.handler", "python3.13", "src/orders/__init__.py", "src"),
        ("index.handler", "nodejs22.x", "fn/index.mjs", "fn"),
        ("src/index.handler", "nodejs22.x", "fn/src/index.js", "fn"),
        ("app.handler", "ruby3.3", "fn/app.rb", "fn"),
        ("main", "provided.al2023", "out/bootstrap", "out"),
    ],
)
def test_the_only_file_of_a_handler_is_found(
    tmp_path: Path, handler: str, runtime: str, file: str, folder: str
) -> None:
    write(tmp_path / file, "def handler(): pass  # exports.handler\n")
    write(tmp_path / "node_modules" / file, "exports.handler = 1\n")
    write(tmp_path / ".terraform" / file, "exports.handler = 1\n")
    write(tmp_path / "env3" / "pyvenv.cfg")
    write(tmp_path / "env3" / file, "handler\n")
    plan = PlanDocument()
    function(plan, filename="code.zip", handler=handler, runtime=runtime)
    assert found(plan, tmp_path) == FoundCode(tmp_path / folder, f"handler {file}")


def test_several_files_of_a_handler_are_listed_and_none_is_chosen(project: Path) -> None:
    write(project / "other" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip")
    code = found(plan, project)
    assert isinstance(code, CodeNotFound)
    assert "other/app.py, src/app.py" in code.reason


def test_a_zip_that_is_not_there_is_named(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="build/worker.zip", handler="worker.run")
    code = found(plan, project)
    assert isinstance(code, CodeNotFound)
    assert code.reason.startswith("build/worker.zip does not exist, and no worker.py in the")


def test_a_test_is_no_code_where_there_is_other_code(project: Path) -> None:
    write(project / "tests" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip")
    assert found(plan, project) == FoundCode(project / "src", "handler src/app.py")


@pytest.mark.parametrize(
    "values",
    [
        {"filename": "lambdas/list/lambda.zip"},
        {"filename": "lambdas/list.zip"},
        {"filename": "lambdas/list/dist/x.zip"},
        {"filename": "x.zip", "function_name": "acme-dev-list"},
        {"s3_bucket": "code", "s3_key": "releases/list/1.2.3.zip"},
    ],
)
def test_the_zip_and_the_name_tell_one_of_several_files(
    tmp_path: Path, values: dict[str, str]
) -> None:
    for name in ("list", "create", "list-all"):
        write(tmp_path / "lambdas" / name / "app.py", HANDLER)
    plan = PlanDocument()
    plan.managed(API, {**PYTHON, **values})
    code = found(plan, tmp_path)
    assert isinstance(code, FoundCode)
    assert code.path == tmp_path / "lambdas" / "list"


def test_the_file_of_another_function_is_not_taken(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="code.zip")
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    function(plan, "aws_lambda_function.other", filename="other.zip")
    assert isinstance(found(plan, project, "aws_lambda_function.other"), CodeNotFound)


def test_one_file_is_not_the_code_of_two_zips(project: Path) -> None:
    plan = PlanDocument()
    function(plan, filename="a.zip")
    function(plan, "aws_lambda_function.other", filename="b.zip")
    for address in (API, "aws_lambda_function.other"):
        assert isinstance(found(plan, project, address), CodeNotFound)


def test_the_project_of_the_configuration_comes_before_others(tmp_path: Path) -> None:
    write(tmp_path / "apps" / "orders" / "src" / "app.py", HANDLER)
    write(tmp_path / "apps" / "billing" / "src" / "app.py", HANDLER)
    directory = tmp_path / "apps" / "orders" / "terraform" / "prod"
    directory.mkdir(parents=True)
    plan = PlanDocument()
    function(plan, filename="x.zip")
    evaluation = plan.evaluation(directory)
    code = find_code(evaluation, planned_functions(evaluation), tmp_path)[API]
    assert isinstance(code, FoundCode)
    assert code.path == tmp_path / "apps" / "orders" / "src"


def test_a_container_image_has_no_code_in_a_zip(project: Path) -> None:
    plan = PlanDocument()
    function(plan, package_type="Image", handler="app.handler")
    assert found(plan, project) == CodeNotFound("it is a container image")


def test_a_java_function_is_found_where_its_archive_says_so(tmp_path: Path) -> None:
    write(tmp_path / "target" / "app.jar")
    plan = PlanDocument()
    java = {"handler": "com.acme.App::handle", "runtime": "java21"}
    plan.managed(API, {"filename": "app.zip", **java})
    plan.data(CODE, {"output_path": "app.zip", "source_file": "target/app.jar"})
    assert found(plan, tmp_path) == FoundCode(tmp_path / "target", f"archive_file {CODE}")
    other = "aws_lambda_function.other"
    plan.managed(other, {"filename": "target/app.jar", **java})
    assert isinstance(found(plan, tmp_path, other), CodeNotFound)


def test_the_folder_of_a_modules_argument_is_used(project: Path) -> None:
    write(project / "other" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, "module.fn.aws_lambda_function.this", filename="fn.zip")
    plan.argument("module.fn", "code", "src")
    plan.argument("module.fn", "name", "fn")
    code = found(plan, project, "module.fn.aws_lambda_function.this")
    assert code == FoundCode(project / "src", "code of module.fn")


@pytest.mark.parametrize(
    "command", ["cp -r src/*.py build && zip -r fn.zip build", "cd src; zip -r ../fn.zip ."]
)
def test_the_folder_of_a_literal_command_is_used(project: Path, command: str) -> None:
    write(project / "other" / "app.py", HANDLER)
    write(project / "build" / "app.py", HANDLER)
    plan = PlanDocument()
    plan.managed(API, {**PYTHON, "filename": "fn.zip"}, depends_on=["null_resource.zip"])
    plan.managed("null_resource.zip", {}, command=command)
    code = found(plan, project)
    assert code == FoundCode(project / "src", "a command of null_resource.zip")


def test_code_that_an_apply_builds_comes_with_the_command(tmp_path: Path) -> None:
    write(tmp_path / "server" / "src" / "index.ts", "export const handler = async () => 1\n")
    write(tmp_path / "server" / "package.json", '{"scripts": {"build": "tsc"}}')
    plan = PlanDocument()
    plan.managed(API, {"handler": "dist/index.handler", "runtime": "nodejs22.x", "filename": "a"})
    plan.data(CODE, {"output_path": "a", "source_dir": "server"})
    code = found(plan, tmp_path)
    assert code == CodeNotFound(
        "archive_file data.archive_file.code is made of server, which has no dist/index.js yet: "
        "`npm --prefix server run build` may build it",
        ('path = "server"', 'build = "npm --prefix server run build"', 'watch = ["src/**"]'),
        FoundCode(tmp_path / "server", "TypeScript server/src/index.ts", "src/index.handler"),
    )
    write(tmp_path / "server" / "dist" / "index.js", "exports.handler = async () => 1\n")
    code = found(plan, tmp_path)
    assert isinstance(code, FoundCode)
    assert code.settings[1] == 'watch = ["src/**"]'


def test_functions_of_one_folder_have_their_own_handlers_in_it(project: Path) -> None:
    write(project / "src" / "jobs.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip")
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    function(plan, "aws_lambda_function.jobs", filename="jobs.zip", handler="jobs.handler")
    code = found(plan, project, "aws_lambda_function.jobs")
    assert code == FoundCode(project / "src", "handler src/jobs.py")


def test_the_same_object_in_the_buckets_of_two_regions_is_one_zip(project: Path) -> None:
    plan = PlanDocument()
    for region in ("eu", "us"):
        address = f"aws_lambda_function.{region}"
        function(plan, address, s3_bucket=f"code-{region}", s3_key="api.zip")
    for region in ("eu", "us"):
        code = found(plan, project, f"aws_lambda_function.{region}")
        assert code == FoundCode(project / "src", "handler src/app.py")


def test_an_asset_of_a_cdktf_program_is_the_folder_that_it_was_made_of(project: Path) -> None:
    stack = project / "cdktf.out" / "stacks" / "orders"
    write(stack / "assets" / "code" / "3F2A" / "app.py", HANDLER)
    zipped(stack / "assets" / "code" / "3F2A" / "archive.zip", app=HANDLER)
    plan = PlanDocument()
    function(plan, filename="assets/code/3F2A/archive.zip", source_code_hash="3F2A")
    evaluation = plan.evaluation(stack)
    code = find_code(evaluation, planned_functions(evaluation), project)[API]
    assert isinstance(code, FoundCode)
    assert code.path == project / "src"
    assert code.found_by == "content of TerraformAsset code"


def test_each_call_of_a_module_has_the_code_of_its_own_input(project: Path) -> None:
    plan = PlanDocument()
    for name in ("a", "b"):
        write(project / name / "app.py", HANDLER)
        module = f'module.fn["{name}"]'
        function(
            plan,
            f"{module}.aws_lambda_function.this",
            unknown=("filename",),
            references={"filename": ["data.archive_file.code.output_path"]},
        )
        plan.data(f"{module}.data.archive_file.code", {"source_dir": name})
    for name in ("a", "b"):
        code = found(plan, project, f'module.fn["{name}"].aws_lambda_function.this')
        assert isinstance(code, FoundCode)
        assert code.path == project / name


def test_a_copy_that_git_ignores_is_not_what_the_team_edits(project: Path) -> None:
    write(project / "zips" / "fn" / "app.py", HANDLER)
    write(project / ".gitignore", "/zips/\n")
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    plan = PlanDocument()
    function(plan, filename="zips/fn.zip")
    plan.data(CODE, {"output_path": "zips/fn.zip", "source_dir": "zips/fn"})
    code = found(plan, project)
    assert code == FoundCode(project / "src", f"archive_file {CODE}, copied from src")


def test_another_checkout_in_the_repository_is_no_code(project: Path) -> None:
    write(project / "other" / "src" / "app.py", HANDLER)
    write(project / "other" / ".git", "gitdir: /x/.git/worktrees/other\n")
    write(project / ".agents" / "src" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip")
    assert found(plan, project) == FoundCode(project / "src", "handler src/app.py")


def test_a_handler_that_a_layer_has_is_run_with_the_archives_folder(project: Path) -> None:
    write(project / "vendor" / "datadog_lambda" / "handler.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip", handler="datadog_lambda.handler.handler")
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    assert found(plan, project) == FoundCode(project / "src", f"archive_file {CODE}")


def test_archives_that_do_not_agree_are_no_code(project: Path) -> None:
    write(project / "other" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip")
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "src"})
    plan.data("data.archive_file.again", {"output_path": "code.zip", "source_dir": "other"})
    assert isinstance(found(plan, project), CodeNotFound)


def test_a_zip_with_a_random_name_is_the_archive_with_the_same_name(project: Path) -> None:
    write(project / "other" / "app.py", HANDLER)
    plan = PlanDocument()
    address = "module.fn.aws_lambda_function.this[0]"
    function(plan, address, unknown=("filename",), references={"filename": ["var.package"]})
    plan.call("module.fn", {"package": ["local.folder", "random_uuid.name.result"]})
    plan.managed("random_uuid.name", {"keepers": {"app.py": "3f2a"}}, unknown={"result": True})
    plan.managed("random_uuid.other", {}, unknown={"result": True})
    for name, folder in (("name", "src"), ("other", "other")):
        references = {"output_path": ["local.folder", f"random_uuid.{name}.result"]}
        plan.data(f"data.archive_file.{name}", {"source_dir": folder}, references=references)
    code = found(plan, project, address)
    assert code == FoundCode(project / "src", "archive_file data.archive_file.name")


def test_a_file_of_another_configuration_is_no_code(tmp_path: Path) -> None:
    for pattern in ("orders", "billing/terraform"):
        write(tmp_path / pattern / "main.tf")
    write(tmp_path / "billing" / "src" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip")
    evaluation = plan.evaluation(tmp_path / "orders")
    code = find_code(evaluation, planned_functions(evaluation), tmp_path)[API]
    assert isinstance(code, CodeNotFound)
    write(tmp_path / "services" / "app.py", HANDLER)
    code = find_code(evaluation, planned_functions(evaluation), tmp_path)[API]
    assert code == FoundCode(tmp_path / "services", "handler services/app.py")


def test_a_file_of_a_module_is_code(tmp_path: Path) -> None:
    write(tmp_path / "envs" / "prod" / "main.tf")
    write(tmp_path / "modules" / "orders" / "main.tf")
    write(tmp_path / "modules" / "orders" / "src" / "app.py", HANDLER)
    plan = PlanDocument()
    address = "module.orders.aws_lambda_function.this"
    function(plan, address, filename="code.zip")
    plan.source("module.orders", "../../modules/orders")
    evaluation = plan.evaluation(tmp_path / "envs" / "prod")
    code = find_code(evaluation, planned_functions(evaluation), tmp_path)[address]
    assert code == FoundCode(
        tmp_path / "modules" / "orders" / "src", "handler modules/orders/src/app.py"
    )


def test_code_outside_of_the_project_is_used_where_an_archive_names_it(tmp_path: Path) -> None:
    # The folder above is no build's, whatever its name is.
    project, shared = tmp_path / "build" / "project", tmp_path / "build" / "shared"
    write(shared / "app.py", HANDLER)
    write(project / "other" / "app.py", HANDLER)
    plan = PlanDocument()
    function(plan, filename="code.zip")
    plan.data(CODE, {"output_path": "code.zip", "source_dir": "../shared"})
    assert found(plan, project) == FoundCode(shared, f"archive_file {CODE}")
