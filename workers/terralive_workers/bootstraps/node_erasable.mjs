/**
 * Print what keeps Node.js from running a TypeScript file, or a file that it imports; nothing
 * otherwise: `node node_erasable.mjs FILE`.
 *
 * It runs no line of the files. https://nodejs.org/api/typescript.html#typescript-features
 */

import fs from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import path from "node:path";

const IMPORTED = /\b(?:from|import|require)\s*\(?\s*["'](\.{1,2}\/[^"']*)["']/g;
const SUFFIXES = [".ts", ".mts", ".cts", ".tsx", "/index.ts"];

const isFile = (file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile();

function obstacle(files) {
  for (const file of files) {
    let text;
    try {
      text = stripTypeScriptTypes(fs.readFileSync(file, "utf8"));
    } catch (error) {
      return `${file}: ${error.message.split("\n")[0]}`;
    }
    for (const [, name] of text.matchAll(IMPORTED)) {
      const imported = path.resolve(path.dirname(file), name);
      if (isFile(imported)) {
        if (/\.[cm]?ts$/.test(imported)) files.add(imported);
        continue;
      }
      const stem = imported.replace(/\.[cm]?js$/, "");
      const meant = SUFFIXES.find((suffix) => isFile(stem + suffix));
      if (meant) return `${file} imports "${name}" and not ${path.basename(stem + meant)}`;
    }
  }
  return "";
}

process.stdout.write(obstacle(new Set([path.resolve(process.argv[2])])));
