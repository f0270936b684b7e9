// Where we are: the page and its state, all of it in the URL's fragment, so that a link carries both.
//
// `#/sessions?state=active&sort=-age` is {parts: ["sessions"], params: {state: "active", sort: "-age"}}.

import { signal } from "./html.js";

/** @param {string} hash */
export function parseHash(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { parts, params: Object.fromEntries(new URLSearchParams(query)) };
}

/** A link to a page; parameters that are empty are left out. @param {string[]} parts */
export function href(parts, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

export const route = signal(parseHash(location.hash));

addEventListener("hashchange", () => {
  route.value = parseHash(location.hash);
});

/** Go to a page, as a link does. */
export function go(parts, params = {}) {
  location.hash = href(parts, params);
}

/** Go to a page in the place of this one, which the browser's history forgets. */
export function replaceBy(parts) {
  history.replaceState(null, "", href(parts));
  route.value = parseHash(location.hash);
}

/** Change parameters of this page. Typing in a filter must not fill the browser's history: it replaces the entry. */
export function setParams(changes, { isNewEntry = false } = {}) {
  const { parts, params } = route.peek();
  const url = href(parts, { ...params, ...changes });
  history[isNewEntry ? "pushState" : "replaceState"](null, "", url);
  route.value = parseHash(url);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a link that somebody typed
  }
}
