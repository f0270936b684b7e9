// What pages are made of: marks, buttons, notices, dialogs, fields.

import { html, signal, useEffect, useId, useRef, useState } from "./html.js";
import { moment } from "./format.js";
import { swatchOf } from "./nodes.js";
import { href, setParams } from "./route.js";

/** Said aloud by screen readers when it changes. */
export const spoken = signal("");

export function announce(text) {
  spoken.value = text;
}

/** A small coloured word. `tone`: good, warn, bad, note or off. */
export function Badge({ tone = "off", children, title }) {
  return html`<span class="badge ${tone}" title=${title}>${children}</span>`;
}

/** A dot that says the same as the words beside it. */
export function Dot({ tone }) {
  return html`<span class="dot ${tone}" aria-hidden="true"></span>`;
}

/** A dot in a node's colour, beside its name. */
export function NodeName({ id, isLink = true }) {
  const name = `node ${id}`;
  return html`<span class="node-name"><span class="swatch ${swatchOf(id)}" aria-hidden="true"></span>${
    isLink ? html`<a href=${href(["overview"], { node: id })}>${name}</a>` : name
  }</span>`;
}

/** How much of something is used, as a bar and in words. `ratio` 0 to 1, undefined: unknown. */
export function Meter({ ratio, label, children }) {
  const known = Number.isFinite(ratio);
  const tone = known && ratio >= 0.9 ? "bad" : known && ratio >= 0.8 ? "warn" : "good";
  return html`<span class="meter">
    <span class="meter-text">${children}</span>
    <span class="meter-track" role="img" aria-label=${known ? `${label}: ${Math.round(ratio * 100)} %` : `${label}: unknown`}>
      <span class="meter-fill ${tone}" style=${{ width: known ? `${Math.min(100, ratio * 100)}%` : "0" }}></span>
    </span>
  </span>`;
}

/** A notice across the page. `tone` as of Badge. */
export function Banner({ tone, children }) {
  return html`<div class="banner ${tone}" role="status"><${Dot} tone=${tone} /><div>${children}</div></div>`;
}

/** What stands where a list is empty. */
export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}

/** The page's heading, which takes the focus when the page is opened, with what belongs beside it. */
export function Heading({ title, children }) {
  return html`<header class="heading"><h1 tabindex="-1">${title}</h1><div class="heading-side">${children}</div></header>`;
}

/** The way to the pages above this one. `links`: [[href, words]…], from the top. */
export function Crumbs({ links }) {
  return html`<nav class="crumbs" aria-label="Above this page">${links.map(([to, words]) => html`<span key=${to}><a href=${to}>${words}</a> <span aria-hidden="true">›</span> </span>`)}</nav>`;
}

/** How old what is shown is, and what went wrong since. Takes what `usePolled` returns. */
export function Freshness({ value }) {
  if (value.error) {
    return html`<span class="freshness bad" title=${value.error.message}>
      ${value.at ? `not refreshed since ${moment(value.at)}: ` : ""}${firstLine(value.error.message)}
    </span>`;
  }
  return html`<span class="freshness">${value.at ? `as of ${moment(value.at)}` : "asking…"}</span>`;
}

function firstLine(text) {
  return text.split("\n").filter((line) => !line.startsWith("An internal server error")).join(" ") || text.split("\n", 1)[0];
}

/** Nodes that are missing from a list. `errors`: [{node_id, message}], as sessions/ and problems/ have them. */
export function MissingNodes({ errors, what }) {
  if (!errors?.length) return null;
  return html`<${Banner} tone="bad">
    ${errors.map(
      (error) => html`<p key=${error.node_id}><strong>${what} of node ${error.node_id} are missing.</strong> ${error.message ?? error.error_message}</p>`,
    )}
  <//>`;
}

/** A button that copies `text` and says so. */
export function Copy({ text, label = "Copy" }) {
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    if (!isDone) return undefined;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [isDone]);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    announce("copied");
    setDone(true);
  };
  return html`<button type="button" class="small" onClick=${copy}>${isDone ? "Copied" : label}</button>`;
}

/** Text to paste somewhere, with a button that copies it. `children`: the same text with marks in it. */
export function Code({ text, label, children }) {
  return html`<div class="code"><pre tabindex="0" role="region" aria-label=${label ?? "code"}><code>${children ?? text}</code></pre><${Copy} text=${text} /></div>`;
}

/**
 * A modal dialog while it is rendered; Escape, the cross and a click beside it call `onClose`.
 *
 * `side`: it stands at the right edge, as the detail of a list does.
 */
export function Dialog({ title, onClose, children, side = false }) {
  const dialog = useRef();
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  const onClick = (event) => {
    if (event.target === dialog.current) onClose();
  };
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${dialog} class=${side ? "side" : ""} aria-labelledby=${id} onClick=${onClick} onCancel=${onCancel}>
    <div class="dialog-body">
      <header class="heading"><h2 id=${id}>${title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick=${onClose}>✕</button></header>
      ${children}
    </div>
  </dialog>`;
}

/** Asks before something that can't be undone. `onConfirm` may return a promise; what it throws is shown. */
export function Confirm({ title, children, action, onConfirm, onClose }) {
  const [state, setState] = useState({ isBusy: false, error: "" });
  const confirm = async () => {
    setState({ isBusy: true, error: "" });
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setState({ isBusy: false, error: error.message });
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div class="question">${children}</div>
    ${state.error && html`<p class="bad" role="alert">${state.error}</p>`}
    <footer class="buttons">
      <button type="button" onClick=${onClose}>Leave it</button>
      <button type="button" class="danger" disabled=${state.isBusy} onClick=${confirm}>${action}</button>
    </footer>
  <//>`;
}

/**
 * The filters above a list, the first of them always there. On a narrow screen a button shows and hides the others, and
 * says how many are `set`.
 */
export function Filters({ set, children }) {
  const [isOpen, setOpen] = useState(false);
  return html`<div class="filters ${isOpen ? "" : "folded"}" role="search" aria-label="Filters">${children}
    <button type="button" class="fold" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>Filters${set ? ` (${set})` : ""}</button>
  </div>`;
}

/** A text field of a filter that stands for the parameter `name` of the URL. `isWrong`: it says nothing that filters. */
export function FilterText({ name, label, value, placeholder, wide = false, isWrong = false }) {
  return html`<label class="field ${wide ? "wide" : ""}"><span>${label}</span>
    <input type="search" name=${name} value=${value ?? ""} placeholder=${placeholder} autocomplete="off" spellcheck="false" aria-invalid=${isWrong}
      onInput=${(event) => setParams({ [name]: event.currentTarget.value })} /></label>`;
}

/** A box to tick that stands for the parameter `name` of the URL: "1", or not there. */
export function FilterCheck({ name, label, value }) {
  return html`<label class="check"><input type="checkbox" name=${name} checked=${value === "1"}
    onChange=${(event) => setParams({ [name]: event.currentTarget.checked ? "1" : "" })} /><span>${label}</span></label>`;
}

/** A choice that stands for the parameter `name` of the URL. `choices`: [[value, words]…]; "" is the first. */
export function FilterChoice({ name, label, value, choices }) {
  return html`<label class="field"><span>${label}</span>
    <select name=${name} value=${value ?? ""} onChange=${(event) => setParams({ [name]: event.currentTarget.value })}>
      ${choices.map(([each, words]) => html`<option key=${each} value=${each} selected=${each === (value ?? "")}>${words}</option>`)}
    </select></label>`;
}

/** Tabs that are links, so that each has an address. `tabs`: [[href, words, isCurrent]…]. */
export function Tabs({ label, tabs }) {
  return html`<nav class="tabs" aria-label=${label}>${tabs.map(
    ([to, words, isCurrent]) => html`<a key=${to} href=${to} aria-current=${isCurrent ? "page" : null}>${words}</a>`,
  )}</nav>`;
}

/** Terms and what they are, as a grid. `facts`: [[term, value]…]; a fact whose value is undefined, null or "" is left out. */
export function Facts({ facts }) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return html`<dl class="facts">${known.map(([term, value]) => html`<div key=${term}><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>`;
}
