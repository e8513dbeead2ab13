/**
 * Run a handler with AWS's own client, `aws-lambda-ric`: `node official_client.mjs INDEX_MJS HANDLER`.
 *
 * Its native addon needs a C++ compiler. Its calls are made by Node's own HTTP client here, over a
 * connection that is kept open.
 */

import http from "node:http";
import Module from "node:module";
import { pathToFileURL } from "node:url";

const API = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/`;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body = "") {
  return new Promise((resolve) => {
    const headers = body ? { "Content-Length": Buffer.byteLength(body) } : {};
    const request = http.request(API + path, { agent, method, headers }, async (response) => {
      const bytes = Buffer.concat(await response.toArray());
      resolve({ bodyJson: bytes.toString(), headers: response.headers });
    });
    request.on("error", () => process.exit(0));
    request.end(body);
  });
}

const addon = {
  next: () => call("GET", "next"),
  done: (id, body) => void call("POST", `${id}/response`, body),
  error: (id, body) => void call("POST", `${id}/error`, body),
};
const load = Module._load;
Module._load = (request, ...more) =>
  request === "./rapid-client.node" ? addon : load(request, ...more);

const { run } = await import(pathToFileURL(process.argv[2]).href);
await run(process.cwd(), process.argv[3]);
