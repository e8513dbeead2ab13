"""A Node.js handler that streams its response does the same as with aws-lambda-ric."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_testing.drivers.workers import Transcript, invocation
from terralive_testing.oracles.node_runtimes import NEEDS_BOTH, both, comparable, same
from terralive_workers.runtime_api.server import RuntimeApi

pytestmark = NEEDS_BOTH

# The bodies of handlers `async (event, stream, context) => { … }`. One process runs them all, one
# after the other.
BODIES = {
    # What is written
    "text": "stream.write('one '); stream.write('two ä'); stream.end()",
    "nothing": "stream.end()",
    "end with data": "stream.end('all at once')",
    "buffers": """
        stream.write(Buffer.from([0, 255])); stream.write(new Uint8Array([7])); stream.end()
        """,
    "an encoding": "stream.write('616263', 'hex'); stream.end()",
    "objects become JSON": """
        stream.write({ a: 1 }); stream.write(7); stream.write(true); stream.write([]); stream.end()
        """,
    "null": "stream.write(null); stream.end()",
    "undefined": "stream.write(undefined); stream.end()",
    "a text of nothing": "stream.write(''); stream.end('x')",
    "two ends": "stream.end('x'); stream.end()",
    "an end that calls back": """
        await new Promise((done) => { stream.write('x'); stream.end(done) }); console.log('done')
        """,
    "callbacks of writes": """
        await new Promise((done) => stream.write('x', done)); console.log('written'); stream.end()
        """,
    "later": """
        for (const piece of ['a', 'b']) {
          stream.write(piece)
          await new Promise((go) => setTimeout(go, 5))
        }
        stream.end()
        """,
    "megabytes": """
        const { once } = require('events')
        for (let n = 0; n < 100; n++) {
          if (!stream.write('x'.repeat(200_000))) await once(stream, 'drain')
        }
        stream.end()
        """,
    "corked": "stream.cork(); stream.write('a'); stream.write('b'); stream.uncork(); stream.end()",
    # Streams of Node.js
    "pipeline": """
        const { pipeline } = require('stream/promises')
        await pipeline(require('stream').Readable.from(['one ', 'two']), stream)
        console.log('finished', stream.writableFinished)
        """,
    "pipeline through gzip": """
        const { pipeline } = require('stream/promises')
        const gzip = require('zlib').createGzip()
        await pipeline(require('stream').Readable.from([Buffer.from('x')]), gzip, stream)
        """,
    "pipe": "require('stream').Readable.from(['one ', 'two']).pipe(stream)",
    "pipe of a web stream": """
        const web = new Blob(['from a blob']).stream()
        for await (const piece of web) stream.write(piece)
        stream.end()
        """,
    "state": """
        const look = () => [stream.writable, stream.writableEnded, stream.writableFinished,
          stream.destroyed, stream.writableLength, stream.writableObjectMode,
          stream.writableCorked, stream.writableNeedDrain]
        console.log(look())
        stream.write('x')
        stream.end()
        console.log(look()[1], look()[0])
        """,
    "names": "stream.end(Object.getOwnPropertyNames(stream).sort().join())",
    "kind": """
        const isPlain = Object.getPrototypeOf(stream) === Object.prototype
        stream.end(`${stream instanceof require('stream').Writable} ${isPlain}`)
        """,
    "events": """
        for (const name of ['finish', 'close', 'drain']) stream.on(name, () => console.log(name))
        await new Promise((done) => { stream.on('finish', done); stream.write('x'); stream.end() })
        """,
    # Its type
    "content type": "stream.setContentType('text/event-stream'); stream.write('x'); stream.end()",
    "content type too late": """
        stream.write('x')
        try { stream.setContentType('text/plain') } catch (e) { console.log(e.name, e.message) }
        stream.end()
        """,
    "prelude": """
        const metadata = { statusCode: 201, headers: { 'X-A': 'b' }, cookies: ['c=d'] }
        stream = awslambda.HttpResponseStream.from(stream, metadata)
        stream.write('body')
        stream.end()
        """,
    "prelude without a body": """
        stream = awslambda.HttpResponseStream.from(stream, { statusCode: 204 })
        stream.end()
        """,
    "prelude, and the body in end": """
        stream = awslambda.HttpResponseStream.from(stream, { statusCode: 200 })
        stream.end('lost prelude')
        """,
    "prelude, and an empty first write": """
        stream = awslambda.HttpResponseStream.from(stream, { statusCode: 200 })
        stream.write('')
        stream.end()
        """,
    "prelude, and a pipeline": """
        const { pipeline } = require('stream/promises')
        stream = awslambda.HttpResponseStream.from(stream, { statusCode: 200 })
        await pipeline(require('stream').Readable.from(['one ', 'two']), stream)
        """,
    "prelude of nothing": """
        stream = awslambda.HttpResponseStream.from(stream)
        stream.write('x')
        stream.end()
        """,
    "prelude too late": """
        stream.write('x')
        awslambda.HttpResponseStream.from(stream, { statusCode: 200 })
        """,
    # Errors
    "throws before the first byte": "throw new TypeError('nothing written: ä')",
    "throws in the middle": "stream.write('half'); throw new RangeError('half way')",
    "throws after the end": "stream.end('all'); throw new Error('too late')",
    "throws text": "stream.write('half'); throw 'words'",
    "throws nothing": "stream.write('half'); throw undefined",
    "throws after a wait": """
        stream.write('half'); await new Promise((go) => setTimeout(go, 5)); throw new Error('later')
        """,
    # The handler
    "returns a value": "stream.end('x'); return 'ignored'",
    "context": """
        stream.write(JSON.stringify(context))
        stream.write(Object.keys(context).join())
        stream.write(String(context.getRemainingTimeInMillis() > 500_000))
        stream.end()
        """,
    "waits for the event loop": """
        setTimeout(() => console.log('then this'), 20)
        stream.end('x')
        """,
    "does not wait for the event loop": """
        context.callbackWaitsForEmptyEventLoop = false
        globalThis.busy = setInterval(() => {}, 1000)
        stream.end('x')
        """,
    "and then the loop is not empty": "clearInterval(globalThis.busy); stream.end('y')",
    "trace id": "stream.end(String(process.env._X_AMZN_TRACE_ID))",
}
# Bodies of handlers that end the process.
CRASHES = {
    "pipeline of a source that fails": """
        const { pipeline } = require('stream/promises')
        async function* source() {
          yield 'first'
          await new Promise((go) => setTimeout(go, 20))
          throw new Error('the source broke')
        }
        await pipeline(require('stream').Readable.from(source()), stream)
        """,
    "crashes in a timer": """
        await new Promise((written) => stream.write('half', written))
        setTimeout(() => { throw new Error('in a timer') }, 1)
        await new Promise((go) => setTimeout(go, 1000))
        """,
    "rejects in the background": """
        await new Promise((written) => stream.write('half', written))
        Promise.reject(new Error('nobody looks'))
        await new Promise((go) => setTimeout(go, 1000))
        """,
}
# Whole modules.
MODULES = {
    "not async": """
        exports.handler = awslambda.streamifyResponse((event, stream) => stream.end('x'))
        """,
    "not async, throws": """
        exports.handler = awslambda.streamifyResponse(() => { throw new Error('at once') })
        """,
    "a mark of a wrapper": """
        const marked = async (event, stream) => stream.end('x')
        marked[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'response'
        exports.handler = marked
        """,
    "no mark": """
        exports.handler = async () => 'buffered'
        exports.handler[Symbol.for('aws.lambda.runtime.handler.streaming')] = false
        """,
    "a high-water mark": """
        exports.handler = awslambda.streamifyResponse(async (event, stream) => {
          console.log(stream.write('x'.repeat(40_000)), stream.writableHighWaterMark)
          stream.end()
        }, { highWaterMark: 1_000_000 })
        """,
    "a low high-water mark": """
        exports.handler = awslambda.streamifyResponse(async (event, stream) => {
          console.log(stream.write('xx'), stream.writableNeedDrain)
          stream.end()
        }, { highWaterMark: 1 })
        """,
}


@pytest.fixture(scope="module")
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


def streaming(body: str) -> str:
    return (
        "exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {\n"
        f"{body}\n}})\n"
    )


@pytest.fixture(scope="module")
def runs(
    api: RuntimeApi, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Transcript, Transcript]:
    """All bodies, one after the other, by terralive's bootstrap and by aws-lambda-ric."""
    handlers = [
        f"{json.dumps(name)}: async (event, stream, context) => {{\n{body}\n}},"
        for name, body in BODIES.items()
    ]
    code = (
        "const handlers = {\n" + "\n".join(handlers) + "\n}\n"
        "exports.handler = awslambda.streamifyResponse("
        "(event, stream, context) => handlers[event](event, stream, context))\n"
    )
    invocations = [invocation(name, seconds=600, trace_id="Root=1-2-3") for name in BODIES]
    return both(api, tmp_path_factory.mktemp("streaming"), code, invocations)


@pytest.mark.parametrize("name", BODIES)
def test_a_streaming_handler_writes_what_it_writes_in_the_managed_runtime(
    runs: tuple[Transcript, Transcript], name: str
) -> None:
    ours, theirs = runs
    number = list(BODIES).index(name)
    assert comparable(*ours.calls[number]) == comparable(*theirs.calls[number])


def test_streaming_handlers_have_the_same_log(runs: tuple[Transcript, Transcript]) -> None:
    same(*runs)


@pytest.mark.parametrize("body", CRASHES.values(), ids=CRASHES.keys())
def test_a_process_that_ends_in_the_middle_of_a_stream_ends_as_in_the_managed_runtime(
    api: RuntimeApi, tmp_path: Path, body: str
) -> None:
    ours, theirs = both(api, tmp_path, streaming(body), [invocation({})])
    for run in (ours, theirs):
        # The process may be gone before or after the Runtime API has seen the end of the stream.
        run.calls = [call for call in run.calls if call[0].startswith("error")]
    same(ours, theirs)
    assert len(ours.calls) == 1


def test_a_mark_that_is_not_known_is_an_error(api: RuntimeApi, tmp_path: Path) -> None:
    """aws-lambda-ric 3.3 means to say so, but fails before by a mistake of its own."""
    code = """
        exports.handler = async () => 1
        exports.handler[Symbol.for('aws.lambda.runtime.handler.streaming')] = 'request'
        """
    ours, _ = both(api, tmp_path, code, [invocation({})])
    assert [call[:2] for call in ours.calls] == [
        ("init error", "Runtime.MalformedStreamingHandler")
    ]


@pytest.mark.parametrize("code", MODULES.values(), ids=MODULES.keys())
def test_a_module_with_a_streaming_handler_is_as_in_the_managed_runtime(
    api: RuntimeApi, tmp_path: Path, code: str
) -> None:
    same(*both(api, tmp_path, code, [invocation({}), invocation("second")]))


@pytest.mark.parametrize("event", [b"{", b""], ids=repr)
def test_an_event_that_is_no_json_is_an_error_in_the_stream(
    api: RuntimeApi, tmp_path: Path, event: bytes
) -> None:
    broken = replace(invocation({}), event=event)
    same(*both(api, tmp_path, streaming("stream.end()"), [broken, invocation({})]))


def test_nodejs24_runs_a_streaming_handler_that_takes_the_context(
    api: RuntimeApi, tmp_path: Path
) -> None:
    here = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}
    code = streaming("stream.end(context.awsRequestId)")
    ours, _ = both(api, tmp_path, code, [invocation({})], environment=here)
    assert [call[1] for call in ours.calls] == [""]


@pytest.mark.parametrize("layout", ["Text", "JSON"])
def test_no_frame_of_the_bootstrap_is_shown_in_an_error_of_a_stream(
    api: RuntimeApi, tmp_path: Path, layout: str
) -> None:
    code = streaming("stream.write('half'); throw new Error('half way')")
    chosen = {"AWS_LAMBDA_LOG_FORMAT": layout}
    ours, _ = both(api, tmp_path, code, [invocation({})], environment=chosen)
    assert "node_bootstrap" not in ours.stdout + str(ours.calls)
    assert json.loads(json.loads(ours.calls[0][2])["error"])["errorMessage"] == "half way"
