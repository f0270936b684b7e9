// Sessions as the page shows them: rows of the API's answer, filters, order, and who waits for whom. Pure.

/** What a session does, by the word that the URL has for it. `rank`: what comes first when nobody chose an order. */
export const STATES = {
  active: { words: "active", tone: "good", rank: 0 },
  transaction: { words: "idle in transaction", short: "in transaction", tone: "warn", rank: 1 },
  aborted: { words: "idle in transaction (aborted)", short: "aborted", tone: "bad", rank: 1 },
  unknown: { words: "state not known", short: "unknown", tone: "off", rank: 2 },
  idle: { words: "idle", tone: "off", rank: 3 },
  closed: { words: "closed", tone: "off", rank: 4 },
};

const STATE_OF = {
  active: "active",
  "fastpath function call": "active",
  idle: "idle",
  "idle in transaction": "transaction",
  "idle in transaction (aborted)": "aborted",
};

const CLOSED = 1; // Session.status
const NS = 1e9;
const ASKED_FOR = 100; // of those who wait for a lock on a server, so many have their blockers told
const PREPARED = 0; // the "process" that a prepared transaction's locks belong to

/**
 * @typedef {object} Row a session, with what the page asks of it again and again
 * @property {string} id as an address can hold it
 * @property {string} place its node and process, as `placeOf` writes them
 * @property {string} state a key of STATES
 * @property {number|undefined} ageS how long its statement has run, or else its transaction; undefined: nothing tells
 * @property {number[]} blockers processes of the same server that hold what it waits for
 */

/** @returns {Row} */
export function rowOf(session) {
  const state = session.status === CLOSED ? "closed" : (STATE_OF[session.state] ?? "unknown");
  const [statement] = session.active_queries;
  const ageNs = statement?.elapsed_time ?? session.active_txn?.elapsed_time;
  return {
    id: toUrlId(session.id ?? ""),
    place: placeOf(session.node_id, session.pg_backend_pid),
    nodeId: session.node_id,
    pid: session.pg_backend_pid,
    user: session.username ?? "",
    database: session.database ?? "",
    application: session.application_name ?? "",
    client: session.client_address ?? "",
    state,
    ageS: ageNs === undefined ? undefined : ageNs / NS,
    wait: session.wait_event ?? "",
    waitType: session.wait_event_type ?? "",
    blockers: session.blocking_pids ?? [],
    sql: statement?.sql ?? session.last_active_query ?? "",
    session,
  };
}

export function rowsOf(sessions) {
  return sessions.map(rowOf);
}

function placeOf(nodeId, pid) {
  return `${nodeId}:${pid}`; // each server counts its own processes
}

/** A session's `id` as an address can hold it: base64 with other signs for "+" and "/", and nothing at its end. */
export function toUrlId(id) {
  return id.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The node that a session's id names, or 0 where it is no such id: its first four bytes. */
export function nodeOfId(urlId) {
  if (!/^[\w-]{22}$/.test(urlId)) return 0;
  const bytes = atob(urlId.slice(0, 8).replaceAll("-", "+").replaceAll("_", "/"));
  return [...bytes.slice(0, 4)].reduce((sum, byte) => sum * 256 + byte.charCodeAt(0), 0);
}

/** A statement on one line, as a list shows it. */
export function oneLine(sql) {
  return sql.slice(0, 300).replace(/\s+/g, " ").trim();
}

/** Whether a cancel would do anything: idle sessions run nothing, in a transaction or not. */
export function canCancel(row) {
  return row.state === "active" || row.state === "unknown";
}

// Filters and order

/**
 * The rows that the URL's filters let through.
 *
 * @param {Row[]} rows
 * @param filters {q, user, database, state, application, node, longerS}, each left out where anything is right
 */
export function filtered(rows, filters) {
  const tests = testsOf(filters);
  return tests.length ? rows.filter((row) => tests.every((test) => test(row))) : rows;
}

function testsOf({ q, user, database, state, application, node, longerS }) {
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return [
    user && ((row) => row.user === user),
    database && ((row) => row.database === database),
    state && ((row) => row.state === state),
    application && ((row) => row.application === application),
    node && ((row) => row.nodeId === Number(node)),
    longerS && ((row) => row.ageS >= longerS),
    words.length && ((row) => words.every((word) => searched(row).includes(word))),
  ].filter(Boolean);
}

function searched(row) {
  row.searched ??= [row.sql, row.application, row.client, row.user, row.pid].join("\n").toLowerCase();
  return row.searched;
}

/** The values of a property with how many rows have each: [[value, words]…] for a choice, `chosen` always among them. */
export function choicesOf(rows, property, chosen, wordsOf = String) {
  const counts = new Map();
  if (chosen) counts.set(chosen, 0);
  for (const row of rows) {
    const value = String(row[property]);
    if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))
    .map(([value, number]) => [value, `${wordsOf(value)} (${number.toLocaleString("en-GB")})`]);
}

/** What runs before what is idle, the longest first: the order when nobody chose another one. */
export function byUrgency(rows) {
  return [...rows].sort(moreUrgent);
}

function moreUrgent(a, b) {
  return STATES[a.state].rank - STATES[b.state].rank || (b.ageS ?? -1) - (a.ageS ?? -1) || a.nodeId - b.nodeId || a.pid - b.pid;
}

// Who waits for whom

/**
 * Who waits for whom, on each server.
 *
 * A waiter's blockers are those who hold what it wants and those who queue for it ahead of it: of a hundred that want
 * one row each names all before it. So nothing here follows every path.
 *
 * @param {Row[]} rows
 */
export function locksOf(rows) {
  const rowAt = new Map();
  const waitersAt = new Map();
  for (const row of rows) if (row.state !== "closed") rowAt.set(row.place, row);
  for (const row of rows) {
    for (const pid of new Set(row.blockers)) {
      const place = placeOf(row.nodeId, pid);
      if (!waitersAt.has(place)) waitersAt.set(place, []);
      waitersAt.get(place).push(row);
    }
  }
  return { rowAt, waitersAt };
}

/** The sessions that wait for this one, at once. */
export function waitersOf(locks, row) {
  return locks.waitersAt.get(row.place) ?? [];
}

/** Those that this one waits for: [{pid, row}…], `row` undefined for what is no client's session. */
export function blockersOf(locks, row) {
  return [...new Set(row.blockers)].map((pid) => ({ pid, row: locks.rowAt.get(placeOf(row.nodeId, pid)) }));
}

/** What a blocker is called where there is no session to show. */
export function nameOfProcess(pid) {
  return pid === PREPARED ? "a prepared transaction" : `process ${pid}`;
}

/** How many sessions go on when this one lets go, or wait for others then: all behind it, each once. */
export function countBehind(locks, place) {
  const seen = new Set([place]);
  const open = [place];
  while (open.length) {
    for (const waiter of locks.waitersAt.get(open.pop()) ?? []) {
      if (seen.has(waiter.place)) continue;
      seen.add(waiter.place);
      open.push(waiter.place);
    }
  }
  return seen.size - 1;
}

/**
 * Blocking sessions with those that wait behind them, as lines of a tree: each session once, under the blocker that is
 * nearest to a root; the root with most behind it first, and below each blocker who has waited longest.
 *
 * @returns {{place, nodeId, pid, row?, depth, behind, isCircle, root}[]} `row` is undefined for what is no client's
 *   session; `isCircle`: it waits for those who wait for it, so that no line of theirs could be the first.
 */
export function blockedTree(locks) {
  const places = [...new Set([...locks.waitersAt.keys(), ...[...locks.waitersAt.values()].flat().map((row) => row.place)])];
  const members = places.map((place) => memberOf(locks, place));
  const roots = members.filter((member) => !member.row?.blockers.length).sort(moreBehind);
  const childrenOf = new Map();
  const placed = new Set();
  claim(locks, roots, childrenOf, placed);
  // What no root reaches goes round in a circle: its worst member stands in for a root.
  for (const member of members.filter((each) => !placed.has(each.place)).sort(moreBehind)) {
    if (placed.has(member.place)) continue;
    member.isCircle = true;
    roots.push(member);
    claim(locks, [member], childrenOf, placed);
  }
  return roots.flatMap((root) => linesOf(root, childrenOf, new Map(members.map((each) => [each.place, each]))));
}

function memberOf(locks, place) {
  const [nodeId, pid] = place.split(":").map(Number);
  return { place, nodeId, pid, row: locks.rowAt.get(place), behind: countBehind(locks, place), isCircle: false };
}

function moreBehind(a, b) {
  return b.behind - a.behind || (b.row?.ageS ?? 0) - (a.row?.ageS ?? 0) || a.nodeId - b.nodeId || a.pid - b.pid;
}

/** Breadth first: whoever is nearest to a root gets the waiter. */
function claim(locks, roots, childrenOf, placed) {
  for (const root of roots) placed.add(root.place);
  let level = roots.map((root) => root.place);
  while (level.length) {
    const next = [];
    for (const place of level) {
      const own = (locks.waitersAt.get(place) ?? []).filter((row) => !placed.has(row.place));
      for (const row of own) placed.add(row.place);
      childrenOf.set(place, own.sort(moreUrgent).map((row) => row.place));
      next.push(...childrenOf.get(place));
    }
    level = next;
  }
}

function linesOf(root, childrenOf, memberAt) {
  const lines = [];
  const open = [{ place: root.place, depth: 0 }];
  while (open.length) {
    const { place, depth } = open.pop();
    lines.push({ ...memberAt.get(place), depth, root: root.place });
    for (const child of [...(childrenOf.get(place) ?? [])].reverse()) open.push({ place: child, depth: depth + 1 });
  }
  return lines;
}

/** The trees in which one session at least is among `rows`, whole: a blocker without its victims tells nothing. */
export function treesWith(lines, rows) {
  const wanted = new Set(rows.map((row) => row.place));
  const roots = new Set(lines.filter((line) => wanted.has(line.place)).map((line) => line.root));
  return lines.filter((line) => roots.has(line.root));
}

/** Sessions that wait for a lock of which nobody was asked who holds it: a node asks that for its first hundred only.
 *
 * Where fewer wait, all were asked for; one without a blocker got its lock at that very moment.
 */
export function waitsForUnknown(rows) {
  const waiting = rows.filter((row) => row.waitType === "Lock");
  const isCrowded = (nodeId) => waiting.filter((row) => row.nodeId === nodeId).length > ASKED_FOR;
  const crowded = new Set([...new Set(waiting.map((row) => row.nodeId))].filter(isCrowded));
  return waiting.filter((row) => crowded.has(row.nodeId) && !row.blockers.length);
}

// By hand

/**
 * A shell's command that cancels or ends a session if it is still the same one.
 *
 * @param sqlAddress HOST:PORT of its server, as nodes/ has it
 * @param {"cancel"|"terminate"} verb
 */
export function psqlCommand(row, sqlAddress, verb) {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(sqlAddress) ?? [];
  if (!host) return "";
  // A name that psql could take for a connection string, or a shell for more than a name, is not repeated.
  const database = /^\w[\w-]*$/.test(row.database) ? row.database : "postgres";
  const where = `pid = ${row.pid} AND backend_start = '${row.session.start}'`;
  return `psql -h ${shellQuoted(host)} -p ${port} -d ${database} -c "SELECT pg_${verb}_backend(pid) FROM pg_stat_activity WHERE ${where}"`;
}

function shellQuoted(text) {
  return /^[\w.:/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
