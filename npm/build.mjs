// Makes the npm package of the browser client: node npm/build.mjs dist/npm
//
// The modules are those of the Django package, as they are. For Jest and other programs that
// still require() there is a CommonJS copy of each, with declarations of the same name.

import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import typescript from "typescript";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = join(HERE, "..");
const SOURCE = join(ROOT, "django_sessions_plus/static/django_sessions_plus");

const OPTIONS = { module: typescript.ModuleKind.CommonJS, target: typescript.ScriptTarget.ES2022 };
// "./tokens.js" in an import, a require() or a declaration.
const NEIGHBOUR = /(["'])\.\/([\w-]+)\.js\1/g;

const inCommon = (text) => text.replace(NEIGHBOUR, "$1./$2.cjs$1");

/** Return the files that `entries` lead to, themselves included. */
async function reachable(entries) {
  const found = new Set();
  const waiting = [...entries];
  while (waiting.length) {
    const name = waiting.pop();
    if (found.has(name)) continue;
    found.add(name);
    const text = await readFile(join(SOURCE, name), "utf8");
    const suffix = name.endsWith(".d.ts") ? ".d.ts" : ".js";
    for (const [, , neighbour] of text.matchAll(NEIGHBOUR)) waiting.push(neighbour + suffix);
  }
  return [...found].sort();
}

function forBoth({ types, default: module }) {
  return {
    import: { types, default: module },
    require: { types: types.replace(/\.d\.ts$/, ".d.cts"), default: module.replace(/\.js$/, ".cjs") },
  };
}

async function build(target) {
  const description = JSON.parse(await readFile(join(SOURCE, "package.json"), "utf8"));
  const entries = Object.entries(description.exports).filter(([, entry]) => typeof entry !== "string");
  const files = await reachable(entries.flatMap(([, entry]) => Object.values(entry)).map((path) => basename(path)));
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  for (const name of files) {
    const text = await readFile(join(SOURCE, name), "utf8");
    await writeFile(join(target, name), text);
    const isTypes = name.endsWith(".d.ts");
    const copy = isTypes ? name.replace(/\.d\.ts$/, ".d.cts") : name.replace(/\.js$/, ".cjs");
    const common = isTypes ? text : typescript.transpileModule(text, { compilerOptions: OPTIONS }).outputText;
    await writeFile(join(target, copy), inCommon(common));
  }
  for (const [path, entry] of entries) description.exports[path] = forBoth(entry);
  const [, main] = entries.find(([path]) => path === ".");
  description.main = main.default.replace(/\.js$/, ".cjs");
  description.files = (await readdir(target)).sort();
  await writeFile(join(target, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
  await cp(join(HERE, "README.md"), join(target, "README.md"));
  await cp(join(ROOT, "LICENSE"), join(target, "LICENSE"));
}

await build(process.argv[2]);
