"use strict";
// Answers from the version of a function that terralive's stub has replaced.
//
// While the function is live, its runtime is Python's, and Lambda does not read this file. A
// `terraform apply` by hand sets the function's own runtime again. Then this handler invokes the
// version with the function's own code. It depends on no package.
const crypto = require("node:crypto");
const http = require("node:http");
const https = require("node:https");

const ALGORITHM = "AWS4-HMAC-SHA256";

const sha256 = (text) => crypto.createHash("sha256").update(text).digest("hex");
const hmac = (key, text) => crypto.createHmac("sha256", key).update(text).digest();

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
function authorization(url, headers, body, time, environment) {
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const query = url.search.slice(1);
  const request = ["POST", url.pathname, query, lines, names.join(";"), sha256(body)].join("\n");
  const day = time.slice(0, 8);
  const scope = [day, environment.AWS_REGION, "lambda", "aws4_request"].join("/");
  let key = `AWS4${environment.AWS_SECRET_ACCESS_KEY}`;
  for (const part of scope.split("/")) key = hmac(key, part);
  const signature = hmac(key, [ALGORITHM, time, scope, sha256(request)].join("\n"));
  const credential = `${environment.AWS_ACCESS_KEY_ID}/${scope}`;
  const parts = [`Credential=${credential}`, `SignedHeaders=${names.join(";")}`];
  return `${ALGORITHM} ${parts.join(", ")}, Signature=${signature.toString("hex")}`;
}

function endpoint(environment) {
  const region = environment.AWS_REGION;
  const own = environment.AWS_ENDPOINT_URL_LAMBDA || environment.AWS_ENDPOINT_URL;
  const suffix = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return own || `https://lambda.${region}.${suffix}`;
}

// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
function invoke(version, body, clientContext, environment) {
  const name = environment.AWS_LAMBDA_FUNCTION_NAME;
  const path = `/2015-03-31/functions/${name}/invocations?Qualifier=${version}`;
  const url = new URL(path, endpoint(environment));
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const headers = { host: url.host, "x-amz-date": time };
  if (environment.AWS_SESSION_TOKEN) headers["x-amz-security-token"] = environment.AWS_SESSION_TOKEN;
  if (clientContext) {
    const text = JSON.stringify(clientContext);
    headers["x-amz-client-context"] = Buffer.from(text).toString("base64");
  }
  headers.authorization = authorization(url, headers, body, time, environment);
  const { request } = url.protocol === "http:" ? http : https;
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", headers }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: answer.statusCode, error: answer.headers["x-amz-function-error"], text });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function named(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

function unavailable(version, why) {
  return named(
    "Terralive.NotLive",
    "A `terraform apply` has set this function's own runtime while terralive's stub was in its " +
      `place, and the version ${version} with its own code cannot be invoked: ${why}. ` +
      "`terralive start` makes it live again, and `terralive restore` puts its own code back."
  );
}

exports.answerFrom = (version) => async (event, context) => {
  let answer;
  try {
    const body = JSON.stringify(event === undefined ? null : event);
    answer = await invoke(version, body, context.clientContext, process.env);
  } catch (error) {
    throw unavailable(version, error.message);
  }
  if (answer.status !== 200) throw unavailable(version, `HTTP ${answer.status} ${answer.text}`);
  const payload = answer.text === "" ? null : JSON.parse(answer.text);
  if (!answer.error) return payload;
  const { errorType, errorMessage } = payload || {};
  throw named(errorType || answer.error, errorMessage || "");
};
