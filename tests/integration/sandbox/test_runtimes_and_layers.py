"""Deployed Node.js functions, and what layers bring to functions.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html
https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.event_sources import logged
from terralive_testing.deployers.sandbox import OWN_PYTHON, Aws, running_sandbox, unique
from terralive_testing.machine.processes import wait_until_frozen
from terralive_testing.machine.waiting import eventually

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")
PYTHON = OWN_PYTHON
NODE = "nodejs20.x"
# A pause in which an event loop that is not frozen would go on.
PAUSE_SECONDS = 0.5


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def with_packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A sandbox that was started where NODE_PATH names a folder with a package like the SDK."""
    folder = tmp_path_factory.mktemp("packages") / "node_modules"
    package = folder / "@aws-sdk" / "client-sns"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@aws-sdk/client-sns", "main": "a.js"}')
    (package / "a.js").write_text("exports.found = 'of this machine';")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODE_PATH", str(folder))
        with running_sandbox(tmp_path_factory.mktemp("with-packages")) as info:
            yield Aws(info)


def zipped(files: Mapping[str, str]) -> bytes:
    """A zip file; files that begin with #! can be executed."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            if text.startswith("#!"):
                entry.external_attr = 0o755 << 16
            archive.writestr(entry, text)
    return buffer.getvalue()


def function(
    aws: Aws,
    runtime: str,
    files: Mapping[str, str],
    *,
    layers: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> str:
    """A function whose handler is `app.handler`; its ARN."""
    return aws.lambda_.create_function(
        FunctionName=unique("function"),
        Runtime=cast("Any", runtime),
        Handler="app.handler",
        Role=aws.role({"Effect": "Allow", "Action": "logs:*", "Resource": "*"}),
        Code={"ZipFile": zipped(files)},
        Timeout=20,
        MemorySize=256,
        Layers=list(layers),
        Environment={"Variables": dict(variables or {})},
    )["FunctionArn"]


def layer(aws: Aws, files: Mapping[str, str], name: str = "") -> str:
    """A layer version; its ARN."""
    made = aws.lambda_.publish_layer_version(
        LayerName=name or unique("layer"), Content={"ZipFile": zipped(files)}
    )
    return str(made["LayerVersionArn"])


def invoke(aws: Aws, arn: str, event: object = None) -> Any:  # noqa: ANN401 - JSON
    answer = aws.lambda_.invoke(FunctionName=arn, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read())


def tail(aws: Aws, arn: str) -> str:
    answer = aws.lambda_.invoke(FunctionName=arn, LogType="Tail")
    return base64.b64decode(answer["LogResult"]).decode()


# Python


def test_a_python_function_runs_on_the_version_that_its_runtime_names(aws: Aws) -> None:
    source = """
import importlib.util, sys
def handler(event, context):
    included = [name for name in ("boto3", "moto") if importlib.util.find_spec(name)]
    return {"version": "%d.%d" % sys.version_info[:2], "included": included}
"""
    others = [f"3.{minor}" for minor in (13, 12, 10) if f"python3.{minor}" != OWN_PYTHON]
    version = next((found for found in others if pyenv_has(found)), None)
    if version is None:
        pytest.skip("pyenv has no other Python")
    arn = function(aws, f"python{version}", {"app.py": source})
    assert invoke(aws, arn) == {"version": version, "included": ["boto3"]}


def pyenv_has(version: str) -> bool:
    return any((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}"))


# Node.js


@needs_node
def test_a_node_function_runs_with_its_roles_credentials_and_is_frozen_in_between(aws: Aws) -> None:
    source = """
    let longest = 0;
    let last = performance.now();
    setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    exports.handler = async (event, context) => {
      console.log("seen", event.a);
      await new Promise((go) => setTimeout(go, 50));
      const { env } = process;
      return {
        event, arn: context.invokedFunctionArn, memory: context.memoryLimitInMB, longest,
        key: env.AWS_ACCESS_KEY_ID, execution: env.AWS_EXECUTION_ENV, region: env.AWS_REGION,
        endpoint: env.AWS_ENDPOINT_URL, root: env.LAMBDA_TASK_ROOT, folder: process.cwd(),
        pid: process.pid, own: env.COLOUR,
      };
    };
    """
    arn = function(aws, NODE, {"app.js": source}, variables={"COLOUR": "green"})
    first = invoke(aws, arn, {"a": "ü"})
    assert (first["event"], first["arn"], first["memory"]) == ({"a": "ü"}, arn, "256")
    assert first["key"].startswith("ASIA")
    assert (first["execution"], first["region"]) == (f"AWS_Lambda_{NODE}", aws.info.region)
    assert (first["endpoint"], first["own"]) == (aws.info.endpoint, "green")
    assert first["root"] == first["folder"]
    wait_until_frozen(first["pid"])
    log = tail(aws, arn)
    assert "INFO\tseen undefined" in log
    assert "Init Duration" not in log
    wait_until_frozen(first["pid"])
    time.sleep(PAUSE_SECONDS)
    second = invoke(aws, arn, {})
    assert second["pid"] == first["pid"]
    # An event loop that is not frozen goes on during the pause, too.
    assert second["longest"] >= PAUSE_SECONDS * 1000


@needs_node
def test_an_es_module_and_its_errors(aws: Aws) -> None:
    source = """
    import { readFileSync } from "node:fs";
    import { word } from "./lib/word.mjs";
    export const handler = async (event) => {
      if (event === "fail") throw new RangeError("too far");
      return word + readFileSync(new URL("./data.txt", import.meta.url), "utf8");
    };
    """
    files = {"app.mjs": source, "lib/word.mjs": "export const word = 'an ';", "data.txt": "order"}
    arn = function(aws, "nodejs22.x", files)
    assert invoke(aws, arn) == "an order"
    failed = invoke(aws, arn, "fail")
    assert (failed["errorType"], failed["errorMessage"]) == ("RangeError", "too far")
    assert "app.mjs" in failed["trace"][1]


@needs_node
@pytest.mark.parametrize("file", ["app.js", "app.mjs"])
def test_without_the_aws_sdk_the_log_says_where_it_may_come_from(aws: Aws, file: str) -> None:
    source = "const sns = require('@aws-sdk/client-sns'); exports.handler = async () => sns.found;"
    if file == "app.mjs":
        source = "import sns from '@aws-sdk/client-sns'; export const handler = () => sns.found;"
    arn = function(aws, NODE, {file: source})
    failed = invoke(aws, arn)
    assert "@aws-sdk/client-sns" in failed["errorMessage"]
    hint = "terralive's sandbox has no AWS SDK for JavaScript"
    eventually(lambda: any(hint in line for line in logged(aws, arn)), hint)
    # In the zip file it is found.
    package = {
        "node_modules/@aws-sdk/client-sns/package.json": '{"main": "a.js"}',
        "node_modules/@aws-sdk/client-sns/a.js": "exports.found = 'in the zip';",
    }
    asynchronous = source.replace("() =>", "async () =>").replace("async async", "async")
    assert invoke(aws, function(aws, NODE, {file: asynchronous, **package})) == "in the zip"


@needs_node
@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("app.js", "exports.handler = async () => require('@aws-sdk/client-sns').found;"),
        (
            "app.mjs",
            "import s from '@aws-sdk/client-sns'; export const handler = async () => s.found;",
        ),
    ],
    ids=["require", "import"],
)
def test_packages_where_the_sandbox_was_started_stand_for_those_of_lambdas_runtime(
    with_packages: Aws, file: str, source: str
) -> None:
    aws = with_packages
    assert invoke(aws, function(aws, NODE, {file: source})) == "of this machine"
    own = layer(
        aws, {"nodejs/node_modules/@aws-sdk/client-sns/index.js": "exports.found = 'layer';"}
    )
    assert invoke(aws, function(aws, NODE, {file: source}, layers=(own,))) == "layer"


# Layers


@needs_node
@pytest.mark.parametrize("folder", ["nodejs/node_modules", "nodejs/node20/node_modules"])
@pytest.mark.parametrize("file", ["app.js", "app.mjs"])
def test_a_node_function_finds_packages_of_its_layer(aws: Aws, folder: str, file: str) -> None:
    shared = layer(aws, {f"{folder}/greet/index.js": "exports.word = 'hello';"})
    source = "const greet = require('greet'); exports.handler = async () => greet.word;"
    if file == "app.mjs":
        source = "import greet from 'greet'; export const handler = async () => greet.word;"
    assert invoke(aws, function(aws, NODE, {file: source}, layers=(shared,))) == "hello"


def test_a_python_function_finds_modules_programs_and_files_of_its_layers(aws: Aws) -> None:
    first = layer(
        aws,
        {
            "python/greet.py": "WORD = 'first'",
            "python/mine.py": "WORD = 'layer'",
            "python/boto3/__init__.py": "WORD = 'the layer has its own boto3'",
            f"python/lib/{PYTHON}/site-packages/deep.py": "WORD = 'deep'",
            "bin/shout": "#!/bin/sh\necho HELLO\n",
            "data/colour.txt": "green",
        },
    )
    second = layer(aws, {"python/greet.py": "WORD = 'second'", "custom/far.py": "WORD = 'far'"})
    source = """
import os, subprocess
import boto3, deep, far, greet, mine
def handler(event, context):
    return {
        "words": [greet.WORD, mine.WORD, deep.WORD, far.WORD, boto3.WORD],
        "said": subprocess.run(["shout"], capture_output=True, text=True).stdout,
        "opt": os.path.exists("/opt/data/colour.txt"),
        "writable": os.access(os.path.dirname(os.path.dirname(greet.__file__)), os.W_OK),
        "tmpdir": os.environ["TMPDIR"],
    }
"""
    arn = function(
        aws,
        PYTHON,
        {"app.py": source, "mine.py": "WORD = 'zip'"},
        layers=(first, second),
        variables={"PYTHONPATH": "/opt/custom"},
    )
    got = invoke(aws, arn)
    assert got["words"] == ["second", "zip", "deep", "far", "the layer has its own boto3"]
    assert got["said"] == "HELLO\n"
    described = aws.lambda_.get_function(FunctionName=arn)["Configuration"]["Layers"]
    assert [item["Arn"] for item in described] == [first, second]
    assert all(item["CodeSize"] > 100 for item in described)
    if got["tmpdir"] != "/tmp":  # noqa: S108 - the function reports it
        pytest.skip("this machine allows no mount namespaces: /opt is its own")
    if any(Path(prefix).is_relative_to("/opt") for prefix in (sys.prefix, sys.base_prefix)):
        pytest.skip("Python itself is in /opt")
    assert got["opt"]


def test_other_layers_are_another_deployment_and_a_deleted_version_stays_with_its_function(
    aws: Aws,
) -> None:
    name = unique("layer")
    first = layer(aws, {"python/greet.py": "WORD = 1"}, name)
    source = "import greet\ndef handler(event, context):\n    return greet.WORD\n"
    arn = function(aws, PYTHON, {"app.py": source}, layers=(first,))
    aws.lambda_.delete_layer_version(LayerName=name, VersionNumber=1)
    assert invoke(aws, arn) == 1
    second = layer(aws, {"python/greet.py": "WORD = 2"}, name)
    aws.lambda_.update_function_configuration(FunctionName=arn, Layers=[second])
    assert invoke(aws, arn) == 2
    aws.lambda_.update_function_configuration(FunctionName=arn, Layers=[])
    assert invoke(aws, arn)["errorType"] == "Runtime.ImportModuleError"
    with pytest.raises(ClientError, match=r"Layer version .* does not exist"):
        aws.lambda_.update_function_configuration(FunctionName=arn, Layers=[first])


def test_a_wrapper_of_a_layer_starts_the_runtime(aws: Aws) -> None:
    wrapper = layer(aws, {"wrap/start": '#!/bin/sh\nexport COLOUR=green\nexec "$@"\n'})
    source = "import os\ndef handler(event, context):\n    return os.environ.get('COLOUR')\n"
    arn = function(
        aws,
        PYTHON,
        {"app.py": source},
        layers=(wrapper,),
        variables={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap/start"},
    )
    assert invoke(aws, arn) == "green"


def test_layers_that_the_sandbox_does_not_have_are_kept_and_named_when_the_function_runs(
    aws: Aws,
) -> None:
    source = {"app.py": "def handler(event, context):\n    return 1\n"}
    tools = f"arn:aws:lambda:{aws.info.region}:017000801446:layer:Powertools:19"
    arn = function(aws, PYTHON, source, layers=(tools,))
    kept = aws.lambda_.get_function_configuration(FunctionName=arn)["Layers"]
    assert [item["Arn"] for item in kept] == [tools]
    with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*another account.*Powertools:19"):
        invoke(aws, arn)
    extension = layer(aws, {"extensions/insights": "#!/bin/sh\n"})
    arn = function(aws, PYTHON, source, layers=(extension,))
    with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*extensions.*insights"):
        invoke(aws, arn)
    elsewhere = f"arn:aws:lambda:eu-west-1:{aws.info.account_id}:layer:a:1"
    for missing in (elsewhere, f"arn:aws:lambda:{aws.info.region}:{aws.info.account_id}:layer:a:1"):
        with pytest.raises(ClientError, match="InvalidParameterValueException"):
            function(aws, PYTHON, source, layers=(missing,))
