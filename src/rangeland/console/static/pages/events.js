// What happened to the cluster, newest first, a sentence each.

import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { request, usePolled } from "../lib/api.js";
import { NO_LOG, TYPE_CHOICES, byDay, dayWords, eventView, matching, withPage } from "../lib/events.js";
import { moment, plural, timeOfDay } from "../lib/format.js";
import { setParams } from "../lib/route.js";
import { Badge, Dot, Empty, Facts, FilterChoice, FilterText, Freshness, Heading, NodeName, announce } from "../lib/ui.js";

const REFRESH_MS = 10_000;
const PAGE = 100; // a screen or two; more come on demand

export function EventsPage({ params }) {
  const { q = "", type = "", node = "", event = "" } = params;
  const { newest, log, older } = useLog(type);
  const views = useMemo(() => log.events.map(eventView), [log.events]);
  const shown = useMemo(() => matching(views, { q, type, node }), [views, q, type, node]);
  const isElsewhere = event !== "" && !shown.some((each) => each.id === event);
  return html`<${Heading} title="Events"><${Freshness} value=${newest} /><//>
    <div class="filters" role="search" aria-label="Filters">
      <${FilterText} name="q" label="Search" value=${q} placeholder="a user, an address, a cause …" wide />
      <${FilterChoice} name="type" label="Type" value=${type} choices=${typeChoices(type)} />
      <${FilterChoice} name="node" label="Node" value=${node} choices=${nodeChoices(views, node)} />
    </div>
    <${Days} events=${shown} openId=${event} isKnown=${Boolean(newest.data)} error=${newest.error} />
    ${newest.data && html`<${Older} log=${log} shownCount=${shown.length} isElsewhere=${isElsewhere} onOlder=${older} />`}`;
}

/**
 * All events read so far, of one type or of all: new ones come by themselves, older ones when `older()` is called.
 *
 * Until the first page of a type is there, those of all types stand in for it; the filter leaves its own.
 */
function useLog(type) {
  const [logByType, setLogByType] = useState({});
  const newest = usePolled(pathOf(type, 0), REFRESH_MS);
  const log = logByType[type] ?? logByType[""] ?? NO_LOG;
  const add = (page) =>
    setLogByType((known) => {
      const grown = withPage(known[type] ?? NO_LOG, page);
      return grown === known[type] ? known : { ...known, [type]: grown };
    });
  useEffect(() => {
    if (newest.data && !newest.isOld) add(newest.data);
  }, [type, newest.data, newest.isOld]);
  // the page overlaps by one event, and by more when some happened meanwhile: none is left out
  const older = async () => add(await request(pathOf(type, Math.max(0, log.events.length - 1))));
  return { newest, log, older };
}

function pathOf(type, offset) {
  return `events/?${new URLSearchParams({ limit: PAGE, ...(offset && { offset }), ...(type && { type }) })}`;
}

/** Those known here, and the one of the link, which may be a newer node's. */
function typeChoices(type) {
  return TYPE_CHOICES.some(([each]) => each === type) ? TYPE_CHOICES : [...TYPE_CHOICES, [type, type]];
}

function nodeChoices(views, node) {
  const ids = new Set(views.flatMap((view) => [view.reporter, ...view.nodeIds]).filter(Boolean));
  if (Number(node)) ids.add(Number(node));
  return [["", "all"], ...[...ids].sort((a, b) => a - b).map((id) => [String(id), `node ${id}`])];
}

function Days({ events, openId, isKnown, error }) {
  const days = useMemo(() => byDay(events), [events]);
  if (!isKnown) return html`<p class="empty" aria-busy=${!error}>${error ? error.message : "Asking what happened…"}</p>`;
  if (!events.length) return html`<${Empty}>No such event among those that were read.<//>`;
  return days.map(({ day, events: ofDay }) => {
    const words = dayWords(day, Date.now());
    return html`<section key=${day} aria-label=${words}><h2>${words}</h2>
      <ol class="events">${ofDay.map((view) => html`<${Event} key=${view.id} view=${view} isOpen=${view.id === openId} />`)}</ol>
    </section>`;
  });
}

function Event({ view, isOpen }) {
  const onToggle = ({ currentTarget: { open } }) => {
    if (open !== isOpen) setParams({ event: open ? view.id : "" });
  };
  return html`<li><details open=${isOpen} onToggle=${onToggle}>
    <summary>
      <time datetime=${new Date(view.at).toISOString()}>${timeOfDay(view.at)}</time>
      <${Dot} tone=${view.tone} />
      <span class="event-sentence">${view.sentence}</span>
      <${Badge} tone=${view.tone}>${view.words}<//>
    </summary>
    ${isOpen && html`<${Facts} facts=${[
      ["happened", moment(view.at)],
      ["told by", view.reporter && html`<${NodeName} id=${view.reporter} />`],
      ...view.fields,
    ]} />`}
  </details></li>`;
}

function Older({ log, shownCount, isElsewhere, onOlder }) {
  const [{ isBusy, error }, setState] = useState({ isBusy: false, error: "" });
  const onClick = async () => {
    setState({ isBusy: true, error: "" });
    try {
      await onOlder();
      setState({ isBusy: false, error: "" });
      announce("older events were read");
    } catch (failure) {
      setState({ isBusy: false, error: failure.message });
    }
  };
  const read = log.events.length;
  return html`<footer class="older">
    ${isElsewhere && html`<p role="status">The event of this link isn't among these${log.hasOlder ? ": it may be older" : ""}.</p>`}
    ${log.hasOlder && html`<button type="button" disabled=${isBusy} onClick=${onClick}>${isBusy ? "Reading…" : "Older"}</button>`}
    <span class="quiet">${shownCount < read ? `${shownCount} of ${plural(read, "event")} that were read` : plural(read, "event")}${log.hasOlder ? "" : "; none is older"}</span>
    ${error && html`<span class="bad" role="alert">${error}</span>`}
  </footer>`;
}
