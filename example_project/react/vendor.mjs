// Puts React where browsers can import it without a bundler: React is published as CommonJS,
// and each of its files is wrapped into an ES module here.
//
//   node vendor.mjs DIRECTORY

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const FILES = {
  react: "react/cjs/react.production.js",
  scheduler: "scheduler/cjs/scheduler.production.js",
  "react-dom": "react-dom/cjs/react-dom.production.js",
  "react-dom/client": "react-dom/cjs/react-dom-client.production.js",
};

process.env.NODE_ENV = "production";
const require = createRequire(import.meta.url);
const target = process.argv[2];
mkdirSync(target, { recursive: true });
for (const [name, file] of Object.entries(FILES)) {
  writeFileSync(join(target, fileOf(name)), asModule(name, file));
}

function fileOf(name) {
  return `${name.replace("/", "-")}.js`;
}

function asModule(name, file) {
  const source = readFileSync(join(import.meta.dirname, "node_modules", file), "utf8");
  const needed = [...new Set([...source.matchAll(/require\("([^"]+)"\)/g)].map((found) => found[1]))];
  const imports = needed.map((each, number) => `import m${number} from "./${fileOf(each)}";`);
  const entries = needed.map((each, number) => `${JSON.stringify(each)}: m${number}`);
  const exported = Object.keys(require(name)).join(", ");
  return `${imports.join("\n")}
const require = (name) => ({ ${entries.join(", ")} })[name];
const process = { env: { NODE_ENV: "production" } };
const module = { exports: {} };
((exports) => {
${source}
})(module.exports);
export default module.exports;
export const { ${exported} } = module.exports;
`;
}
