"""Environment variables of a function in Lambda that would run code or write files here.

Every case starts a real worker, whose handler runs the tool that reads the variable, as handlers
do. The payload leaves a mark: a file. It works where the project allows the variable, so that a
payload that never works cannot pass for one that is kept out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent

import pytest

from terralive_relay.events import Warned
from terralive_relay.pool.pool import Pool
from terralive_testing.drivers.workers import Recorder, invocation, local_function
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

BASE_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")
USER_SITE = sysconfig.get_path("purelib", "posix_user", vars={"userbase": "base"})
RUNS_A_TOOL = """
    import subprocess
    def handler(event, context):
        if event:
            subprocess.run(event, stdin=subprocess.DEVNULL, timeout=20, check=False)
        return "done"
    """
NODE_HANDLER = """
    let loaded = 'nothing'
    try { loaded = require('planted') } catch {}
    exports.handler = async () => 'done'
    """
BASH_RUNTIME = """
    api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
    headers=$(mktemp)
    curl -sS -D "$headers" "$api/next" > /dev/null
    id=$(grep -i '^lambda-runtime-aws-request-id' "$headers" | tr -d '[:space:]' | cut -d: -f2)
    rm -f "$headers"
    curl -sS -X POST "$api/$id/response" -d '"done"' > /dev/null
    sleep 60
    """


@dataclass(frozen=True)
class Case:
    """One payload.

    Attributes:
        name: of the test.
        variables: the function's environment. `{mark}` is the file that the payload makes,
            `{script}` a program that makes it, `{folder}` a folder with the files below.
        run: the tool that the handler runs, and its arguments.
        files: relative path and content of files; the same placeholders.
        runtime: `python`, `node` or `bash`, which the worker itself is.
        needs: a program on PATH.
    """

    name: str
    variables: dict[str, str]
    run: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    runtime: str = "python"
    needs: str = "sh"


PYTHON_MARK = "open({mark!r}, 'w').close()\n"
NODE_MARK = "require('fs').writeFileSync({mark!r}, '')\n"
GIT_CONFIG = '[alias]\n\tplanted = "!touch {mark}"\n'
KUBECTL_CONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:1"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: touch
      args: ["{mark}"]
      interactiveMode: Never
"""
LIBRARY = """
    #include <stdio.h>
    __attribute__((constructor)) static void mark(void) {{
        FILE *made = fopen("{mark}", "w");
        if (made) fclose(made);
    }}
    """

CASES = [
    # Python
    Case("pythonpath", {"PYTHONPATH": "{folder}"}, files={"sitecustomize.py": PYTHON_MARK}),
    Case(
        "pythonpath that leaves the code",
        {"PYTHONPATH": "/var/task/../elsewhere"},
        files={"sitecustomize.py": PYTHON_MARK},
    ),
    Case(
        "pythonwarnings",
        {"PYTHONWARNINGS": "all:0:antigravity.x:0:0", "BROWSER": "touch {mark} %s"},
    ),
    Case(
        "pythonstartup",
        {"PYTHONSTARTUP": "{folder}/startup.py"},
        (sys.executable, "-i"),
        {"startup.py": PYTHON_MARK},
    ),
    Case(
        "pythonbreakpoint",
        {"PYTHONBREAKPOINT": "antigravity.geohash", "BROWSER": "touch {mark} %s"},
        (sys.executable, "-c", "breakpoint()"),
    ),
    Case(
        "pythonuserbase",
        {"PYTHONUSERBASE": "{folder}/base"},
        (BASE_PYTHON, "-c", ""),
        {f"{USER_SITE}/usercustomize.py": PYTHON_MARK},
    ),
    Case(
        "browser", {"BROWSER": "touch {mark} %s"}, (sys.executable, "-m", "webbrowser", "http://x")
    ),
    Case(
        "sslkeylogfile",
        {"SSLKEYLOGFILE": "{mark}"},
        (sys.executable, "-c", "import ssl; ssl.create_default_context()"),
    ),
    Case(
        "credential process",
        {"AWS_CONFIG_FILE": "{folder}/config"},
        (sys.executable, "-c", "import boto3; boto3.Session().get_credentials()"),
        {"config": "[default]\ncredential_process = {script}\n"},
    ),
    # Node.js
    Case(
        "node options: a file",
        {"NODE_OPTIONS": "--enable-source-maps --require {folder}/planted.js"},
        files={"planted.js": NODE_MARK},
        runtime="node",
        needs="node",
    ),
    Case(
        "node options: code in the option",
        {
            "NODE_OPTIONS": "--import=data:text/javascript,"
            "import{{writeFileSync}}from'node:fs';writeFileSync('{mark}','')"
        },
        runtime="node",
        needs="node",
    ),
    Case(
        "node options: an output file",
        {"NODE_OPTIONS": "--redirect-warnings={mark}"},
        ("node", "-e", "process.emitWarning('x')"),
        needs="node",
    ),
    Case("node's coverage", {"NODE_V8_COVERAGE": "{mark}"}, ("node", "-e", "0"), needs="node"),
    Case(
        "node path",
        {"NODE_PATH": "{folder}"},
        files={"planted.js": NODE_MARK},
        runtime="node",
        needs="node",
    ),
    Case(
        "node's prompt",
        {"NODE_REPL_EXTERNAL_MODULE": "{folder}/planted.js"},
        ("node", "-i"),
        {"planted.js": NODE_MARK},
        needs="node",
    ),
    Case(
        "npm",
        {"npm_config_script_shell": "{script}"},
        ("npm", "--prefix", "{folder}", "run", "x"),
        {"package.json": '{{"scripts": {{"x": "true"}}}}'},
        needs="npm",
    ),
    # Shells
    Case(
        "bash env",
        {"BASH_ENV": "{folder}/planted"},
        files={"planted": "touch {mark}\n"},
        runtime="bash",
        needs="curl",
    ),
    Case("env", {"ENV": "{folder}/planted"}, ("sh", "-i"), {"planted": "touch {mark}\n"}),
    Case("prompt command", {"PROMPT_COMMAND": "touch {mark}"}, ("bash", "--norc", "-i")),
    Case("prompt", {"PS1": "$(touch {mark})"}, ("bash", "--norc", "-i")),
    Case(
        "a shell's history",
        {"HISTFILE": "{mark}", "HISTSIZE": "9"},
        ("bash", "--norc", "-i", "-c", "set -o history; history -s x; history -w"),
    ),
    # Git and what it runs
    Case("git ssh command", {"GIT_SSH_COMMAND": "{script}"}, ("git", "ls-remote", "ssh://x/y")),
    Case("git ssh", {"GIT_SSH": "{script}"}, ("git", "ls-remote", "ssh://x/y")),
    Case("git proxy", {"GIT_PROXY_COMMAND": "{script}"}, ("git", "ls-remote", "git://x/y")),
    Case(
        "git configuration",
        {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "alias.planted",
            "GIT_CONFIG_VALUE_0": "!touch {mark}",
        },
        ("git", "planted"),
    ),
    Case(
        "git configuration file",
        {"GIT_CONFIG_GLOBAL": "{folder}/config"},
        ("git", "planted"),
        {"config": GIT_CONFIG},
    ),
    Case(
        "xdg configuration",
        {"XDG_CONFIG_HOME": "{folder}"},
        ("git", "planted"),
        {"git/config": GIT_CONFIG},
    ),
    Case(
        "git's programs",
        {"GIT_EXEC_PATH": "{folder}"},
        ("git", "planted"),
        {"git-planted": "#!/bin/sh\ntouch {mark}\n"},
    ),
    Case(
        "git editor",
        {"GIT_EDITOR": "{script}"},
        ("sh", "-c", "git init -q {folder} && git -C {folder} commit --allow-empty"),
    ),
    Case(
        "editor",
        {"EDITOR": "{script}"},
        ("sh", "-c", "git init -q {folder} && git -C {folder} commit --allow-empty"),
    ),
    Case(
        "git trace",
        {"GIT_TRACE": "{mark}"},
        ("git", "version"),
    ),
    # Tools
    Case(
        "curl",
        {"CURL_HOME": "{folder}"},
        ("curl", "-s", "file://{folder}/.curlrc"),
        {".curlrc": "output = {mark}\n"},
        needs="curl",
    ),
    Case(
        "tar",
        {"TAR_OPTIONS": "--checkpoint=1 --checkpoint-action=exec={script}"},
        ("tar", "cf", "/dev/null", "/etc/hostname"),
        needs="tar",
    ),
    Case(
        "make",
        {"MAKEFILES": "{folder}/planted"},
        ("make", "-C", "{folder}", "x"),
        {"Makefile": "x:\n", "planted": "$(shell touch {mark})\n"},
        needs="make",
    ),
    Case(
        "perl's modules",
        {"PERL5LIB": "{folder}"},
        ("perl", "-MPlanted", "-e1"),
        {"Planted.pm": "open(my $f, '>', '{mark}'); 1;\n"},
        needs="perl",
    ),
    Case(
        "perl's options",
        {"PERL5OPT": "-I{folder} -MPlanted"},
        ("perl", "-e1"),
        {"Planted.pm": "open(my $f, '>', '{mark}'); 1;\n"},
        needs="perl",
    ),
    Case(
        "perl's debugger",
        {"PERL5DB": "BEGIN {{ open(my $f, '>', '{mark}') }}"},
        ("perl", "-d", "-e1"),
        needs="perl",
    ),
    *(
        Case(
            name.lower(),
            {name: "-Xmx64m -Xlog:all:file={mark}"},
            ("java", "-version"),
            needs="java",
        )
        for name in ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")
    ),
    Case(
        "message bus of the session",
        {"DBUS_SESSION_BUS_ADDRESS": "unixexec:path=/bin/sh,argv1=-c,argv2=touch%20{mark}"},
        ("busctl", "--user", "list"),
        needs="busctl",
    ),
    Case(
        "message bus of the system",
        {"DBUS_SYSTEM_BUS_ADDRESS": "unixexec:path=/bin/sh,argv1=-c,argv2=touch%20{mark}"},
        ("busctl", "list"),
        needs="busctl",
    ),
    Case(
        "the second of two files",
        {"KUBECONFIG": "config:{folder}/config"},
        ("kubectl", "get", "pods"),
        {"config": KUBECTL_CONFIG},
        needs="kubectl",
    ),
    Case(
        "valgrind", {"VALGRIND_OPTS": "--log-file={mark}"}, ("valgrind", "true"), needs="valgrind"
    ),
    Case(
        "compiler",
        {"DEPENDENCIES_OUTPUT": "{mark}"},
        ("cc", "-c", "-o", "/dev/null", "{folder}/empty.c"),
        {"empty.c": "int x;\n"},
        needs="cc",
    ),
    Case(
        "pip",
        {"PIP_LOG": "{mark}"},
        (BASE_PYTHON, "-m", "pip", "list", "--disable-pip-version-check"),
    ),
    # Libraries
    Case("preload", {"LD_PRELOAD": "{folder}/planted.so"}, ("true",), needs="cc"),
    Case(
        "openssl",
        {"OPENSSL_CONF": "{folder}/openssl.cnf"},
        (sys.executable, "-c", "import ssl; ssl.create_default_context()"),
        {
            "openssl.cnf": "openssl_conf = o\n[o]\nproviders = p\n[p]\nplanted = q\n[q]\n"
            "module = {folder}/planted.so\nactivate = 1\n"
        },
        needs="cc",
    ),
]


def prepare(case: Case, folder: Path, allow: tuple[str, ...]) -> LocalFunction:
    """Write the payload's files, and return the function whose worker meets them."""
    elsewhere, code = folder / "elsewhere", folder / "code"
    code.mkdir()
    elsewhere.mkdir()
    script = elsewhere / "script"
    script.write_text(f"#!/bin/sh\ntouch {elsewhere}/mark\n")
    script.chmod(0o755)
    for path, content in case.files.items():
        file = elsewhere / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(filled(content, elsewhere))
        file.chmod(0o755)
    if case.needs == "cc":
        source = elsewhere / "planted.c"
        source.write_text(filled(dedent(LIBRARY), elsewhere))
        library = str(elsewhere / "planted.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, str(source)], check=True)
    (code / "index.js").write_text(dedent(NODE_HANDLER))
    (code / "runtime.sh").write_text(dedent(BASH_RUNTIME))
    function = replace(local_function(code, RUNS_A_TOOL), allow_variables=allow)
    if case.runtime == "node":
        node = Path(shutil.which("node") or "node")
        return replace(function, runtime="nodejs20.x", handler="index.handler", node=node)
    if case.runtime == "bash":
        return replace(function, command=("bash", "runtime.sh"))
    return function


def filled(text: str, elsewhere: Path) -> str:
    return text.format(mark=str(elsewhere / "mark"), script=elsewhere / "script", folder=elsewhere)


@pytest.mark.parametrize("allowed", [False, True], ids=["kept out", "allowed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_payload_in_a_variable_leaves_a_mark_only_where_the_project_allows_it(
    case: Case, tmp_path: Path, *, allowed: bool
) -> None:
    if not shutil.which(case.needs):
        pytest.skip(f"there is no {case.needs} on PATH")
    allow: tuple[str, ...] = ()
    if allowed:
        allow = tuple(case.variables)
    function = prepare(case, tmp_path, allow)
    elsewhere = tmp_path / "elsewhere"
    environment = {name: filled(value, elsewhere) for name, value in case.variables.items()}
    if allowed:
        # The rewriting of Lambda's folders is off, too.
        environment = {
            name: value.replace("/var/task", str(function.path))
            for name, value in environment.items()
        }
    sink = Recorder()
    api = RuntimeApi()
    pool = Pool(function, api, sink)
    try:
        event = [filled(word, elsewhere) for word in case.run]
        outcome = pool.submit(invocation(event, environment=environment)).result(60).outcome
    finally:
        pool.close()
        api.close()
    marked = (elsewhere / "mark").exists()
    told = [warning.message for warning in sink.of_type(Warned)]
    assert marked == allowed, (outcome, sink.lines())
    if allowed:
        assert told == []
    else:
        assert json.loads(outcome.body) == "done", sink.lines()
        assert len(told) == 1
        for name, value in environment.items():
            assert name in told[0]
            assert value not in told[0]
