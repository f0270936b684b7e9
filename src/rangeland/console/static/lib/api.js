// The API as the console uses it: single requests, and values that are asked for again and again.
//
// Nothing that was shown is lost because a later request failed: a value keeps its data, and says since when it is old.

import { batch, computed, signal, useEffect, useMemo, useRef } from "./html.js";

const PREFIX = "/api/v2/";
const TIMEOUT_MS = 10_000; // a node answers within 5 s, or nothing reaches it
const KEPT = 40; // values that nobody looks at: going back shows them at once
const SLOWEST_MS = 30_000; // between two tries while the node doesn't answer
const AT_ONCE = 4; // requests for the rows of one list: each may be a visit to another database

/** What a node said, or that it said nothing (`status` 0). */
export class ApiError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Who is logged in: "unknown" at first, then "in", "out", or "ended" where somebody was in. */
export const login = signal({ state: "unknown", me: null });
/** Since when the node behind this page has been silent, in ms since 1970; 0: it answers. */
export const silentSince = signal(0);
/** Whether values are asked for by themselves. */
export const isPaused = signal(false);
const isVisible = signal(!document.hidden);
document.addEventListener("visibilitychange", () => {
  isVisible.value = !document.hidden;
});
const isAsking = computed(() => !isPaused.value && isVisible.value && login.value.state === "in");

/** One request; returns the decoded JSON. Throws ApiError. */
export async function request(path, { method = "GET", form, until } = {}) {
  const response = await answered(path, method, form, until);
  if (response.ok) return response.json();
  const text = (await response.text()).trim();
  if (isSessionOver(response.status, text) && !path.startsWith("login/")) sessionIsOver();
  throw new ApiError(response.status, text || response.statusText);
}

async function answered(path, method, form, until) {
  const limits = [AbortSignal.timeout(TIMEOUT_MS), ...(until ? [until] : [])];
  try {
    const response = await fetch(PREFIX + path, {
      method,
      body: form && new URLSearchParams(form),
      headers: { "X-Cockroach-API-Session": "cookie" },
      cache: "no-store",
      signal: AbortSignal.any(limits),
    });
    silentSince.value = 0;
    return response;
  } catch (error) {
    if (until?.aborted) throw error;
    if (!silentSince.peek()) silentSince.value = Date.now();
    throw new ApiError(0, "This node does not answer.");
  }
}

function isSessionOver(status, text) {
  return status === 401 || (status === 400 && text === "invalid session header");
}

function sessionIsOver() {
  const { state } = login.peek();
  if (state !== "out" && state !== "ended") login.value = { ...login.peek(), state: state === "in" ? "ended" : "out" };
}

/** Ask who we are; sets `login`. */
export async function recognise() {
  try {
    login.value = { state: "in", me: await request("whoami/") };
  } catch (error) {
    if (error.status === 403) login.value = { state: "out", me: null, reason: NO_READER };
    else if (login.peek().state === "unknown") login.value = { state: "out", me: null, reason: reasonOf(error) };
  }
}

const NO_READER =
  "You are logged in, but your role is a member neither of admin nor of pg_monitor, so it may read nothing here.";

function reasonOf(error) {
  return isSessionOver(error.status, error.message) ? "" : error.message;
}

/** Log in; `form` holds username and password, or the session of a link. Throws ApiError with what the node said. */
export async function logIn(form) {
  await request("login/", { method: "POST", form });
  await recognise();
  refreshAll();
}

export async function logOut() {
  try {
    await request("logout/", { method: "POST" });
  } catch (error) {
    if (!isSessionOver(error.status, error.message)) throw error;
  }
  batch(() => {
    forgetAll();
    login.value = { state: "out", me: null };
  });
}

/**
 * A value of the API that is asked for again `everyMs` after it came, while somebody looks at it.
 *
 * `state.value` is {data, error, at}: what came last (undefined: nothing yet), what went wrong since (null: nothing),
 * and when `data` came, in ms since 1970.
 */
class Polled {
  constructor(path, read) {
    this.path = path;
    this.read = read;
    this.state = signal({ data: undefined, error: null, at: 0 });
    this.watchers = new Set();
    this.failures = 0;
    this.timer = 0;
    this.request = null;
  }

  watch(watcher) {
    this.watchers.add(watcher);
    known.set(this.path, this); // it may have been dropped between a page's drawing and its watching
    this.plan();
    return () => {
      this.watchers.delete(watcher);
      if (!this.watchers.size) this.rest();
    };
  }

  rest() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.request = null;
  }

  plan() {
    clearTimeout(this.timer);
    if (!this.watchers.size || this.request) return;
    const { at, data, error } = this.state.peek();
    if (!isAsking.peek() && (data !== undefined || login.peek().state !== "in")) return;
    const everyMs = Math.min(...[...this.watchers].map((watcher) => watcher.everyMs));
    const waitMs = this.failures ? Math.min(everyMs * 2 ** this.failures, SLOWEST_MS) : everyMs;
    const dueMs = data === undefined && !error ? 0 : Math.max(0, (this.askedAt ?? at) + waitMs - Date.now());
    if (dueMs !== Infinity) this.timer = setTimeout(() => this.ask(), dueMs);
  }

  async ask() {
    this.request?.abort();
    clearTimeout(this.timer);
    const own = new AbortController();
    this.request = own;
    try {
      const data = await this.read(this.path, { until: own.signal });
      this.failures = 0;
      if (this.request === own) this.state.value = { data, error: null, at: Date.now() };
    } catch (error) {
      if (own.signal.aborted) return;
      this.failures += 1;
      this.state.value = { ...this.state.peek(), error };
    }
    this.request = null;
    this.askedAt = Date.now();
    this.plan();
  }
}

const known = new Map();

function polled(path, read) {
  const found = known.get(path) ?? new Polled(path, read);
  known.delete(path); // the order is that of the last use
  known.set(path, found);
  for (const [old, each] of known) {
    if (known.size <= KEPT) break;
    if (!each.watchers.size && old !== path) known.delete(old);
  }
  return found;
}

let asked = 0;
const waiting = [];

/** As `request`, but of those who ask in turn at most AT_ONCE are answered at a time. */
async function requestInTurn(path, options) {
  if (asked >= AT_ONCE) await new Promise((resolve) => waiting.push(resolve));
  else asked += 1;
  try {
    return await request(path, options);
  } finally {
    if (waiting.length) waiting.shift()(); // whose turn it is takes this one's place
    else asked -= 1;
  }
}

isAsking.subscribe(() => {
  for (const each of known.values()) each.plan();
});

/** Ask for everything that is on the screen now. */
export function refreshAll() {
  for (const each of known.values()) if (each.watchers.size) each.ask();
}

function forgetAll() {
  for (const each of known.values()) each.rest();
  known.clear();
}

/**
 * A hook: the value at `path` (below /api/v2/), asked for every `everyMs` (Infinity: once). `null` asks for nothing.
 *
 * Returns {data, error, at, refresh}. While a new path's first answer is on its way, `data` is the old path's, and
 * `isOld` says so: the screen doesn't jump when a filter changes.
 *
 * `read(path, {until})` stands for `request` where a value takes several requests; `path` is its name then, and has to
 * tell it from all others.
 */
export function usePolled(path, everyMs = 5000, read = request) {
  const last = useRef();
  const value = path === null ? null : polled(path, read);
  useEffect(() => value?.watch({ everyMs }), [value, everyMs]);
  if (!value) return { data: undefined, error: null, at: 0, isOld: false, refresh() {} };
  const { data, error, at } = value.state.value;
  if (data !== undefined) last.current = { data, at };
  const isOld = data === undefined && last.current !== undefined;
  const shown = isOld ? last.current : { data, at };
  return { ...shown, error, isOld, refresh: () => value.ask() };
}

/**
 * A hook: the values at many paths, for the rows of a list; few are asked for at a time.
 *
 * Returns {data, error, at} by path. Paths may come and go: what is on its way for those that stay isn't asked for again.
 */
export function usePolledAll(paths, everyMs) {
  const values = useMemo(() => paths.map((path) => polled(path, requestInTurn)), [paths.join("\n")]);
  const endByValue = useRef(new Map());
  useEffect(() => {
    const before = endByValue.current;
    endByValue.current = new Map(values.map((value) => [value, before.get(value) ?? value.watch({ everyMs })]));
    for (const [value, end] of before) if (!endByValue.current.has(value)) end();
  }, [values]);
  useEffect(() => () => endByValue.current.forEach((end) => end()), []);
  return new Map(values.map((value) => [value.path, value.state.value]));
}
