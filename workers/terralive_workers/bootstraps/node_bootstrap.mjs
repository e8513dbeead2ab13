/**
 * Run a Node.js Lambda handler on this machine as Lambda's managed Node.js runtime does.
 *
 * Terralive starts it with the project's own interpreter: `node node_bootstrap.mjs
 * folder/module.function`. It uses no packages, and runs on Node.js 18 and later. TypeScript is run by
 * node_typescript.mjs, which is read only then. It
 * gets invocations from the Runtime API at `AWS_LAMBDA_RUNTIME_API`, calls the handler, and answers
 * exactly as `aws-lambda-ric` does (tests/contract/workers/test_node_runtime.py compares the two).
 * The model is version 3 of that client, which the runtimes up to nodejs22.x contain, with
 * callbacks. Of version 4 (nodejs24.x), it has the one difference that breaks handlers: a handler
 * that takes a callback is not run.
 *
 * It must never leave its own frames in a stack trace, or its own words in a log. One difference is
 * intended: a syntax error keeps its file and line in the trace (as in version 4 of the client).
 */

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import inspector from "node:inspector";
import module, { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import util from "node:util";

const require = createRequire(import.meta.url);
const OWN_FILE = fileURLToPath(import.meta.url);
// The folder of the bootstrap's files, as their frames show it.
const OWN_FOLDER = new URL(".", import.meta.url).href;
const VERSION = "/2018-06-01/runtime";

// Errors. JSON logs show the names of their classes. Everything else shows their `name`.

class ImportModuleError extends Error {}
class HandlerNotFound extends Error {}
class MalformedHandlerName extends Error {}
class UserCodeSyntaxError extends Error {}
class CallbackHandlerDeprecated extends Error {}
class MalformedStreamingHandler extends Error {}
class InvalidStreamingOperation extends Error {}
class UnhandledPromiseRejection extends Error {
  constructor(reason, promise) {
    super(reason);
    this.reason = reason;
    this.promise = promise;
  }
}
for (const kind of [
  ImportModuleError,
  HandlerNotFound,
  MalformedHandlerName,
  UserCodeSyntaxError,
  CallbackHandlerDeprecated,
  MalformedStreamingHandler,
  InvalidStreamingOperation,
  UnhandledPromiseRejection,
]) {
  kind.prototype.name = `Runtime.${kind.name}`;
}

/** Return the lines of a text without the bootstrap's frames and the frames below them. */
function linesOf(text) {
  if (!text.includes(OWN_FOLDER)) return text.split("\n");
  const kept = [];
  let below = false;
  for (const line of text.split("\n")) {
    const isFrame = /^\s+at /.test(line);
    below = isFrame && (below || line.includes(OWN_FOLDER));
    if (!below) {
      kept.push(line);
    } else if (line.endsWith(" {")) {
      // The error's own properties follow: the brace moves to the last line that stays.
      kept.push(`${kept.pop() ?? ""} {`);
    }
  }
  return kept;
}

/** Return a message without this file in its "Require stack". */
function withoutSelf(message) {
  const lines = message.split("\n");
  return lines.filter((line) => line !== `- ${OWN_FILE}`).join("\n");
}

function asError(thrown) {
  return thrown instanceof Error ? thrown : new Error(thrown);
}

/** Replace the one character that the official client does not write into its headers. */
function printable(text) {
  return text?.replace(/\x7F/g, "%7F");
}

/** Whether a value has the properties of an error that are reported. */
function looksLikeError(thrown) {
  const properties = [thrown?.name, thrown?.message, thrown?.stack];
  return properties.every((property) => property && typeof property === "string");
}

/** Return the document by which a thrown value is reported to the Runtime API. */
function errorDocument(thrown) {
  try {
    const isError = looksLikeError(thrown);
    if (util.types.isNativeError(thrown) || isError) {
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
        "callback called with Error argument, but there was a problem while retrieving one or " +
        "more of its message, name, and stack",
    };
  }
}

/**
 * Return a header with the errors that led to this one, or "".
 *
 * Lambda tells nobody of `cause` and of the errors of an AggregateError.
 */
function causesHeader(thrown) {
  const found = [];
  const seen = new Set([thrown]);
  const ledTo = (error) => {
    const parts = Array.isArray(error?.errors) ? error.errors : [];
    return [
      ...(error?.cause === undefined ? [] : [["cause", error.cause]]),
      ...parts.map((part) => ["part", part]),
    ];
  };
  try {
    let todo = ledTo(thrown);
    while (todo.length > 0 && found.length < MOST_CAUSES) {
      const [relation, cause] = todo.shift();
      if (seen.has(cause)) continue;
      seen.add(cause);
      const { errorType, errorMessage, trace } = errorDocument(cause);
      found.push({ relation, errorType, errorMessage, stackTrace: trace });
      todo = [...ledTo(cause), ...todo];
    }
    if (found.length === 0) return "";
    const text = Buffer.from(JSON.stringify(found)).toString("base64");
    return text.length < MOST_HEADER ? `Terralive-Error-Causes: ${text}\r\n` : "";
  } catch {
    return ""; // a getter of the error has thrown
  }
}

function serialise(value) {
  let text;
  try {
    text = JSON.stringify(value === undefined ? null : value);
  } catch {
    throw new Error("Unable to stringify response body");
  }
  // JSON.stringify returns no text for a function or a symbol.
  if (typeof text !== "string") throw new TypeError("Wrong arguments");
  return text;
}

// Logs: https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html

// Libraries look for the request id and the tenant's id under these names.
const REQUEST_ID = Symbol.for("aws.lambda.runtime.requestId");
const TENANT_ID = Symbol.for("aws.lambda.runtime.tenantId");
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const IN_JSON = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";

/** Return the text of a log call, without the frames of this file. */
function formatted(message, params) {
  return linesOf(util.format(message, ...params)).join("\n");
}

function textLine(time, level, message, params) {
  return `${time}\t${global[REQUEST_ID]}\t${level}\t${formatted(message, params)}`;
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
  // JSON leaves out what is undefined.
  record.tenantId = global[TENANT_ID];
  if (params.length === 0) {
    record.message = message;
    const withErrors = (_, value) => {
      if (!(value instanceof Error)) return value;
      return { ...errorFields(value), ...value };
    };
    try {
      return JSON.stringify(record, withErrors);
    } catch {
      record.message = formatted(message, params);
      return JSON.stringify(record);
    }
  }
  record.message = formatted(message, params);
  const error = [message, ...params].find((param) => param instanceof Error);
  if (error) {
    Object.assign(record, errorFields(error));
    record.stackTrace ??= [];
  }
  return JSON.stringify(record);
}

// Whether the last text that this invocation has written to stdout has not ended its line.
let lineIsOpen = false;

/** Note for log lines whose invocation begins. Return its request id. */
function noteInvocation(headers) {
  lineIsOpen = false; // the end of an invocation ends its last line
  global[REQUEST_ID] = headers["lambda-runtime-aws-request-id"];
  global[TENANT_ID] = headers["lambda-runtime-aws-tenant-id"];
  return global[REQUEST_ID];
}

/**
 * Have all output written when a write returns, as on Lambda. Otherwise what a pipe does not hold
 * (64 KB) would come after the answer, and be lost at the end of the process.
 */
function writeAtOnce() {
  for (const stream of [process.stdout, process.stderr]) {
    stream._handle?.setBlocking?.(true);
  }
}

/**
 * Return a function that writes a record as a line of its own. Lambda frames each record, so that
 * it is a log event of its own also behind a `process.stdout.write` that has ended no line.
 */
function recordWriter() {
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (chunk, ...rest) => {
    const last = chunk?.at?.(-1);
    if (last !== undefined) lineIsOpen = last !== "\n" && last !== 10;
    return write(chunk, ...rest);
  };
  return (text) => {
    write((lineIsOpen ? "\n" : "") + text + "\n");
    lineIsOpen = false;
  };
}

function setUpLogging() {
  writeAtOnce();
  const writeRecord = recordWriter();
  const format = IN_JSON ? jsonLine : textLine;
  const lowest = Math.max(0, LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()));
  LEVELS.forEach((level, rank) => {
    const write = (message, ...params) => {
      const text = format(new Date().toISOString(), level, message, params);
      // A log event is one line of output. Lambda writes its own lines with carriage returns.
      writeRecord(text.replace(/\n/g, "\r"));
    };
    const isWritten = rank >= lowest || level === "FATAL";
    console[level.toLowerCase()] = isWritten ? write : () => {};
  });
  console.log = console.info;
}

/** Log the error with which an invocation, or the process, ends. */
function logError(title, thrown) {
  const error = asError(thrown);
  if (IN_JSON) {
    console.error(error);
    return;
  }
  const withErrors = (_, value) => {
    if (!(value instanceof Error)) return value;
    const shown = {
      errorType: value.name,
      errorMessage: value.message,
      code: value.code,
      ...value,
    };
    if (typeof value.stack === "string") shown.stack = linesOf(value.stack);
    return shown;
  };
  let text;
  try {
    text = JSON.stringify(error, withErrors);
  } catch {
    text = JSON.stringify(errorDocument(error));
  }
  console.error(title, `\t${text}`);
}

// The Runtime API

const MOST_CAUSES = 10;
const MOST_HEADER = 1 << 20;
const ERROR_TYPE = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY = "Lambda-Runtime-Function-Error-Body";

/**
 * The Runtime API over one connection that is kept open.
 *
 * Answers are written, and the responses to them read, synchronously, as the official client does
 * it in C++: `process.exit` right after a callback must not lose the answer. While a handler runs,
 * the connection does not keep the event loop alive.
 */
class RuntimeApi {
  #socket;
  #agent; // the connection of streamed responses, which is another one
  #prefix; // of every path
  // What has been received and not been used yet: chunks, which are joined only when that can
  // complete a response, since an event may have megabytes.
  #received = [];
  #missing = 1; // the least number of bytes that have to come before a response is complete
  #arrived = () => {}; // called for each chunk while `next` waits

  static async connect(address) {
    const [, host, port, prefix] = /^(.*):(\d+)(.*)$/.exec(address);
    const api = new RuntimeApi();
    api.#prefix = prefix + VERSION;
    api.host = host;
    api.port = Number(port);
    api.#socket = net.connect({ host, port: Number(port), noDelay: true });
    await new Promise((resolve) => {
      api.#socket.once("connect", resolve);
      // Without a Runtime API, the worker is not needed any more.
      api.#socket.once("error", () => process.exit(0));
    });
    api.#socket.on("close", () => process.exit(0));
    api.#socket.on("data", (chunk) => {
      api.#receive(chunk);
      api.#arrived();
    });
    api.#socket.unref();
    return api;
  }

  /** Wait for the next invocation: {headers, body}. */
  async next() {
    this.#socket.ref();
    this.#send(`GET ${this.#prefix}/invocation/next HTTP/1.1\r\nHost: terralive\r\n\r\n`);
    let response = this.#takeResponse();
    while (!response) {
      await new Promise((resolve) => (this.#arrived = resolve));
      response = this.#takeResponse();
    }
    this.#socket.unref();
    return response;
  }

  /**
   * Begin a streamed response: a request whose body the handler writes.
   *
   * The request keeps the event loop alive until it is answered.
   */
  stream(id, highWaterMark) {
    const http = require("node:http");
    if (!this.#agent) {
      this.#agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      this.#agent.createConnection = (options, connected) =>
        net.createConnection({ ...options, highWaterMark }, connected);
    }
    return http.request({
      host: this.host,
      port: this.port,
      method: "POST",
      path: `${this.#prefix}/invocation/${encodeURIComponent(id)}/response`,
      agent: this.#agent,
      headers: {
        "Content-Type": "application/octet-stream",
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        Trailer: [ERROR_TYPE, ERROR_BODY],
      },
    });
  }

  respond(id, result) {
    this.#post(`/invocation/${encodeURIComponent(id)}/response`, serialise(result));
  }

  fail(id, thrown) {
    const path = `/invocation/${encodeURIComponent(id)}/error`;
    this.#post(path, serialise(errorDocument(thrown)), causesHeader(thrown));
  }

  failInit(thrown) {
    const document = errorDocument(thrown);
    const header = `${ERROR_TYPE}: ${document.errorType}\r\n`;
    this.#post("/init/error", serialise(document), header);
  }

  #post(to, text, headers = "") {
    const body = Buffer.from(text);
    const head =
      `POST ${this.#prefix}${to} HTTP/1.1\r\nHost: terralive\r\n` +
      `Content-Type: application/json\r\n${headers}Content-Length: ${body.length}\r\n\r\n`;
    this.#send(Buffer.concat([Buffer.from(head), body]));
    const chunk = Buffer.alloc(4096);
    while (!this.#takeResponse()) {
      const size = this.#retry(() => fs.readSync(this.#socket._handle.fd, chunk));
      if (size === 0) process.exit(0);
      this.#receive(Buffer.from(chunk.subarray(0, size)));
    }
  }

  #send(data) {
    let left = Buffer.from(data);
    while (left.length > 0) {
      left = left.subarray(this.#retry(() => fs.writeSync(this.#socket._handle.fd, left)));
    }
  }

  /** Do a synchronous operation on the socket, which is not ready for it at every moment. */
  #retry(operation) {
    for (let pause = 0.05; ; pause = Math.min(1, pause * 1.5)) {
      try {
        return operation();
      } catch (error) {
        if (error.code !== "EAGAIN") process.exit(0); // the relay has ended
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
      }
    }
  }

  #receive(chunk) {
    this.#received.push(chunk);
    this.#missing -= chunk.length;
  }

  /** Take one complete response out of what has been received, or return undefined. */
  #takeResponse() {
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

/** Throw if the handler takes a callback and the runtime is nodejs24.x or later. */
function refuseCallbacks(handler) {
  const environment = process.env.AWS_EXECUTION_ENV ?? "";
  const [, runtime] = /^AWS_Lambda_nodejs(\d+)/.exec(environment) ?? [];
  if (runtime === undefined || Number(runtime) < 24 || handler.length < 3) return;
  throw new CallbackHandlerDeprecated(
    "ERROR: AWS Lambda has removed support for callback-based function handlers starting with " +
      "Node.js 24. You need to modify this function to use a supported handler signature to use " +
      "Node.js 24 or later. For more information see " +
      "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.",
  );
}

/** Split `folder/module.object.function` into folder, module, and `object.function`. */
function partsOf(handler) {
  if (handler.includes("..")) {
    throw new MalformedHandlerName(
      `'${handler}' is not a valid handler name. Use absolute paths when specifying root ` +
        "directories in handler names.",
    );
  }
  const base = path.basename(handler);
  const match = /^([^.]*)\.(.*)$/.exec(base);
  if (!match) throw new MalformedHandlerName("Bad handler");
  return [handler.substring(0, handler.indexOf(base)), match[1], match[2]];
}

/** Whether the nearest package.json makes the .js files of a folder ES modules. */
function isModule(folder) {
  if (folder.endsWith("/node_modules")) return false;
  const file = path.join(folder, "/package.json");
  if (fs.existsSync(file)) {
    try {
      return JSON.parse(fs.readFileSync(file))?.type === "module";
    } catch (error) {
      console.warn(
        `${file} cannot be read, it will be ignored for ES module detection purposes.`,
        error,
      );
      return false;
    }
  }
  return folder !== "/" && isModule(path.resolve(folder, ".."));
}

// Runs on Node.js's own thread for imports. A package that is not beside the code is looked for
// beside the other files.
const RESOLVER = `
let others = [];
export function initialize(files) {
  others = files;
}
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND" || /^([./]|[a-z]+:)/.test(specifier)) throw error;
    for (const parentURL of others) {
      try {
        return await next(specifier, { ...context, parentURL });
      } catch {}
    }
    throw error;
  }
}`;

/**
 * Let `import` find packages in NODE_PATH, as Lambda's Node.js does.
 *
 * Node.js itself uses NODE_PATH for `require` only. An older one has no `module.register`.
 */
function importFromNodePath() {
  const folders = (process.env.NODE_PATH ?? "").split(path.delimiter);
  const packages = folders.filter((folder) => path.basename(folder) === "node_modules");
  if (!packages.length || !module.register) return;
  const others = packages.map((folder) => pathToFileURL(path.join(folder, "../any.mjs")).href);
  module.register(`data:text/javascript,${encodeURIComponent(RESOLVER)}`, { data: others });
}

// So many JavaScript files and folders are looked at for a source map.
const MOST_LOOKS = 500;

/**
 * Let stack traces show the lines of TypeScript files, if a file of the code has a source map.
 *
 * The handler's own file may have none: a bundler may put everything into chunks that it imports.
 */
function useSourceMaps(root, stem) {
  let left = MOST_LOOKS;
  const folders = [path.dirname(stem), root];
  for (const folder of folders) {
    left -= 1;
    let entries = [];
    try {
      entries = fs.readdirSync(folder, { withFileTypes: true });
    } catch {
      continue; // it is gone, or not ours to read
    }
    for (const entry of entries) {
      const file = path.join(folder, entry.name);
      const isHidden = entry.name === "node_modules" || entry.name.startsWith(".");
      if (entry.isDirectory() && !isHidden && !folders.includes(file)) folders.push(file);
      if (!entry.isFile() || !/\.[cm]?js$/.test(entry.name)) continue;
      if (hasSourceMap(file)) {
        process.setSourceMapsEnabled(true);
        return;
      }
      left -= 1;
    }
    if (left <= 0) return;
  }
}

function hasSourceMap(file) {
  if (fs.existsSync(`${file}.map`)) return true;
  return fs.readFileSync(file).lastIndexOf("\n//# sourceMappingURL=") >= 0;
}

/** Import the handler's module. The order of the attempts is that of the managed runtime. */
async function importModule(root, folder, name, typescript) {
  const stem = path.resolve(root, folder, name);
  const required = (file) => (fs.existsSync(file) ? require(file) : undefined);
  const imported = async (file) => {
    if (!fs.existsSync(file)) return undefined;
    return await import(pathToFileURL(file).href);
  };
  importFromNodePath();
  if (typescript) {
    const { importTypeScript } = await import("./node_typescript.mjs");
    return await importTypeScript(typescript.file, typescript.esbuild);
  }
  useSourceMaps(path.resolve(root), stem);
  const bare = required(stem);
  if (bare) return bare;
  const isEsModule = fs.existsSync(`${stem}.js`) && isModule(path.dirname(stem));
  return (
    (isEsModule ? await imported(`${stem}.js`) : required(`${stem}.js`)) ||
    (await imported(`${stem}.mjs`)) ||
    required(`${stem}.cjs`) ||
    require(require.resolve(name, { paths: [root, folder] }))
  );
}

/**
 * Return the lines that show where a syntax error is.
 *
 * The stack of an ES module's error does not contain its place. Node.js writes the place only when
 * it ends with that error, so another Node.js is asked to check the file.
 */
function placeOf(error, stem) {
  if (error.place) return [...error.place, ...linesOf(String(error))];
  const lines = linesOf(error.stack);
  const file = [`${stem}.mjs`, `${stem}.js`].find((each) => fs.existsSync(each));
  if (!lines[0].startsWith(error.name) || !file) return lines;
  const checked = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" });
  return checked.status ? linesOf(checked.stderr.split("\n\n")[0]) : lines;
}

/** Import the handler, or throw an error with a name of the Runtime API. */
async function load(root, handler, typescript) {
  const [folder, name, inside] = partsOf(handler);
  let module;
  try {
    module = await importModule(root, folder, name, typescript);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const fault = new UserCodeSyntaxError(error);
      const place = placeOf(error, path.resolve(root, folder, name));
      fault.stack = [`${fault.name}: ${fault.message}`, ...place].join("\n");
      throw fault;
    }
    if (error.code === "MODULE_NOT_FOUND") throw new ImportModuleError(withoutSelf(String(error)));
    throw error;
  }
  let found = module;
  for (const key of inside.split(".")) {
    found = found && found[key];
  }
  if (!found) throw new HandlerNotFound(`${handler} is undefined or not exported`);
  if (typeof found !== "function") throw new HandlerNotFound(`${handler} is not a function`);
  if (!streams(found)) refuseCallbacks(found);
  return found;
}

// Streamed responses: https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");
const PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END = new Uint8Array(8);

// What a handler sees of the request that is its stream.
const STREAM_METHODS = [
  ...["cork", "destroy", "end", "uncork", "write", "setContentType"],
  ...["addListener", "emit", "eventNames", "getMaxListeners", "listenerCount", "listeners"],
  ...["off", "on", "once", "prependListener", "prependOnceListener", "rawListeners"],
  ...["removeAllListeners", "removeListener", "setMaxListeners"],
];
const STREAM_PROPERTIES = ["destroyed", "writable", "_onBeforeFirstWrite"];
const READ_ONLY_PROPERTIES = [
  ...["writableFinished", "writableObjectMode", "writableBuffer", "writableEnded"],
  ...["writableNeedDrain", "writableHighWaterMark", "writableCorked", "writableLength"],
];

const awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = "response";
    if (typeof options?.highWaterMark === "number") {
      handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark);
    }
    return handler;
  },
  HttpResponseStream: class HttpResponseStream {
    /** Let a stream begin with the status, headers and cookies of an HTTP response. */
    static from(stream, prelude) {
      stream.setContentType(PRELUDE_TYPE);
      const text = JSON.stringify(prelude);
      stream._onBeforeFirstWrite = (write) => {
        write(text);
        write(PRELUDE_END);
      };
      return stream;
    }
  },
};

/** Whether a handler streams its response. */
function streams(handler) {
  const kind = handler[STREAMING];
  if (kind === undefined || kind === null || kind === false) return false;
  if (kind === "response") return true;
  throw new MalformedStreamingHandler("Only response streaming is supported.");
}

/** Return the stream that a handler writes, for the request that carries it. */
function writableOf(request) {
  let isBegun = false;
  const { write, end } = request;
  request.setContentType = (type) => {
    if (isBegun) throw new InvalidStreamingOperation("Cannot set content-type, too late.");
    request.setHeader("Content-Type", type);
  };
  request.write = (chunk, encoding, callback) => {
    void chunk.length; // null and undefined are errors
    const isPlain =
      typeof chunk === "string" || Buffer.isBuffer(chunk) || chunk?.constructor === Uint8Array;
    const data = isPlain ? chunk : JSON.stringify(chunk);
    if (!isBegun) request._onBeforeFirstWrite?.((first) => write.call(request, first));
    const goesOn = write.call(request, data, encoding, callback);
    isBegun = true;
    return goesOn;
  };
  // The official client passes one argument on. Without a write before, there is no prelude.
  request.end = (last) => void end.call(request, last);
  const stream = {};
  for (const name of STREAM_METHODS) stream[name] = request[name].bind(request);
  for (const name of STREAM_PROPERTIES) {
    const set = (value) => (request[name] = value);
    Object.defineProperty(stream, name, { get: () => request[name], set });
  }
  for (const name of READ_ONLY_PROPERTIES) {
    Object.defineProperty(stream, name, { get: () => request[name] });
  }
  return stream;
}

/**
 * Return the stream of a request, its end, and what ends it with an error.
 *
 * An error is in the trailers, even if nothing was written before.
 */
function streamed(request) {
  const answered = new Promise((resolve, reject) => {
    request.on("response", (response) => {
      response.on("aborted", reject);
      response.on("end", resolve);
      response.resume();
    });
    request.on("error", reject);
  });
  const fail = (thrown, then) => {
    logError("Invoke Error", thrown);
    const document = errorDocument(thrown);
    request.addTrailers({
      [ERROR_TYPE]: document.errorType,
      [ERROR_BODY]: Buffer.from(JSON.stringify(document)).toString("base64"),
    });
    request.end();
    answered.then(then);
  };
  return { stream: writableOf(request), answered, fail };
}

// Invocations

const nothing = () => {};
let whenIdle = nothing; // called when the event loop has nothing left to do
let onCrash = nothing; // called with the error when the process has to end
let freezesTime = false; // whether the remaining time stays what it was at an invocation's start

function headerJson(text, name) {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error.toString()}`);
  }
}

/** Let debuggers attach, and wait for one, as `terralive start --debug` asks. */
function openDebugPort(wanted) {
  freezesTime = wanted.freeze_time;
  inspector.open(wanted.port, "127.0.0.1");
  if (wanted.wait) inspector.waitForDebugger();
}

function setTraceId(traceId) {
  if (traceId) process.env._X_AMZN_TRACE_ID = traceId;
  else delete process.env._X_AMZN_TRACE_ID;
}

/** Return the properties of the context object that describe the invocation and the function. */
function contextProperties(headers) {
  const deadline = headers["lambda-runtime-deadline-ms"];
  const start = Date.now();
  const { env } = process;
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

/** Return the ways in which a handler can answer one invocation. Only the first answer counts. */
function answers(api, id, goOn) {
  let answered = false;
  let waits = true; // context.callbackWaitsForEmptyEventLoop

  const fail = (thrown) => {
    logError("Invoke Error", thrown);
    api.fail(id, thrown);
    goOn();
  };
  const succeed = (result) => {
    if (answered) {
      console.error(
        "Invocation has already been reported as done. " +
          "Cannot call complete more than once per invocation.",
      );
      return;
    }
    answered = true;
    api.respond(id, result);
    goOn();
  };
  const isGiven = (error) => error !== undefined && error !== null;
  const done = (error, result) => {
    whenIdle = nothing;
    if (isGiven(error)) fail(error);
    else succeed(result);
  };
  const callback = (error, result) => {
    whenIdle = nothing;
    if (isGiven(error)) fail(error);
    else if (!waits) succeed(result);
    else whenIdle = () => setImmediate(() => succeed(result));
  };

  let finished = false;
  const once = (answer) => (...args) => {
    if (finished) return;
    answer(...args);
    // Not before: if an answer cannot be written, the error may follow it.
    finished = true;
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
      fail: once((error) => done(isGiven(error) ? error : "handled")),
      done: once(done),
    },
    never() {
      answered = true;
      api.respond(id, null);
      goOn();
    },
  };
}

/**
 * Gets invocations, calls the handler and answers.
 *
 * Stack traces show the names of this class and of its property, as `Runtime.handler`.
 */
class Runtime {
  constructor(api, handler) {
    this.api = api;
    this.handler = handler;
  }

  goOn() {
    setImmediate(() => {
      const handled = streams(this.handler) ? this.streamOne() : this.handleOne();
      handled.catch((error) => crash("Uncaught Exception", error, 129));
    });
  }

  async handleOne() {
    const { headers, body } = await this.api.next();
    const id = noteInvocation(headers);
    const { callback, context, never } = answers(this.api, id, () => this.goOn());
    try {
      onCrash = (error) => this.api.fail(id, error);
      whenIdle = never;
      const event = JSON.parse(body);
      setTraceId(headers["lambda-runtime-trace-id"]);
      Object.assign(context, contextProperties(headers));
      const result = this.handler(event, context, callback);
      if (typeof result?.then === "function") {
        result.then(context.succeed, context.fail).catch(context.fail);
      }
    } catch (error) {
      callback(error);
    }
  }

  async streamOne() {
    const { headers, body } = await this.api.next();
    const id = noteInvocation(headers);
    const context = { callbackWaitsForEmptyEventLoop: true };
    const request = this.api.stream(id, this.handler[HIGH_WATER_MARK]);
    const { stream, answered, fail } = streamed(request);
    const goOn = () => {
      whenIdle = nothing;
      if (context.callbackWaitsForEmptyEventLoop) whenIdle = () => this.goOn();
      else this.goOn();
    };
    try {
      onCrash = (error) => this.api.fail(id, error);
      whenIdle = () => this.goOn();
      setTraceId(headers["lambda-runtime-trace-id"]);
      Object.assign(context, contextProperties(headers));
      const event = JSON.parse(body);
      const result = this.handler(event, stream, context);
      if (typeof result?.then !== "function") {
        fail("Streaming does not support non-async handlers.", goOn);
        return;
      }
      if ((await result) !== undefined) console.warn("Streaming handlers ignore return values.");
      await answered;
      if (stream.writableFinished) goOn();
      else fail("Response stream is not finished.", goOn);
    } catch (error) {
      fail(error, goOn);
    }
  }
}

function crash(title, error, status) {
  logError(title, error);
  onCrash(error);
  process.exit(status);
}

async function main(handlerName, given = "{}") {
  const { debug, typescript } = JSON.parse(given);
  setUpLogging();
  if (debug) openDebugPort(debug);
  const api = await RuntimeApi.connect(process.env.AWS_LAMBDA_RUNTIME_API);
  onCrash = (error) => api.failInit(error);
  process.on("uncaughtException", (error) => crash("Uncaught Exception", error, 129));
  process.on("unhandledRejection", (reason, promise) => {
    const error = new UnhandledPromiseRejection(reason, promise);
    crash("Unhandled Promise Rejection", error, 128);
  });
  process.on("beforeExit", () => whenIdle());
  globalThis.awslambda = awslambda;
  new Runtime(api, await load(process.cwd(), handlerName, typescript)).goOn();
}

await main(...process.argv.slice(2));
