/**
 * Run a handler that is written in TypeScript, without a build of the user's.
 *
 * Where the project has esbuild, it bundles the handler's own files in memory, as most teams build
 * Lambda functions: https://esbuild.github.io/getting-started/#bundling-for-node. It respects
 * tsconfig.json. Packages are not bundled: Node.js loads them from `node_modules`. Otherwise,
 * Node.js itself removes the types: https://nodejs.org/api/typescript.html#type-stripping.
 *
 * It must never write a file. The bundle stands at the path of the handler's file, so that packages,
 * `import.meta.url`, `__dirname` and debuggers find what is beside it.
 */

import fs from "node:fs";
import module, { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(import.meta.url);
// Variables of the function must not choose the program that esbuild starts.
const OF_ESBUILD = /^ESBUILD_/;
// Marks a question of the plugin's own.
const ASKED = Symbol("asked");

/** A syntax error that esbuild has found. `place` has the lines that show where. */
export class SourceError extends SyntaxError {
  constructor(message, place) {
    super(message);
    this.place = place;
  }
}
SourceError.prototype.name = "SyntaxError";

/**
 * Import a TypeScript file.
 *
 * @param file the absolute path of the file.
 * @param esbuild the folder of the package esbuild; "" where Node.js itself removes the types.
 */
export async function importTypeScript(file, esbuild) {
  if (!esbuild) return exportsOf(await import(pathToFileURL(file).href));
  process.setSourceMapsEnabled(true);
  const { text, isEsModule } = await bundled(file, esbuild);
  if (!isEsModule) return required(file, text);
  return exportsOf(await imported(file, text));
}

/** Return what a CommonJS module exports, also where `import` shows it as `default` only. */
function exportsOf(namespace) {
  const named = Object.keys(namespace).filter((name) => !/^(default|module\.exports)$/.test(name));
  if (named.length || typeof namespace.default !== "object") return namespace;
  return namespace.default ?? namespace;
}

/**
 * Bundle a file and what it imports, without packages.
 *
 * The result is a CommonJS module, unless package.json or the suffix makes it an ES module, or its
 * source can only be one.
 */
async function bundled(file, folder) {
  const esbuild = withoutVariables(() => require(folder));
  try {
    const isEsModule = isModuleFile(file);
    const built = await build(esbuild, file, isEsModule);
    const needsModule = built.warnings.some(({ id }) => id === "empty-import-meta");
    if (isEsModule || !needsModule) return { text: textOf(built), isEsModule };
    return { text: textOf(await build(esbuild, file, true)), isEsModule: true };
  } catch (error) {
    if (!error.errors?.length) throw error;
    if (!error.errors.some(({ text }) => text.startsWith("Top-level await"))) {
      throw asNodesError(error.errors[0], file);
    }
    return { text: textOf(await build(esbuild, file, true)), isEsModule: true };
  } finally {
    await esbuild.stop?.();
  }
}

const textOf = (built) => built.outputFiles[0].text;

// What a CommonJS module has, for sources that use both. In one line: a map counts lines.
const BANNER = [
  'import { createRequire as $require } from "node:module";',
  'import $path from "node:path";',
  'import { fileURLToPath as $file } from "node:url";',
  "const require = $require(import.meta.url);",
  "const __filename = $file(import.meta.url), __dirname = $path.dirname(__filename);",
].join(" ");

function build(esbuild, file, isEsModule) {
  return withoutVariables(() =>
    esbuild.build({
      absWorkingDir: path.dirname(file),
      banner: isEsModule ? { js: BANNER } : {},
      bundle: true,
      entryPoints: [file],
      external: ["*.node"],
      format: isEsModule ? "esm" : "cjs",
      keepNames: true,
      logLevel: "silent",
      outfile: `${file}.js`,
      platform: "node",
      plugins: [packagesStayOutside(file, isEsModule)],
      sourcemap: "inline",
      sourcesContent: false,
      target: `node${process.versions.node}`,
      write: false,
    }),
  );
}

/**
 * Leave packages to Node.js.
 *
 * Bundled are a workspace's own packages, which are linked into `node_modules`, and ES modules that
 * a CommonJS module could not require.
 */
function packagesStayOutside(file, isEsModule) {
  return {
    name: "terralive",
    setup(build) {
      build.onResolve({ filter: /^[^./]/ }, async (wanted) => {
        if (wanted.pluginData === ASKED || wanted.kind === "entry-point") return undefined;
        const { importer, kind, namespace, resolveDir } = wanted;
        const question = { importer, kind, namespace, resolveDir, pluginData: ASKED };
        const found = await build.resolve(wanted.path, question);
        // Without the package, the error is Node.js's own, where the code needs it.
        if (found.errors.length || found.external) return { path: wanted.path, external: true };
        const isPackage = found.path.split(path.sep).includes("node_modules");
        const isRequired = !isEsModule && kind !== "dynamic-import";
        if (!isPackage || (isRequired && isModuleFile(found.path))) return undefined;
        // The bundle stands at the handler's file. From there, the name may mean another package.
        const there = { ...question, importer: file, resolveDir: path.dirname(file) };
        const isSame =
          resolveDir === there.resolveDir ||
          (await build.resolve(wanted.path, there)).path === found.path;
        return { path: isSame ? wanted.path : found.path, external: true };
      });
    },
  };
}

/** Whether a file is an ES module by its suffix or the nearest package.json. */
function isModuleFile(file) {
  if (/\.m[jt]s$/.test(file)) return true;
  if (/\.(c[jt]s|json|node)$/.test(file)) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const described = path.join(folder, "package.json");
    if (fs.existsSync(described)) {
      try {
        return JSON.parse(fs.readFileSync(described, "utf8"))?.type === "module";
      } catch {
        return false;
      }
    }
    if (folder === path.dirname(folder)) return false;
  }
}

function withoutVariables(action) {
  const kept = Object.entries(process.env).filter(([name]) => OF_ESBUILD.test(name));
  for (const [name] of kept) delete process.env[name];
  try {
    return action();
  } finally {
    Object.assign(process.env, Object.fromEntries(kept));
  }
}

/** Run a CommonJS module's text as if it stood in a file. */
function required(file, text) {
  const loaded = new module.Module(file);
  loaded.filename = file;
  loaded.paths = module.Module._nodeModulePaths(path.dirname(file));
  require.cache[file] = loaded;
  loaded._compile(text, file);
  loaded.loaded = true;
  return loaded.exports;
}

// Runs on Node.js's own thread for imports, where Node.js has no hooks on the main thread.
const LOADER = `
let module;
export function initialize(given) {
  module = given;
}
export async function load(url, context, next) {
  if (url !== module.url) return await next(url, context);
  return { format: "module", source: module.text, shortCircuit: true };
}`;

/** Import an ES module's text as if it stood in a file. */
async function imported(file, text) {
  const url = pathToFileURL(file).href;
  const isOurs = { format: "module", source: text, shortCircuit: true };
  if (module.registerHooks) {
    const load = (asked, context, next) => (asked === url ? isOurs : next(asked, context));
    module.registerHooks({ load });
  } else {
    module.register(`data:text/javascript,${encodeURIComponent(LOADER)}`, { data: { url, text } });
  }
  return await import(url);
}

/** Return an error of esbuild's as Node.js would report it. */
function asNodesError({ text, location }, entry) {
  let file = entry;
  if (location) file = path.resolve(path.dirname(entry), location.file);
  const missing = /^Could not resolve "(.*)"/.exec(text);
  if (missing) {
    const error = new Error(`Cannot find module '${missing[1]}'\nRequire stack:\n- ${file}`);
    return Object.assign(error, { code: "MODULE_NOT_FOUND" });
  }
  if (!location) return new SourceError(text, []);
  const pointer = " ".repeat(location.column) + "^".repeat(Math.max(1, location.length));
  return new SourceError(text, [`${file}:${location.line}`, location.lineText, pointer, ""]);
}
