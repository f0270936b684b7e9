// What a browser gives to the console's modules, as far as node doesn't: import names, and the address of the page.

import { register } from "node:module";

const STATIC = new URL("../../../src/rangeland/console/static/", import.meta.url).href;
const VENDORED = {
  preact: "preact.js",
  "preact/hooks": "preact-hooks.js",
  htm: "htm.js",
  "htm/preact": "htm-preact.js",
  "@preact/signals-core": "signals-core.js",
  "@preact/signals": "signals.js",
  uplot: "uplot.js",
};

// The console's own modules are "console/lib/…" here. Node takes a .js file for a module only where it is told so.
const HOOKS = `
const STATIC = ${JSON.stringify(STATIC)}, VENDORED = ${JSON.stringify(VENDORED)};
export async function resolve(name, context, next) {
  const url = name.startsWith("console/") ? STATIC + name.slice("console/".length)
    : name in VENDORED ? STATIC + "vendor/" + VENDORED[name]
    : name.startsWith(".") ? new URL(name, context.parentURL).href : null;
  return url?.startsWith(STATIC) ? { url, format: "module", shortCircuit: true } : next(name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);

globalThis.location = { hash: "" };
globalThis.addEventListener = () => {};
globalThis.innerWidth = 1280;
