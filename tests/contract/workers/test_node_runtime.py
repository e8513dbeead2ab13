"""terralive's Node.js bootstrap does the same as aws-lambda-ric, AWS's own client.

Both run the same handlers. The tests compare what they send to the Runtime API and to the log.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_testing.drivers.workers import invocation
from terralive_testing.oracles.node_runtimes import NEEDS_BOTH, both, same
from terralive_workers.runtime_api.server import RuntimeApi

pytestmark = NEEDS_BOTH

# The time limit where a handler looks at it. It begins before both runtimes start.
LIMIT_SECONDS = 600.0

HANDLERS = {
    # Results
    "echo": "exports.handler = async (event) => event",
    "nothing": "exports.handler = async () => {}",
    "null": "exports.handler = async () => null",
    "unicode": r"exports.handler = async () => 'ä€😀\u2028\u2029\x7f\x00\ud800<>&/'",
    "numbers": "exports.handler = async () => [NaN, Infinity, -0, 1e300, 0.1, 1e21, 2 ** 53]",
    "bigint": "exports.handler = async () => ({ a: 10n })",
    "a circle": "exports.handler = async () => { const a = {}; a.a = a; return a }",
    "dates, maps, buffers": """
        exports.handler = async () => [
          new Date(0), new Map([[1, 2]]), new Set([1]), Buffer.from('a'), new Uint8Array(2),
          Symbol('x'), () => 1, /x/, undefined, new Error('as a value'),
          { u: undefined, toJSON() { return 'json' } },
        ]
        """,
    "a function": "exports.handler = async () => () => 1",
    "toJSON throws": "exports.handler = async () => ({ toJSON() { throw new TypeError('no') } })",
    "a thenable": "exports.handler = () => ({ then(resolve) { setTimeout(resolve, 5, 'later') } })",
    "not async": "exports.handler = () => 'is thrown away'",
    # Callbacks
    "callback": "exports.handler = (event, context, callback) => callback(null, event)",
    "callback later": "exports.handler = (e, c, go) => { setTimeout(go, 5, null, 'later') }",
    "callback with error": "exports.handler = (e, c, answer) => answer(new RangeError('too far'))",
    "callback with text": "exports.handler = (event, context, callback) => callback('just words')",
    "callback with object": "exports.handler = (event, context, callback) => callback({ code: 7 })",
    "callback with falsy": "exports.handler = (event, context, callback) => callback(0, 'x')",
    "callback twice": "exports.handler = (e, c, answer) => { answer(null, 1); answer(null, 2) }",
    "callback waits for the event loop": """
        exports.handler = (event, context, callback) => {
          setTimeout(() => console.log('first'), 20)
          callback(null, 'then')
        }
        """,
    "callback does not wait": """
        let busy
        exports.handler = (event, context, callback) => {
          context.callbackWaitsForEmptyEventLoop = false
          clearInterval(busy)
          busy = setInterval(() => {}, 1000)
          callback(null, context.callbackWaitsForEmptyEventLoop)
          if (event === 'second') clearInterval(busy)
        }
        """,
    "callback with a circle": """
        exports.handler = (e, c, callback) => { const a = {}; a.a = a; callback(null, a) }
        """,
    "done": "exports.handler = (event, context) => context.done(null, 'done')",
    "done with error": "exports.handler = (event, context) => context.done(new Error('done'))",
    "succeed": "exports.handler = (event, context) => { context.succeed('a'); context.fail('b') }",
    "succeed with a circle": "exports.handler = (e, c) => { const a = {}; a.a = a; c.succeed(a) }",
    "fail": "exports.handler = (event, context) => context.fail(new Error('failed'))",
    "fail without words": "exports.handler = (event, context) => context.fail()",
    "never answers": "exports.handler = (e, c) => { setTimeout(() => console.log('idle'), 5) }",
    "never answers, async": "exports.handler = async () => { await new Promise(() => {}) }",
    "callback and promise": "exports.handler = async (e, c, go) => { go(null, 1); return 2 }",
    "succeed, then exit": "exports.handler = (e, c) => { c.succeed('said'); process.exit(0) }",
    # Errors
    "throws": """
        exports.handler = async (event) => deeper(event)
        function deeper(event) { throw new TypeError('no such order: ä\\nsecond line') }
        """,
    "throws after a wait": """
        exports.handler = async () => {
          await new Promise((go) => setTimeout(go, 1))
          await deeper()
        }
        async function deeper() { await null; throw new Error('late') }
        """,
    "throws, not async": "exports.handler = () => { throw new Error('at once') }",
    "throws its own kind": """
        class OrderError extends Error {
          constructor(text) {
            super(text)
            this.name = 'OrderError'
            this.code = 'E42'
            this.order = { id: 1 }
          }
        }
        exports.handler = async () => { throw new OrderError('custom') }
        """,
    "throws without a name of its own": """
        class Quiet extends Error {}
        exports.handler = async () => { throw new Quiet('inherited name') }
        """,
    "throws with a cause": """
        exports.handler = async () => { throw new Error('b', { cause: new Error('a') }) }
        """,
    "throws several": """
        exports.handler = async () => { throw new AggregateError([new Error('a')], 'all') }
        """,
    "throws text": "exports.handler = async () => { throw 'words' }",
    "throws nothing": "exports.handler = async () => { throw undefined }",
    "throws null": "exports.handler = async () => { throw null }",
    "throws a number": "exports.handler = async () => { throw 7 }",
    "throws an object": "exports.handler = async () => { throw { a: 1 } }",
    "throws an object like an error": """
        exports.handler = async () => {
          throw { name: 'N', message: 'M', stack: 'N: M\\n  somewhere' }
        }
        """,
    "throws an object that resists": """
        exports.handler = async () => { throw { toString() { throw new Error('no') } } }
        """,
    "throws an error that holds a circle": """
        exports.handler = async () => { const e = new Error('round'); e.self = e; throw e }
        """,
    "throws an error without a stack": """
        exports.handler = async () => { const e = new Error('bare'); e.stack = undefined; throw e }
        """,
    "delete character": "exports.handler = async () => { throw new Error('a\\x7fb') }",
    "recursion": "exports.handler = async (event) => { const f = () => f(); f() }",
    "throws in a timer": """
        exports.handler = async () => {
          setTimeout(() => { throw new Error('in a timer') }, 1)
          await new Promise((go) => setTimeout(go, 1000))
        }
        """,
    "rejects in the background": """
        exports.handler = async () => {
          Promise.reject(new Error('nobody looks'))
          await new Promise((go) => setTimeout(go, 50))
        }
        """,
    "rejects with text in the background": """
        exports.handler = async () => {
          Promise.reject('words')
          await new Promise((go) => setTimeout(go, 50))
        }
        """,
    "process.exit": "exports.handler = async () => { process.exit(3) }",
    "process.exit 0": "exports.handler = async () => { console.log('bye'); process.exit() }",
    "process.abort": "exports.handler = async () => { process.kill(process.pid, 'SIGKILL') }",
    "thread error": """
        const { Worker } = require('worker_threads')
        exports.handler = async () => new Promise((_, reject) => {
          new Worker("throw new RangeError('in a thread')", { eval: true }).on('error', reject)
        })
        """,
    # The module
    "module throws": "throw new Error('while loading')\nexports.handler = async () => 1",
    "module throws text": "throw 'words'",
    "module exits": "process.exit(4)",
    "module rejects in the background": """
        Promise.reject(new Error('early'))
        // AWS's client may invoke it before it ends: no answer may come in between.
        exports.handler = () => new Promise(() => {})
        """,
    "module needs what is not there": "require('no-such-package')\nexports.handler = async () => 1",
    "module needs a file that is not there": """
        require('./no-such-file')
        exports.handler = async () => 1
        """,
    "module needs what throws": "require('./helper')\nexports.handler = async () => 1",
    "handler is missing": "exports.other = async () => 1",
    "handler is no function": "exports.handler = 3",
    # What a handler sees
    "context": """
        exports.handler = async (event, context) => {
          const left = context.getRemainingTimeInMillis()
          return [
            JSON.parse(JSON.stringify(context)), Object.keys(context),
            Number.isInteger(left) && left > 480000 && left <= 600000,
            Object.entries(context).map(([name, value]) => [name, typeof value]),
          ]
        }
        """,
    "trace id": """
        const { env } = process
        exports.handler = async () => [env._X_AMZN_TRACE_ID, '_X_AMZN_TRACE_ID' in env]
        """,
    "environment": """
        exports.handler = async () => [
          process.env.GREETING, process.cwd(), __filename, require.main === module,
          typeof awslambda,
        ]
        """,
    "logs": """
        console.log('importing %s', 'this')
        exports.handler = async (event) => {
          console.log('two\\nlines', { a: [1, { b: { c: { d: 1 } } }] }, 7n)
          console.debug('debug'); console.info('info'); console.warn('warn')
          console.error('error'); console.trace('trace'); console.fatal('fatal')
          console.log()
          console.log({ a: 1 }); console.log([1]); console.log('%j %d', { a: 1 }, 3)
          console.log(10n); console.log(new Map([[1, 2]]))
          console.error(new TypeError('alone')); console.error('with text', new TypeError('beside'))
          console.error({ inside: new RangeError('deep') })
          process.stdout.write('raw'); process.stdout.write('\\n')
          const circle = {}; circle.circle = circle; console.log(circle)
        }
        """,
}


@pytest.fixture(scope="module")
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.mark.parametrize("code", HANDLERS.values(), ids=HANDLERS.keys())
def test_a_handler_has_the_outcome_that_it_has_in_the_managed_runtime(
    api: RuntimeApi, tmp_path: Path, code: str
) -> None:
    first = invocation({"a": [1, "ä", None]}, seconds=LIMIT_SECONDS)
    second = invocation("second", seconds=LIMIT_SECONDS)
    same(*both(api, tmp_path, code, [first, second]))


MODULES: dict[str, tuple[str, dict[str, str]]] = {
    "in a folder": (
        "pkg/orders.handler",
        {"pkg/orders.js": "exports.handler = async () => __filename"},
    ),
    "in a folder of folders": (
        "a/b/c.handler",
        {"a/b/c.js": "exports.handler = async () => __filename"},
    ),
    "in an object": (
        "app.api.orders.get",
        {"app.js": "exports.api = { orders: { get: async () => 1 } }"},
    ),
    "in an object that is not there": ("app.api.orders.get", {"app.js": "exports.api = {}"}),
    "in a class": (
        "app.Api.handler",
        {"app.js": "exports.Api = class { static async handler() { return this?.name } }"},
    ),
    "default": ("app.default", {"app.mjs": "export default async () => 'default'"}),
    "an absolute path": ("/nowhere/app.handler", {}),
    "a path upwards": ("../app.handler", {}),
    "no dot": ("handler", {}),
    "nothing behind the dot": ("app.", {"app.js": "exports.handler = async () => 1"}),
    "a file that is not there": ("nowhere.handler", {}),
    "mjs": ("app.handler", {"app.mjs": "export const handler = async () => import.meta.url"}),
    "mjs awaits at its top": (
        "app.handler",
        {"app.mjs": "const a = await 7\nexport const handler = async () => a"},
    ),
    "mjs requires by createRequire": (
        "app.handler",
        {
            "app.mjs": """
                import { createRequire } from 'node:module'
                const { x } = createRequire(import.meta.url)('./lib.cjs')
                export const handler = async () => x
                """,
            "lib.cjs": "exports.x = __filename\n",
        },
    ),
    "type: module awaits at its top": (
        "app.handler",
        {
            "package.json": '{"type": "module"}',
            "app.js": "const a = await 7\nexport const handler = async () => a",
        },
    ),
    "mjs throws": (
        "app.handler",
        {"app.mjs": "export const handler = async () => { throw new Error('es') }"},
    ),
    "mjs throws while loading": ("app.handler", {"app.mjs": "throw new Error('loading')"}),
    "mjs never loads": ("app.handler", {"app.mjs": "await new Promise(() => {})"}),
    "mjs needs what is not there": ("app.handler", {"app.mjs": "import 'no-such-package'"}),
    "mjs needs a file that is not there": (
        "app.handler",
        {"app.mjs": "import './no-such-file.mjs'"},
    ),
    "cjs": ("app.handler", {"app.cjs": "exports.handler = async () => __filename"}),
    "js before mjs": (
        "app.handler",
        {
            "app.js": "exports.handler = async () => 'js'",
            "app.mjs": "export const handler = async () => 'mjs'",
        },
    ),
    "type: module": (
        "app.handler",
        {
            "package.json": '{"type": "module"}',
            "app.js": "export const handler = async () => import.meta.url",
        },
    ),
    "type: module above": (
        "src/app.handler",
        {
            "package.json": '{"type": "module"}',
            "src/app.js": "export const handler = async () => import.meta.url",
        },
    ),
    "type: commonjs below type: module": (
        "src/app.handler",
        {
            "package.json": '{"type": "module"}',
            "src/package.json": "{}",
            "src/app.js": "exports.handler = async () => __filename",
        },
    ),
    "a package": (
        "orders.handler",
        {
            "node_modules/orders/package.json": '{"main": "lib/main.js"}',
            "node_modules/orders/lib/main.js": "exports.handler = async () => __filename",
        },
    ),
}


@pytest.mark.parametrize(("handler", "files"), MODULES.values(), ids=MODULES.keys())
def test_a_handler_is_found_where_the_managed_runtime_finds_it(
    api: RuntimeApi, tmp_path: Path, handler: str, files: dict[str, str]
) -> None:
    same(*both(api, tmp_path, files, [invocation({})], handler=handler))


@pytest.mark.parametrize(
    ("place", "files"),
    [
        ("app.js:3", {"app.js": "let fine = 1\n\nlet fine = (\n"}),
        ("app.mjs:3", {"app.mjs": "let fine = 1\n\nlet fine = 2\n"}),
        ("helper.js:1", {"app.js": "require('./helper')", "helper.js": "exports. = 1"}),
        (
            "app.mjs:1",
            {"app.mjs": "import { no } from './other.mjs'", "other.mjs": "export const yes = 1"},
        ),
        ("package.json", {"package.json": "{", "app.js": "exports.handler = async () => 1"}),
    ],
)
def test_a_syntax_error_has_the_same_name_and_contains_its_line(
    api: RuntimeApi, tmp_path: Path, place: str, files: dict[str, str]
) -> None:
    ours, theirs = both(api, tmp_path, files, [invocation({})])
    mine, other = json.loads(ours.calls[0][2]), json.loads(theirs.calls[0][2])
    assert mine | {"trace": []} == other | {"trace": []}
    assert (mine["errorType"], ours.exit_status) == (
        "Runtime.UserCodeSyntaxError",
        theirs.exit_status,
    )
    assert mine["trace"][0] == other["trace"][0]
    assert any(place in line for line in mine["trace"])


@pytest.mark.parametrize(
    "code", [HANDLERS["context"], HANDLERS["trace id"]], ids=["context", "trace id"]
)
def test_a_handler_sees_its_caller_in_the_context(
    api: RuntimeApi, tmp_path: Path, code: str
) -> None:
    context = {"custom": {"a": 1}, "env": {"locale": "ä"}, "client": {"app_title": "shop"}}
    identity = {"cognitoIdentityId": "eu:1", "cognitoIdentityPoolId": "eu:2"}
    asked = invocation(
        {},
        trace_id="Root=1-2-3",
        client_context=json.dumps(context),
        cognito_identity=json.dumps(identity),
        tenant_id="blue",
        seconds=LIMIT_SECONDS,
    )
    same(*both(api, tmp_path, code, [asked, invocation({}, seconds=LIMIT_SECONDS)]))


def test_a_broken_client_context_is_the_callers_fault(api: RuntimeApi, tmp_path: Path) -> None:
    same(
        *both(
            api,
            tmp_path,
            HANDLERS["echo"],
            [invocation({}, client_context="{nonsense"), invocation({})],
        )
    )


@pytest.mark.parametrize("body", [b"{", b"", b'{"a": NaN}', b'"\xff"', b"1" * 30], ids=repr)
def test_an_event_is_parsed_in_the_same_way(api: RuntimeApi, tmp_path: Path, body: bytes) -> None:
    same(
        *both(api, tmp_path, HANDLERS["echo"], [replace(invocation(), event=body), invocation({})])
    )


@pytest.mark.parametrize(
    "name", ["logs", "throws its own kind", "module throws", "rejects in the background"]
)
@pytest.mark.parametrize(
    ("layout", "level"), [("JSON", ""), ("json", "debug"), ("JSON", "WARN"), ("Text", "ERROR")]
)
def test_log_settings_have_the_same_effect(
    api: RuntimeApi, tmp_path: Path, name: str, layout: str, level: str
) -> None:
    chosen = {"AWS_LAMBDA_LOG_FORMAT": layout, "AWS_LAMBDA_LOG_LEVEL": level}
    asked = [invocation({}, tenant_id="blue"), invocation({})]
    same(*both(api, tmp_path, HANDLERS[name], asked, environment=chosen))


@pytest.mark.parametrize("size", [1_000, 200_000, 6_000_000])
def test_a_large_answer_arrives_whole(api: RuntimeApi, tmp_path: Path, size: int) -> None:
    ours, theirs = both(
        api, tmp_path, HANDLERS["echo"], [invocation("ä" * (size // 2)), invocation({})]
    )
    assert len(ours.calls[0][2]) > size // 2
    assert ours.calls == theirs.calls


@pytest.mark.parametrize("layout", ["Text", "JSON"])
@pytest.mark.parametrize(
    "code",
    [
        HANDLERS["logs"],
        HANDLERS["throws"],
        HANDLERS["throws an error that holds a circle"],
        HANDLERS["module throws"],
        "require('./nowhere')",
    ],
)
def test_no_frame_of_the_bootstrap_is_shown(
    api: RuntimeApi, tmp_path: Path, code: str, layout: str
) -> None:
    chosen = {"AWS_LAMBDA_LOG_FORMAT": layout}
    ours, _ = both(api, tmp_path, code, [invocation({})], environment=chosen)
    assert "node_bootstrap" not in ours.stdout + str(ours.calls)


MAP = json.dumps({"version": 3, "sources": ["app.ts"], "names": [], "mappings": ";;;;AASA"})
INLINE = "data:application/json;base64," + base64.b64encode(MAP.encode()).decode()
THROWS = "exports.handler = async () => {\n\n\n\nthrow new Error('x') }\n//# sourceMappingURL="


@pytest.mark.parametrize(
    "files",
    [
        {"app.js": f"{THROWS}app.js.map\n", "app.js.map": MAP},
        {"app.js": f"{THROWS}{INLINE}\n"},
        {
            "app.js": "exports.handler = require('./chunks/a').handler\n",
            "chunks/a.js": f"{THROWS}a.js.map\n",
            "chunks/a.js.map": MAP,
        },
        {
            "dist/app.mjs": "export { handler } from '../lib/a.mjs'\n",
            "lib/a.mjs": f"{THROWS.replace('exports.', 'export const ')}{INLINE}\n",
        },
    ],
    ids=["external", "inline", "external, of a chunk", "inline, of a chunk"],
)
def test_a_stack_trace_shows_lines_of_typescript_if_there_is_a_source_map(
    api: RuntimeApi, tmp_path: Path, files: dict[str, str]
) -> None:
    handler = next(iter(files)).rpartition(".")[0] + ".handler"
    ours, _ = both(api, tmp_path, files, [invocation({})], handler=handler)
    assert any("app.ts:10" in line for line in json.loads(ours.calls[0][2])["trace"])


@pytest.mark.parametrize(
    ("runtime", "refused"), [("nodejs22.x", False), ("nodejs24.x", True), ("nodejs26.x", True)]
)
def test_from_nodejs24_on_a_handler_that_takes_a_callback_gets_an_error(
    api: RuntimeApi, tmp_path: Path, runtime: str, *, refused: bool
) -> None:
    here = {"AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}"}
    ours, _ = both(api, tmp_path, HANDLERS["callback"], [invocation({})], environment=here)
    assert (ours.calls[0][1] == "Runtime.CallbackHandlerDeprecated") is refused
    ours, _ = both(api, tmp_path, HANDLERS["echo"], [invocation({})], environment=here)
    assert ours.calls[0][2] == b"{}"
