// The frame around every page: who is logged in, where we are, what this node last said.

import { render } from "preact";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./lib/html.js";
import { isPaused, logOut, login, recognise, refreshAll, silentSince, usePolled } from "./lib/api.js";
import { duration, moment } from "./lib/format.js";
import { LIVE, addressOf } from "./lib/nodes.js";
import { go, href, route } from "./lib/route.js";
import { Banner, Dialog, announce, spoken } from "./lib/ui.js";
import { ChartsPage } from "./pages/charts.js";
import { DatabasePage, DatabasesPage } from "./pages/databases.js";
import { EventsPage } from "./pages/events.js";
import { HotRangesPage } from "./pages/hot-ranges.js";
import { LoginForm, LoginPage } from "./pages/login.js";
import { OverviewPage } from "./pages/overview.js";
import { RangePage } from "./pages/range.js";
import { SessionsPage } from "./pages/sessions.js";
import { TablePage } from "./pages/table.js";

// In the order of the navigation; `key` after "g" opens it. `names` are the first parts of a page's address.
const PAGES = [
  { title: "Overview", names: ["overview"], key: "o", page: () => OverviewPage },
  { title: "Sessions", names: ["sessions"], key: "s", page: () => SessionsPage },
  { title: "Hot ranges", names: ["hot-ranges", "ranges"], key: "h", page: ([name, id]) => (name === "ranges" && id ? RangePage : HotRangesPage) },
  { title: "Databases", names: ["databases"], key: "d", page: ([, database, table]) => (table ? TablePage : database ? DatabasePage : DatabasesPage) },
  { title: "Events", names: ["events"], key: "e", page: () => EventsPage },
  { title: "Charts", names: ["charts"], key: "c", page: () => ChartsPage },
];
const THEMES = ["system", "light", "dark"];

function App() {
  const { state } = login.value;
  const { parts } = route.value;
  useEffect(() => {
    if (parts[0] !== "login") recognise();
  }, []);
  if (state === "unknown" && parts[0] !== "login") return html`<main class="door" aria-busy="true"></main>`;
  if (state === "out" || state === "unknown") return html`<${LoginPage} />`;
  return html`<${Frame} />`;
}

function Frame() {
  const { parts, params } = route.value;
  const current = PAGES.find((each) => each.names.includes(parts[0] ?? "overview"));
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [theme, turnTheme] = useTheme();
  useKeys({ "?": () => setHelpOpen(true), t: turnTheme, p: togglePause, r: refreshAll });
  usePageTitle(current, parts);
  const Page = current?.page(parts);
  return html`<a class="skip" href="#main" onClick=${skipToMain}>Skip to the page</a>
    <header class="top">
      <a class="brand" href=${href(["overview"])}><img src=${new URL("icon.svg", import.meta.url).pathname} alt="" width="24" height="24" />Rangeland</a>
      <${Pages} current=${current} />
      <div class="tools">
        <${Pulse} />
        <button type="button" class="quiet" onClick=${turnTheme} aria-label=${`Colours: ${theme}`} title=${`Colours: ${theme} (t)`}>${{ system: "◐", light: "☀", dark: "☾" }[theme]}</button>
        <button type="button" class="quiet" onClick=${() => setHelpOpen(true)} aria-label="Help" title="Help (?)">?</button>
        <${Who} />
      </div>
    </header>
    <${Silence} />
    ${login.value.state === "ended" && html`<${Ended} />`}
    <main id="main">${Page ? html`<${Page} parts=${parts} params=${params} />` : html`<h1 tabindex="-1">No such page</h1><p><a href=${href(["overview"])}>To the overview</a></p>`}</main>
    ${isHelpOpen && html`<${Help} onClose=${() => setHelpOpen(false)} />`}
    <p class="unseen" aria-live="polite">${spoken}</p>`;
}

/** Links to all pages; where they don't fit they scroll, and that of this page is in sight. */
function Pages({ current }) {
  const nav = useRef();
  useEffect(() => {
    nav.current.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [current]);
  return html`<nav aria-label="Pages" ref=${nav}>${PAGES.map((each) => html`<a key=${each.title} href=${href([each.names[0]])}
    aria-current=${each === current ? "page" : null}>${each.title}</a>`)}</nav>`;
}

/** Whether values are asked for by themselves, with a button that stops and starts that. */
function Pulse() {
  return html`<button type="button" class="quiet pulse" aria-pressed=${isPaused.value} onClick=${togglePause}
    title=${isPaused.value ? "Paused: go on (p)" : "Refreshes by itself: pause (p)"}>
    <span class="dot ${isPaused.value ? "warn" : "good"}" aria-hidden="true"></span>${isPaused.value ? "paused" : "live"}</button>`;
}

function togglePause() {
  isPaused.value = !isPaused.value;
  announce(isPaused.value ? "paused" : "refreshes by itself");
}

function Who() {
  const { me } = login.value;
  const [error, setError] = useState("");
  const leave = () => logOut().catch((failure) => setError(failure.message));
  return html`<span class="who"><span title=${error}>${me.username}${error && html`<span class="bad" role="alert"> ${error}</span>`}</span>
    ${me.expires_at && html`<button type="button" class="small" onClick=${leave}>Log out</button>`}</span>`;
}

/** Told while the node behind this page doesn't answer; another one may. */
function Silence() {
  const since = silentSince.value;
  const [, setNow] = useState(0);
  useEffect(() => {
    if (!since) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [since]);
  const nodes = usePolled("nodes/", Infinity).data?.nodes ?? [];
  if (!since) return null;
  const others = nodes.filter((node) => node.liveness_status === LIVE).map(addressOf).filter((address) => address !== location.host);
  return html`<${Banner} tone="bad"><p><strong>${location.host} has not answered for ${duration((Date.now() - since) / 1000)}.</strong>${" "}
    What you see is from before ${moment(since)}. ${others.length > 0 && html`Any other node answers for all: ${others.map(
      (address) => html`<a key=${address} href=${`${location.protocol}//${address}/${location.hash}`}>${address}</a> `,
    )}`}</p><//>`;
}

/** A session that ended takes nothing from the screen: who leaves the dialog can go on reading, and log in later. */
function Ended() {
  const [isOpen, setOpen] = useState(true);
  return html`<${Banner} tone="warn"><p><strong>Your session has ended.</strong> Nothing here is refreshed until you${" "}
    <button type="button" class="small" onClick=${() => setOpen(true)}>log in again</button></p><//>
    ${isOpen && html`<${Dialog} title="Log in again" onClose=${() => setOpen(false)}><${LoginForm} isOver /><//>`}`;
}

function Help({ onClose }) {
  const keys = [
    ["g, then " + PAGES.map((each) => each.key).join(" "), "go to " + PAGES.map((each) => each.title.toLowerCase()).join(", ")],
    ["/", "to the first filter"],
    ["↑ ↓ Page ↑ Page ↓", "move in a table, Enter opens a row, Escape closes it"],
    ["r", "ask for everything now"],
    ["p", "pause, go on"],
    ["t", "colours: as the system's, light, dark"],
  ];
  return html`<${Dialog} title="Keys" onClose=${onClose}>
    <dl class="facts">${keys.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <p>All that you see comes from <a href="/api/v2/docs/" target="_blank" rel="noreferrer">the API</a>: every page can be had with curl.</p>
  <//>`;
}

function useTheme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  const turn = () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    announce(`colours: ${next}`);
    setTheme(next);
  };
  return [theme, turn];
}

/** Single keys, unless somebody types. "g" and a page's key go there. */
function useKeys(actions) {
  const isGoing = useRef(false);
  useLayoutEffect(() => {
    const onKey = (event) => {
      const isTyping = event.target.closest("input, textarea, select, dialog") !== null;
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      const page = isGoing.current && PAGES.find((each) => each.key === event.key);
      isGoing.current = event.key === "g";
      if (page) go([page.names[0]]);
      else if (event.key === "/") focusFilter(event);
      else actions[event.key]?.();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
}

function focusFilter(event) {
  const filter = document.querySelector("main input[type=search]");
  if (!filter) return;
  event.preventDefault();
  filter.focus();
}

function skipToMain(event) {
  event.preventDefault(); // the fragment is the page's address
  document.querySelector("main h1")?.focus();
}

/** The tab's title, and the focus on the heading of a page that was just opened. */
function usePageTitle(current, parts) {
  const [openedPath, setOpenedPath] = useState(parts.join("/"));
  const path = parts.join("/");
  useEffect(() => {
    document.title = `${[...parts.slice(1).reverse(), current?.title ?? "No such page"].join(" · ")} · Rangeland`;
    if (path !== openedPath) {
      setOpenedPath(path);
      document.querySelector("main h1")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }, [path]);
}

render(html`<${App} />`, document.getElementById("app"));
