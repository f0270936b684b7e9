// Sessions of every server: a live list with filters, who blocks whom, and one of them in detail, to cancel or to end it.

import { html, useMemo, useRef, useState } from "../lib/html.js";
import { login, refreshAll, request, usePolled } from "../lib/api.js";
import { UNKNOWN, duration, moment, nanoseconds, parseDuration, plural } from "../lib/format.js";
import { href, setParams } from "../lib/route.js";
import {
  STATES, blockedTree, blockersOf, byUrgency, canCancel, choicesOf, countBehind, filtered, locksOf, nameOfProcess, nodeOfId, oneLine,
  psqlCommand, rowsOf, treesWith, waitersOf, waitsForUnknown,
} from "../lib/sessions.js";
import { laidOut, textOf, tokens } from "../lib/sql.js";
import { Table, sorted } from "../lib/table.js";
import {
  Badge, Banner, Code, Confirm, Dialog, Facts, FilterCheck, FilterChoice, FilterText, Filters, Freshness, Heading, MissingNodes, NodeName, Tabs,
  announce,
} from "../lib/ui.js";

const REFRESH_MS = 3000;
const FILTERS = ["q", "user", "database", "state", "application", "node", "longer", "closed"];
const NO_FILTERS = Object.fromEntries(FILTERS.map((name) => [name, ""]));
const NOTHING = [];

export function SessionsPage({ params }) {
  const answer = usePolled(params.closed === "1" ? "sessions/" : "sessions/?exclude_closed_sessions=true", REFRESH_MS);
  const sessions = answer.data?.sessions ?? NOTHING;
  const rows = useMemo(() => rowsOf(sessions), [sessions]);
  const locks = useMemo(() => locksOf(rows), [rows]);
  const longerS = parseDuration(params.longer ?? "");
  const shown = useMemo(
    () => filtered(rows, { ...params, longerS }),
    [rows, longerS, ...["q", "user", "database", "state", "application", "node"].map((name) => params[name])],
  );
  const isTree = params.view === "blocked";
  const blocked = useMemo(() => rows.filter((row) => row.blockers.length > 0), [rows]);
  const isKnown = Boolean(answer.data);

  return html`<${Heading} title="Sessions"><${Tally} rows=${rows} shown=${shown} params=${params} isKnown=${isKnown} /><${Freshness} value=${answer} /><//>
    <${MissingNodes} errors=${answer.data?.errors} what="Sessions" />
    <div class="table-page">
      <${SessionFilters} rows=${rows} params=${params} longerS=${longerS} />
      <${Tabs} label="Views" tabs=${[
        [linkTo(params, { view: "" }), "All", !isTree],
        [linkTo(params, { view: "blocked" }), `Blocked${blocked.length ? ` (${blocked.length.toLocaleString("en-GB")})` : ""}`, isTree],
      ]} />
      ${isTree
        ? html`<${BlockedView} rows=${rows} shown=${shown} locks=${locks} params=${params} answer=${answer} />`
        : html`<${ListView} rows=${rows} shown=${shown} locks=${locks} params=${params} answer=${answer} />`}
    </div>
    ${params.session && html`<${Detail} key=${params.session} id=${params.session} rows=${rows} locks=${locks} answer=${answer} params=${params} />`}`;
}

function linkTo(params, changes) {
  return href(["sessions"], { ...params, session: "", ...changes });
}

/** How many there are, and how many of them are shown. */
function Tally({ rows, shown, params, isKnown }) {
  if (!isKnown) return null;
  if (shown.length === rows.length && !countSet(params)) return html`<span class="quiet">${plural(rows.length, "session")}</span>`;
  return html`<span class="quiet" role="status">${shown.length.toLocaleString("en-GB")} of ${plural(rows.length, "session")}</span>
    <a href=${linkTo(params, NO_FILTERS)}>all</a>`;
}

function countSet(params) {
  return FILTERS.filter((name) => params[name]).length;
}

function SessionFilters({ rows, params, longerS }) {
  const choices = useMemo(() => {
    const of = (name, property, wordsOf) => [["", "any"], ...choicesOf(rows, property, params[name], wordsOf)];
    return {
      user: of("user", "user"),
      database: of("database", "database"),
      application: of("application", "application"),
      node: of("node", "nodeId", (id) => `node ${id}`),
      state: of("state", "state", (state) => STATES[state]?.words ?? state),
    };
  }, [rows, params.user, params.database, params.application, params.node, params.state]);
  const choice = (name, label) => html`<${FilterChoice} name=${name} label=${label} value=${params[name]} choices=${choices[name]} />`;
  return html`<${Filters} set=${countSet(params)}>
    <${FilterText} name="q" label="Search" value=${params.q} placeholder="query, application, client…" wide />
    ${choice("state", "State")}${choice("user", "User")}${choice("database", "Database")}${choice("application", "Application")}${choice("node", "Node")}
    <${FilterText} name="longer" label="Longer than" value=${params.longer} placeholder="30 s, 5 min…" isWrong=${Boolean(params.longer) && longerS === undefined} />
    <${FilterCheck} name="closed" label="closed too" value=${params.closed} />
  <//>`;
}

// The list

function columnsOf(locks, params) {
  return [
    { key: "node", label: "Node", width: "74px", hideBelow: 700, value: (row) => row.nodeId, cell: (row) => html`<${NodeName} id=${row.nodeId} isLink=${false} />` },
    { key: "pid", label: "Process", width: "74px", hideBelow: 1400, isNumber: true },
    { key: "user", label: "User", width: "minmax(60px, .55fr)", hideBelow: 560, title: (row) => row.user },
    { key: "database", label: "Database", width: "minmax(60px, .55fr)", hideBelow: 860, title: (row) => row.database },
    { key: "application", label: "Application", width: "minmax(70px, .6fr)", hideBelow: 1000, title: (row) => row.application },
    { key: "client", label: "Client", width: "minmax(70px, .7fr)", hideBelow: 1600, title: (row) => row.client },
    { key: "state", label: "State", width: "102px", value: (row) => STATES[row.state].rank, cell: (row) => html`<${StateBadge} row=${row} />` },
    { key: "age", label: "For", width: "84px", isNumber: true, value: (row) => row.ageS, cell: ageOf, title: ageTitle },
    { key: "wait", label: "Waits for", width: "minmax(100px, .55fr)", hideBelow: 1100, cell: waitOf, title: waitTitle },
    { key: "locks", label: "Blocking", width: "108px", hideBelow: 760, value: (row) => weightOf(locks, row), cell: (row) => html`<${Blocking} row=${row} locks=${locks} params=${params} />` },
    { key: "query", label: "Query", width: "minmax(90px, 2.4fr)", value: (row) => row.sql, cell: (row) => html`<${QueryLink} row=${row} params=${params} />` },
  ];
}

function ListView({ rows, shown, locks, params, answer }) {
  const columns = columnsOf(locks, params);
  const ordered = useMemo(() => (params.sort ? sorted(shown, columns, params.sort) : byUrgency(shown)), [shown, params.sort]);
  return html`<${Table} label="Sessions" columns=${columns} rows=${ordered} rowKey=${(row) => row.id} sort=${params.sort} onOpen=${open}
    openKey=${params.session} toneOf=${(row) => (row.blockers.length ? "warn" : "")} empty=${emptyWords(answer, rows)} />`;
}

function open(row) {
  setParams({ session: row.id }, { isNewEntry: true });
}

function emptyWords({ data }, rows) {
  if (!data) return "Asking every node…";
  if (rows.length) return "No session is like that.";
  return data.errors.length ? "Nobody is connected to the servers that could be asked." : "Nobody is connected.";
}

function StateBadge({ row }) {
  const { words, short, tone } = STATES[row.state];
  return html`<${Badge} tone=${tone} title=${words}>${short ?? words}<//>`;
}

function ageOf(row) {
  if (row.state === "closed") return html`<span class="quiet">${moment(row.session.end)}</span>`;
  return row.ageS === undefined ? html`<span class="quiet">${UNKNOWN}</span>` : duration(row.ageS);
}

function ageTitle(row) {
  if (row.state === "closed") return "when it was first missed";
  if (row.ageS === undefined) return `connected since ${moment(row.session.start)}; nothing says since when it is in this state`;
  return row.state === "active" ? "how long its statement has run" : "how long its transaction has been open";
}

function waitOf(row) {
  return row.waitType === "Client" ? html`<span class="quiet">${row.wait}</span>` : row.wait;
}

function waitTitle(row) {
  return row.wait && `${row.waitType}: ${row.wait}`;
}

/** What a list of locks is sorted by: who holds up most, then who is held up. */
function weightOf(locks, row) {
  return waitersOf(locks, row).length ? 1 + countBehind(locks, row.place) : row.blockers.length ? 1 : undefined;
}

function Blocking({ row, locks, params }) {
  if (row.blockers.length) {
    const [first, ...more] = blockersOf(locks, row);
    return html`<span class="quiet">by </span><${ProcessLink} blocker=${first} params=${params} />${more.length > 0 && html`<span class="quiet"> +${more.length}</span>`}`;
  }
  const behind = waitersOf(locks, row).length && countBehind(locks, row.place);
  return behind ? html`<${Badge} tone="bad">blocks ${behind}<//>` : null;
}

function ProcessLink({ blocker, params }) {
  const name = blocker.pid ? String(blocker.pid) : "prepared";
  return blocker.row
    ? html`<a tabindex="-1" href=${linkTo(params, { session: blocker.row.id })}>${name}</a>`
    : html`<span title=${nameOfProcess(blocker.pid)}>${name}</span>`;
}

/** Not a stop of the Tab key: the table's own keys open a row. */
function QueryLink({ row, params }) {
  const text = oneLine(row.sql);
  return html`<span class="mono"><a class="row-link" tabindex="-1" href=${linkTo(params, { session: row.id })}>${text || html`<span class="quiet">${noQuery(row)}</span>`}</a></span>`;
}

function noQuery(row) {
  return login.value.me?.is_redacted ? "not shown to your role" : row.state === "unknown" ? "PostgreSQL doesn't say" : "none yet";
}

// Who blocks whom

function BlockedView({ rows, shown, locks, params, answer }) {
  const lines = useMemo(() => treesWith(blockedTree(locks), shown), [locks, shown]);
  const unknown = useMemo(() => waitsForUnknown(rows), [rows]);
  const isAny = locks.waitersAt.size > 0;
  return html`${unknown.length > 0 && html`<${Banner} tone="warn"><p>${plural(unknown.length, "more session waits", "more sessions wait")} for a lock, and who holds
      it was not asked: a node asks that for its first hundred only. <a href=${linkTo(params, { view: "", sort: "-age" })}>They are in the list.</a></p><//>`}
    <${Table} label="Blocking and blocked sessions" columns=${treeColumns(params)} rows=${lines} rowKey=${(line) => line.place} onSort=${null}
      onOpen=${(line) => line.row && open(line.row)} openKey=${lines.find((line) => line.row?.id === params.session)?.place}
      toneOf=${(line) => (line.depth === 0 ? "root" : "")}
      empty=${!answer.data || isAny || !rows.length ? emptyWords(answer, rows) : "No session waits for another one."} />`;
}

function treeColumns(params) {
  const ofRow = (cell) => (line) => (line.row ? cell(line.row) : null);
  return [
    { key: "process", label: "Process", width: "minmax(112px, 1fr)", cell: (line) => html`<${Branch} line=${line} />` },
    { key: "node", label: "Node", width: "74px", hideBelow: 700, cell: (line) => html`<${NodeName} id=${line.nodeId} isLink=${false} />` },
    { key: "behind", label: "Behind it", width: "76px", cell: (line) => line.behind > 0 && html`<${Badge} tone=${line.depth ? "warn" : "bad"}>${line.behind} wait${line.behind === 1 ? "s" : ""}<//>` },
    { key: "user", label: "User", width: "minmax(60px, .6fr)", hideBelow: 860, cell: ofRow((row) => row.user) },
    { key: "database", label: "Database", width: "minmax(60px, .6fr)", hideBelow: 1100, cell: ofRow((row) => row.database) },
    { key: "application", label: "Application", width: "minmax(70px, .6fr)", hideBelow: 1000, cell: ofRow((row) => row.application) },
    { key: "state", label: "State", width: "108px", hideBelow: 560, cell: ofRow((row) => html`<${StateBadge} row=${row} />`) },
    { key: "age", label: "For", width: "84px", hideBelow: 480, isNumber: true, cell: ofRow(ageOf) },
    { key: "wait", label: "Waits for", width: "minmax(100px, .55fr)", hideBelow: 1200, cell: ofRow(waitOf) },
    { key: "query", label: "Query", width: "minmax(70px, 2.2fr)", cell: ofRow((row) => html`<${QueryLink} row=${row} params=${params} />`) },
  ];
}

const DEEPEST = 12; // steps that are drawn: deeper ones stand at the same place

function Branch({ line }) {
  const twigs = "\u00a0\u00a0".repeat(Math.max(0, Math.min(line.depth, DEEPEST) - 1));
  return html`<span class="branch">${line.depth > 0 && html`<span class="twig" aria-hidden="true">${twigs}└</span><span class="unseen">step ${line.depth}: </span>`}
    ${line.pid ? line.pid : nameOfProcess(line.pid)}${line.isCircle && html` <${Badge} tone="bad" title="It waits for those who wait for it. PostgreSQL ends such a deadlock after deadlock_timeout.">circle<//>`}
    ${!line.row && line.pid > 0 && html`<span class="quiet">no client's</span>`}</span>`;
}

// One session

/** Stays open, with what was last known, when its session ends. */
function Detail({ id, rows, locks, answer, params }) {
  const [asked, setAsked] = useState(null);
  const last = useRef();
  const found = rows.find((row) => row.id === id);
  if (found) last.current = { row: found, locks };
  const { row, locks: lastLocks } = last.current ?? {};
  const close = () => setParams({ session: "" });
  const isThere = Boolean(found) && found.state !== "closed";
  return html`<${Dialog} side title=${row ? `Process ${row.pid} on node ${row.nodeId}` : "Session"} onClose=${close}>
      <${Fate} id=${id} found=${found} isSeen=${Boolean(row)} answer=${answer} />
      ${row && html`<${Signals} row=${row} isThere=${isThere} onAsk=${setAsked} />
        <${SessionFacts} row=${row} />
        <${LockFacts} row=${row} locks=${lastLocks} params=${params} />
        <${Query} row=${row} />
        <${Workers} workers=${row.session.active_queries[0]?.parallel_workers ?? NOTHING} />
        ${isThere && html`<${ByHand} row=${row} />`}`}
    <//>
    ${asked && html`<${ConfirmSignal} verb=${asked} row=${row} locks=${lastLocks} isThere=${isThere} onClose=${() => setAsked(null)} />`}`;
}

/** What became of a session that isn't there any more. A silent node is no proof that its sessions have ended. */
function Fate({ id, found, isSeen, answer }) {
  const nodeId = nodeOfId(id);
  const silent = answer.data?.errors.find((error) => error.node_id === nodeId);
  if (found) return found.state === "closed" ? html`<${Banner} tone="note"><p><strong>This session has ended.</strong> It was first missed at ${moment(found.session.end)}.</p><//>` : null;
  if (!answer.data) return html`<p class="quiet" aria-busy="true">Asking every node…</p>`;
  if (silent) {
    return html`<${Banner} tone="bad"><p><strong>Node ${nodeId} could not be asked</strong>, so nobody knows whether this session goes on. ${silent.message}</p><//>`;
  }
  if (isSeen) return html`<${Banner} tone="note"><p><strong>This session has ended.</strong> Below is what was last known of it.</p><//>`;
  return html`<${Banner} tone="note"><p><strong>There is no such session.</strong> It may have ended.</p><//>`;
}

function SessionFacts({ row }) {
  const { session } = row;
  const txn = session.active_txn;
  const [statement] = session.active_queries;
  return html`<${Facts} facts=${[
    ["State", html`<${StateBadge} row=${row} />`],
    ["Node", html`<${NodeName} id=${row.nodeId} />`],
    ["User", row.user],
    ["Database", row.database],
    ["Application", row.application],
    ["Client", row.client],
    ["Connected since", moment(session.start)],
    ["Ended", session.end && moment(session.end)],
    ["Waits for", row.wait && `${row.wait} (${row.waitType})`],
    ["Statement runs for", statement && nanoseconds(statement.elapsed_time)],
    ["Statement since", statement && moment(statement.start)],
    ["Transaction open for", txn && nanoseconds(txn.elapsed_time)],
    ["Transaction since", txn && `${moment(txn.start)}${txn.implicit ? ", of this statement only" : ""}${txn.read_only ? ", reads only" : ""}`],
    ["Query id", session.query_id],
    ["Kind of process", session.backend_type],
  ]} />`;
}

const CUT_BYTES = 1000; // a node sends no more of a statement, then "…"

function Query({ row }) {
  const list = useMemo(() => laidOut(tokens(row.sql)), [row.sql]);
  if (!row.sql) return html`<section><h3>Query</h3><p class="quiet">${noQuery(row)}</p></section>`;
  const isCut = row.sql.endsWith("…") && new TextEncoder().encode(row.sql).length > CUT_BYTES;
  return html`<section><h3>${row.state === "active" ? "Query" : "Last query"}</h3>
    <${Code} text=${textOf(list)} label="query">${list.map((token) => html`<span class=${`sql-${token.kind}`}>${token.text}</span>`)}<//>
    ${isCut && html`<p class="quiet">The statement is longer: nodes send its first ${CUT_BYTES.toLocaleString("en-GB")} bytes.</p>`}</section>`;
}

function LockFacts({ row, locks, params }) {
  const blockers = blockersOf(locks, row);
  const waiters = waitersOf(locks, row);
  const behind = countBehind(locks, row.place);
  return html`${blockers.length > 0 && html`<section><h3>Blocked by</h3><${People} people=${blockers} params=${params} /></section>`}
    ${waiters.length > 0 && html`<section><h3>Blocks ${plural(waiters.length, "session")}${behind > waiters.length ? `, and ${behind - waiters.length} behind them` : ""}</h3>
      <${People} people=${waiters.map((waiter) => ({ pid: waiter.pid, row: waiter }))} params=${params} /></section>`}`;
}

const PEOPLE = 20; // of a hundred, the rest is in the tree

function People({ people, params }) {
  return html`<ul class="people">${people.slice(0, PEOPLE).map(({ pid, row }) => html`<li key=${pid}>${
    row ? html`<a href=${linkTo(params, { session: row.id })}>process ${pid}</a> <span class="quiet">${who(row)}</span>` : nameOfProcess(pid)
  }</li>`)}</ul>
  ${people.length > PEOPLE && html`<p><a href=${linkTo(params, { ...NO_FILTERS, view: "blocked" })}>and ${people.length - PEOPLE} more</a></p>`}`;
}

function who(row) {
  return [row.user, row.application].filter(Boolean).join(", ");
}

function Workers({ workers }) {
  if (!workers.length) return null;
  return html`<section><h3>${plural(workers.length, "parallel worker")}</h3>
    <table class="plain"><thead><tr><th scope="col">Process</th><th scope="col">Waits for</th><th scope="col" class="number">Runs for</th></tr></thead>
      <tbody>${workers.map((worker) => html`<tr key=${worker.pid}><td>${worker.pid}</td><td>${worker.wait_event ?? ""}</td><td class="number">${nanoseconds(worker.elapsed_time)}</td></tr>`)}</tbody>
    </table></section>`;
}

/** For those who do it with psql: the command ends nobody else, should the process's number be another's by then. */
function ByHand({ row }) {
  const nodes = usePolled("nodes/", Infinity).data?.nodes ?? NOTHING;
  const node = nodes.find((each) => each.node_id === row.nodeId);
  const verb = canCancel(row) ? "cancel" : "terminate";
  const command = node ? psqlCommand(row, node.sql_address.address_field, verb) : "";
  if (!command) return null;
  return html`<section><h3>${verb === "cancel" ? "Cancel its statement" : "End it"} with psql</h3><${Code} text=${command} label="command to run" />
    <p class="quiet">In a shell that reaches node ${row.nodeId}'s server.</p></section>`;
}

// Cancel and terminate

const VERBS = {
  cancel: { title: "Cancel the statement?", action: "Cancel it", path: "cancel", done: "The statement is being cancelled." },
  terminate: { title: "End the session?", action: "End it", path: "terminate", done: "The session is being ended." },
};

function Signals({ row, isThere, onAsk }) {
  if (!login.value.me?.may_cancel || !isThere) return null;
  return html`<div class="buttons start">
    ${canCancel(row) && html`<button type="button" onClick=${() => onAsk("cancel")}>Cancel the statement…</button>`}
    <button type="button" onClick=${() => onAsk("terminate")}>Terminate…</button></div>`;
}

function ConfirmSignal({ verb, row, locks, isThere, onClose }) {
  const { title, action, path, done } = VERBS[verb];
  const behind = countBehind(locks, row.place);
  const confirm = async () => {
    await request(`sessions/${row.id}/${path}/`, { method: "POST" });
    announce(done);
    refreshAll();
  };
  return html`<${Confirm} title=${title} action=${action} onConfirm=${confirm} onClose=${onClose}>
    <${Facts} facts=${[
      ["Process", `${row.pid} on node ${row.nodeId}`],
      ["User", row.user],
      ["Application", row.application],
      ["Database", row.database],
      [row.state === "active" ? "Has run for" : "Transaction open for", row.ageS === undefined ? "" : duration(row.ageS)],
      ["Behind it", behind ? plural(behind, "session waits", "sessions wait") : "nobody waits"],
    ]} />
    <p>${verb === "cancel"
      ? "Its statement ends with an error, and the session goes on."
      : `Its connection is closed${row.session.active_txn ? ", and its open transaction is rolled back" : ""}.`}</p>
    ${isThere || html`<p class="quiet">It has ended meanwhile.</p>`}
  <//>`;
}
