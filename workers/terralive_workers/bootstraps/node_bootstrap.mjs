/**
 * Runs a Node.js Lambda handler on this machine as Lambda's managed Node.js runtime does.
 *
 * Started by terralive with the project's own interpreter: `node node_bootstrap.mjs folder/module.function`. One
 * self-contained file, no packages, any Node.js from 18 on. It asks the Runtime API at `AWS_LAMBDA_RUNTIME_API` for
 * invocations, calls the handler, and answers exactly as `aws-lambda-ric` does (held against it in
 * tests/contract/test_node_runtime.py): version 3, which the runtimes up to nodejs22.x are, callbacks and all. Of
 * version 4 (nodejs24.x) it has the one thing that stops working there: a handler that takes a callback.
 *
 * It must never leave its own frames in a stack trace, or its own words in a log. Two things differ on purpose: a
 * syntax error keeps its file and line in the trace (as from version 4 of the client on), and a handler that streams
 * its response is refused by name.
 */

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import inspector from "node:inspector";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import util from "node:util";

const require = createRequire(import.meta.url);
const OWN_URL = import.meta.url;
const OWN_FILE = fileURLToPath(OWN_URL);
const VERSION = "/2018-06-01/runtime";

// Errors. Their class names show in JSON logs, their `name`s everywhere else.

class ImportModuleError extends Error {}
class HandlerNotFound extends Error {}
class MalformedHandlerName extends Error {}
class UserCodeSyntaxError extends Error {}
class CallbackHandlerDeprecated extends Error {}
class UnhandledPromiseRejection extends Error {
  constructor(reason, promise) {
    super(reason);
    this.reason = reason;
    this.promise = promise;
  }
}
for (const kind of [
  ImportModuleError, HandlerNotFound, MalformedHandlerName, UserCodeSyntaxError, CallbackHandlerDeprecated,
  UnhandledPromiseRejection,
]) {
  kind.prototype.name = `Runtime.${kind.name}`;
}

class StreamingNotSupported extends Error {}
StreamingNotSupported.prototype.name = "Terralive.StreamingNotSupported";

/** A text's lines without the frames of this file, and what is below them in a stack. */
function linesOf(text) {
  if (!text.includes(OWN_URL)) return text.split("\n");
  const kept = [];
  let below = false;
  for (const line of text.split("\n")) {
    const frame = /^\s+at /.test(line);
    below = frame && (below || line.includes(OWN_URL));
    if (!below) kept.push(line);
    else if (line.endsWith(" {")) kept.push(`${kept.pop() ?? ""} {`); // the error's own properties follow
  }
  return kept;
}

/** A message without this file in its "Require stack". */
function withoutSelf(message) {
  return message.split("\n").filter((line) => line !== `- ${OWN_FILE}`).join("\n");
}

function asError(thrown) {
  return thrown instanceof Error ? thrown : new Error(thrown);
}

const printable = (text) => text?.replace(/\x7F/g, "%7F"); // no header takes this character

/** What the Runtime API is told of anything that was thrown. */
function errorDocument(thrown) {
  try {
    const looksLikeError = [thrown?.name, thrown?.message, thrown?.stack].every((it) => it && typeof it === "string");
    if (util.types.isNativeError(thrown) || looksLikeError) {
      return {
        errorType: printable(thrown.name),
        errorMessage: printable(thrown.message),
        trace: linesOf(printable(thrown.stack)),
      };
    }
    return { errorType: typeof thrown, errorMessage: thrown.toString(), trace: [] };
  } catch {
    return {
      errorType: "handled",
      errorMessage:
        "callback called with Error argument, but there was a problem while retrieving one or more of its message, " +
        "name, and stack",
    };
  }
}

function serialise(value) {
  let text;
  try {
    text = JSON.stringify(value === undefined ? null : value);
  } catch {
    throw new Error("Unable to stringify response body");
  }
  if (typeof text !== "string") throw new TypeError("Wrong arguments"); // a function, a symbol
  return text;
}

// Logs: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html

const REQUEST_ID = Symbol.for("aws.lambda.runtime.requestId"); // where libraries look for it
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const IN_JSON = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";

function textLine(time, level, message, params) {
  const text = util.format(message, ...params);
  return `${time}\t${global[REQUEST_ID]}\t${level}\t${linesOf(text).join("\n")}`;
}

function errorFields(error) {
  return {
    errorType: error?.constructor?.name ?? "UnknownError",
    errorMessage: error.message,
    stackTrace: typeof error.stack === "string" ? linesOf(error.stack) : error.stack,
  };
}

function jsonLine(timestamp, level, message, params) {
  const record = { timestamp, level, requestId: global[REQUEST_ID] };
  if (params.length === 0) {
    record.message = message;
    try {
      return JSON.stringify(record, (_, value) => (value instanceof Error ? { ...errorFields(value), ...value } : value));
    } catch {
      record.message = util.format(message);
      return JSON.stringify(record);
    }
  }
  record.message = util.format(message, ...params);
  const error = [message, ...params].find((param) => param instanceof Error);
  if (error) {
    Object.assign(record, errorFields(error));
    record.stackTrace ??= [];
  }
  return JSON.stringify(record);
}

function setUpLogging() {
  const format = IN_JSON ? jsonLine : textLine;
  const least = Math.max(0, LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()));
  LEVELS.forEach((level, rank) => {
    const write = (message, ...params) => {
      const line = format(new Date().toISOString(), level, message, params);
      process.stdout.write(line.replace(/\n/g, "\r") + "\n"); // one log event, whatever its lines
    };
    console[level.toLowerCase()] = rank >= least || level === "FATAL" ? write : () => {};
  });
  console.log = console.info;
}

/** Log what an invocation, or the process, ends with. */
function logError(what, thrown) {
  const error = asError(thrown);
  if (IN_JSON) {
    console.error(error);
    return;
  }
  const visible = (_, value) => {
    if (!(value instanceof Error)) return value;
    const shown = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
    if (typeof value.stack === "string") shown.stack = linesOf(value.stack);
    return shown;
  };
  let text;
  try {
    text = JSON.stringify(error, visible);
  } catch {
    text = JSON.stringify(errorDocument(error));
  }
  console.error(what, `\t${text}`);
}

// The Runtime API

/**
 * The Runtime API over one kept-alive connection.
 *
 * Answers are written, and their receipts read, synchronously, as the official client does it in C++: `process.exit`
 * right after a callback must not lose the response. While a handler runs, the connection keeps no event loop alive.
 */
class RuntimeApi {
  #socket;
  #prefix;
  #received = []; // chunks; joined only where that can complete a response: an event may have megabytes
  #missing = 1; // bytes, at least
  #arrived = () => {};

  static async connect(address) {
    const [, host, port, prefix] = /^(.*):(\d+)(.*)$/.exec(address);
    const api = new RuntimeApi();
    api.#prefix = prefix + VERSION;
    api.#socket = net.connect({ host, port: Number(port), noDelay: true });
    await new Promise((resolve) => {
      api.#socket.once("connect", resolve);
      api.#socket.once("error", () => process.exit(0)); // nobody is left to work for
    });
    api.#socket.on("close", () => process.exit(0));
    api.#socket.on("data", (chunk) => {
      api.#receive(chunk);
      api.#arrived();
    });
    api.#socket.unref();
    return api;
  }

  /** The next invocation: {headers, body}. */
  async next() {
    this.#socket.ref();
    this.#send(`GET ${this.#prefix}/invocation/next HTTP/1.1\r\nHost: terralive\r\n\r\n`);
    let response;
    while (!(response = this.#parsed())) {
      await new Promise((resolve) => (this.#arrived = resolve));
    }
    this.#socket.unref();
    return response;
  }

  respond(id, result) {
    this.#post(`/invocation/${encodeURIComponent(id)}/response`, serialise(result));
  }

  fail(id, thrown) {
    this.#post(`/invocation/${encodeURIComponent(id)}/error`, serialise(errorDocument(thrown)));
  }

  failInit(thrown) {
    const document = errorDocument(thrown);
    this.#post("/init/error", serialise(document), `Lambda-Runtime-Function-Error-Type: ${document.errorType}\r\n`);
  }

  #post(to, text, headers = "") {
    const body = Buffer.from(text);
    const head =
      `POST ${this.#prefix}${to} HTTP/1.1\r\nHost: terralive\r\nContent-Type: application/json\r\n${headers}` +
      `Content-Length: ${body.length}\r\n\r\n`;
    this.#send(Buffer.concat([Buffer.from(head), body]));
    const chunk = Buffer.alloc(4096);
    while (!this.#parsed()) {
      const size = this.#patiently(() => fs.readSync(this.#socket._handle.fd, chunk));
      if (size === 0) process.exit(0);
      this.#receive(Buffer.from(chunk.subarray(0, size)));
    }
  }

  #send(data) {
    let left = Buffer.from(data);
    while (left.length > 0) {
      left = left.subarray(this.#patiently(() => fs.writeSync(this.#socket._handle.fd, left)));
    }
  }

  /** Do something on a socket that would rather be asked later. */
  #patiently(operation) {
    for (let pause = 0.05; ; pause = Math.min(1, pause * 1.5)) {
      try {
        return operation();
      } catch (error) {
        if (error.code !== "EAGAIN") process.exit(0); // the relay is gone
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
      }
    }
  }

  #receive(chunk) {
    this.#received.push(chunk);
    this.#missing -= chunk.length;
  }

  /** Take one whole response out of what has been received, if there is one. */
  #parsed() {
    if (this.#missing > 0) return undefined;
    const received = Buffer.concat(this.#received);
    this.#received = [received];
    this.#missing = 1;
    const end = received.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const headers = {};
    for (const line of received.toString("utf8", 0, end).split("\r\n").slice(1)) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const from = end + 4;
    const to = from + Number(headers["content-length"] ?? 0);
    if (received.length < to) {
      this.#missing = to - received.length;
      return undefined;
    }
    this.#received = [received.subarray(to)];
    return { headers, body: received.toString("utf8", from, to) };
  }
}

// The handler: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");

function refuseStreaming() {
  throw new StreamingNotSupported(
    "terralive cannot run a handler that streams its response (awslambda.streamifyResponse) live yet. Leave this " +
      "function out of [functions] in terralive.toml: it stays deployed as it is.",
  );
}

/** From nodejs24.x on, a handler that takes a callback is not run at all. */
function refuseCallbacks(handler) {
  const [, runtime] = /^AWS_Lambda_nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV ?? "") ?? [];
  if (Number(runtime) < 24 || runtime === undefined || handler.length < 3) return;
  throw new CallbackHandlerDeprecated(
    "ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to " +
      "modify this function to use a supported handler signature to use Node.js 24 or later. For more information see " +
      "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.",
  );
}

/** `folder/module.object.function` -> folder, module, path of the function in it. */
function partsOf(handler) {
  if (handler.includes("..")) {
    throw new MalformedHandlerName(
      `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const base = path.basename(handler);
  const match = /^([^.]*)\.(.*)$/.exec(base);
  if (!match) throw new MalformedHandlerName("Bad handler");
  return [handler.substring(0, handler.indexOf(base)), match[1], match[2]];
}

/** Whether a .js file is an ES module by the nearest package.json above it. */
function isModule(folder) {
  if (folder.endsWith("/node_modules")) return false;
  const file = path.join(folder, "/package.json");
  if (fs.existsSync(file)) {
    try {
      return JSON.parse(fs.readFileSync(file))?.type === "module";
    } catch (error) {
      console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
      return false;
    }
  }
  return folder !== "/" && isModule(path.resolve(folder, ".."));
}

/** Have stack traces name TypeScript's lines where a source map says them. */
function useSourceMaps(stem) {
  const files = [".js", ".mjs", ".cjs"].map((extension) => stem + extension).filter((file) => fs.existsSync(file));
  const mapped = (file) => fs.existsSync(`${file}.map`) || fs.readFileSync(file).lastIndexOf("\n//# sourceMappingURL=") >= 0;
  if (files.some(mapped)) process.setSourceMapsEnabled(true);
}

async function importModule(root, folder, name) {
  const stem = path.resolve(root, folder, name);
  const required = (file) => (fs.existsSync(file) ? require(file) : undefined);
  const imported = async (file) => (fs.existsSync(file) ? await import(pathToFileURL(file).href) : undefined);
  useSourceMaps(stem);
  const bare = required(stem);
  if (bare) return bare;
  const esm = fs.existsSync(`${stem}.js`) && isModule(path.dirname(stem));
  return (
    (esm ? await imported(`${stem}.js`) : required(`${stem}.js`)) ||
    (await imported(`${stem}.mjs`)) ||
    required(`${stem}.cjs`) ||
    require(require.resolve(name, { paths: [root, folder] }))
  );
}

/** Where a syntax error is. Of an ES module's, Node tells only on its way out, so another one is asked. */
function placeOf(error, stem) {
  const lines = linesOf(error.stack);
  const file = [".mjs", ".js"].map((extension) => stem + extension).find((each) => fs.existsSync(each));
  if (!lines[0].startsWith(error.name) || !file) return lines;
  const checked = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" });
  return checked.status ? linesOf(checked.stderr.split("\n\n")[0]) : lines;
}

async function load(root, handler) {
  const [folder, name, inside] = partsOf(handler);
  let found;
  try {
    found = await importModule(root, folder, name);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const fault = new UserCodeSyntaxError(error);
      fault.stack = [`${fault.name}: ${fault.message}`, ...placeOf(error, path.resolve(root, folder, name))].join("\n");
      throw fault;
    }
    if (error.code === "MODULE_NOT_FOUND") throw new ImportModuleError(withoutSelf(String(error)));
    throw error;
  }
  const value = inside.split(".").reduce((within, key) => within && within[key], found);
  if (!value) throw new HandlerNotFound(`${handler} is undefined or not exported`);
  if (typeof value !== "function") throw new HandlerNotFound(`${handler} is not a function`);
  if (value[STREAMING]) refuseStreaming();
  refuseCallbacks(value);
  return value;
}

// Invocations

const nothing = () => {};
let whenIdle = nothing; // what is to happen once the event loop has nothing left to do
let onCrash = nothing; // who is told when the process has to end, and how

function headerJson(text, name) {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error.toString()}`);
  }
}

let freezesTime = false;

/** What `terralive start --debug` asks for: let debuggers in, and wait for one. */
function letDebuggerIn(wanted) {
  freezesTime = wanted.freeze_time;
  inspector.open(wanted.port, "127.0.0.1");
  if (wanted.wait) inspector.waitForDebugger();
}

/** What the context object says of the invocation and the function; also sets the trace id. */
function facts(headers) {
  const deadline = headers["lambda-runtime-deadline-ms"];
  const start = Date.now();
  const { env } = process;
  if (headers["lambda-runtime-trace-id"]) env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  else delete env._X_AMZN_TRACE_ID;
  return {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: headerJson(headers["lambda-runtime-client-context"], "ClientContext"),
    identity: headerJson(headers["lambda-runtime-cognito-identity"], "CognitoIdentity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    tenantId: headers["lambda-runtime-aws-tenant-id"],
    getRemainingTimeInMillis: () => deadline - (freezesTime ? start : Date.now()),
  };
}

/** The ways in which a handler can answer one invocation; only the first answer counts. */
function answers(api, id, goOn) {
  let answered = false;
  let waits = true;

  const fail = (thrown) => {
    logError("Invoke Error", thrown);
    api.fail(id, thrown);
    goOn();
  };
  const succeed = (result) => {
    if (answered) {
      console.error("Invocation has already been reported as done. Cannot call complete more than once per invocation.");
      return;
    }
    answered = true;
    api.respond(id, result);
    goOn();
  };
  const given = (error) => error !== undefined && error !== null;
  const done = (error, result) => {
    whenIdle = nothing;
    if (given(error)) fail(error);
    else succeed(result);
  };
  const callback = (error, result) => {
    whenIdle = nothing;
    if (given(error)) fail(error);
    else if (!waits) succeed(result);
    else whenIdle = () => setImmediate(() => succeed(result));
  };

  let finished = false;
  const once = (answer) => (...args) => {
    if (finished) return;
    answer(...args);
    finished = true; // not before: an answer that cannot be written may be followed by its error
  };
  return {
    callback: once(callback),
    context: {
      get callbackWaitsForEmptyEventLoop() {
        return waits;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        waits = value;
      },
      succeed: once((result) => done(null, result)),
      fail: once((error) => done(given(error) ? error : "handled")),
      done: once(done),
    },
    never() {
      answered = true;
      api.respond(id, null);
      goOn();
    },
  };
}

/** Asks, calls, answers. Its name and its method show in stack traces, as `Runtime.handler`. */
class Runtime {
  constructor(api, handler) {
    this.api = api;
    this.handler = handler;
  }

  goOn() {
    setImmediate(() => this.handleOne().catch((error) => crash("Uncaught Exception", error, 129)));
  }

  async handleOne() {
    const { headers, body } = await this.api.next();
    const id = headers["lambda-runtime-aws-request-id"];
    global[REQUEST_ID] = id;
    const { callback, context, never } = answers(this.api, id, () => this.goOn());
    try {
      onCrash = (error) => this.api.fail(id, error);
      whenIdle = never;
      const result = this.handler(JSON.parse(body), Object.assign(context, facts(headers)), callback);
      if (typeof result?.then === "function") result.then(context.succeed, context.fail).catch(context.fail);
    } catch (error) {
      callback(error);
    }
  }
}

function crash(what, error, status) {
  logError(what, error);
  onCrash(error);
  process.exit(status);
}

async function main(handlerName, debug) {
  setUpLogging();
  if (debug) letDebuggerIn(JSON.parse(debug));
  const api = await RuntimeApi.connect(process.env.AWS_LAMBDA_RUNTIME_API);
  onCrash = (error) => api.failInit(error);
  process.on("uncaughtException", (error) => crash("Uncaught Exception", error, 129));
  process.on("unhandledRejection", (reason, promise) => {
    crash("Unhandled Promise Rejection", new UnhandledPromiseRejection(reason, promise), 128);
  });
  process.on("beforeExit", () => whenIdle());
  globalThis.awslambda = {
    streamifyResponse: (handler) => Object.assign(handler, { [STREAMING]: "response" }),
    HttpResponseStream: { from: refuseStreaming },
  };
  new Runtime(api, await load(process.cwd(), handlerName)).goOn();
}

await main(...process.argv.slice(2));
