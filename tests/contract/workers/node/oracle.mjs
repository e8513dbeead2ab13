/**
 * Run a handler with AWS's own client, `aws-lambda-ric`: `node oracle.mjs INDEX_MJS HANDLER`.
 *
 * Everything is the client's own code, except for its native addon, which needs a C++ compiler. The
 * addon is libcurl, so its two blocking calls are made by curl here. The program ends when there
 * are no more invocations.
 */

import { spawnSync } from "node:child_process";
import http from "node:http";
import Module from "node:module";
import { pathToFileURL } from "node:url";

const API = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/`;
const PATH = process.env.PATH ?? "/usr/bin:/bin";

function post(path, body) {
  if (typeof body !== "string") throw new TypeError("Wrong arguments");
  const headers = ["-H", "Content-Type: application/json", "-H", "Expect:"];
  const options = ["-sS", "-o", "/dev/null", "--data-binary", "@-", ...headers];
  const { status } = spawnSync("curl", [...options, API + path], { input: body, env: { PATH } });
  if (status !== 0) process.exit(99);
}

function next() {
  return new Promise((resolve) => {
    const request = http.get(`${API}next`, { agent: false }, async (response) => {
      const body = await response.toArray();
      resolve({ bodyJson: Buffer.concat(body).toString(), headers: response.headers });
    });
    request.on("error", () => process.exit(0));
  });
}

const addon = {
  next,
  done: (id, body) => post(`${id}/response`, body),
  error: (id, body) => post(`${id}/error`, body),
};
const load = Module._load;
Module._load = (request, ...more) => {
  if (request !== "./rapid-client.node") return load(request, ...more);
  // Restored before the handler's modules are loaded: their stack traces contain no frame of ours.
  Module._load = load;
  return addon;
};

const { run } = await import(pathToFileURL(process.argv[2]).href);
await run(process.cwd(), process.argv[3]);
