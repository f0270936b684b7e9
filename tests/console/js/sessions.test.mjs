// Sessions as rows, their filters, and who waits for whom.

import assert from "node:assert/strict";
import test from "node:test";

import {
  blockedTree, byUrgency, canCancel, countBehind, filtered, locksOf, nameOfProcess, nodeOfId, psqlCommand, rowsOf, toUrlId, treesWith,
} from "console/lib/sessions.js";

const SECOND = 1e9;

/** A session of the API; `ageS` is of its statement. */
function session(pid, { node = 1, blockers = [], state = "active", ageS = 1, ...more } = {}) {
  return {
    id: `id${node}-${pid}`, node_id: node, pg_backend_pid: pid, state, status: 2, start: "2026-01-01T00:00:00.123456Z", blocking_pids: blockers,
    active_queries: state === "active" ? [{ sql: `SELECT ${pid}`, elapsed_time: ageS * SECOND }] : [], ...more,
  };
}

const treeOf = (...sessions) => blockedTree(locksOf(rowsOf(sessions))).map(({ nodeId, pid, depth, behind }) => [nodeId, pid, depth, behind]);

test("a queue is a tree whose root is who holds up all the others", () => {
  assert.deepEqual(treeOf(session(1), session(2, { blockers: [1] }), session(3, { blockers: [1, 2] }), session(9)), [[1, 1, 0, 2], [1, 2, 1, 1], [1, 3, 1, 0]]);
});

test("processes of two servers with one number are two", () => {
  assert.deepEqual(treeOf(session(1), session(2, { blockers: [1] }), session(1, { node: 2 })), [[1, 1, 0, 1], [1, 2, 1, 0]]);
});

test("a circle ends, and shows each of its members once", () => {
  const pids = treeOf(session(1, { blockers: [2] }), session(2, { blockers: [1] }), session(3, { blockers: [2] })).map(([, pid]) => pid);
  assert.deepEqual([...pids].sort(), [1, 2, 3]);
});

test("a hundred in a queue, of whom each names all before it, are counted once each", () => {
  const sessions = Array.from({ length: 100 }, (_, index) => session(index + 1, { blockers: Array.from({ length: index }, (__, at) => at + 1) }));
  const locks = locksOf(rowsOf(sessions));
  assert.equal(countBehind(locks, "1:1"), 99);
  assert.equal(blockedTree(locks).length, 100);
});

test("a blocker that is no client's session is in the tree by its name", () => {
  assert.deepEqual(treeOf(session(2, { blockers: [0] })), [[1, 0, 0, 1], [1, 2, 1, 0]]);
  assert.deepEqual([nameOfProcess(0), nameOfProcess(4711)], ["a prepared transaction", "process 4711"]);
});

test("a filter shows trees whole: a blocker without its victims tells nothing", () => {
  const rows = rowsOf([session(1), session(2, { blockers: [1] }), session(3), session(4, { blockers: [3] })]);
  const lines = treesWith(blockedTree(locksOf(rows)), [rows[1]]);
  assert.deepEqual(lines.map((line) => line.pid), [1, 2]);
});

test("filters are all held, and a search finds words in any order", () => {
  const rows = rowsOf([session(1, { username: "a", application_name: "shop" }), session(2, { username: "a" }), session(3, { username: "b" })]);
  assert.deepEqual(filtered(rows, { user: "a", q: "shop select" }).map((row) => row.pid), [1]);
  assert.deepEqual(filtered(rows, {}), rows);
});

test("longer than is a border that is included, and who has no age doesn't pass it", () => {
  const rows = rowsOf([session(1, { ageS: 4.9 }), session(2, { ageS: 5 }), session(3, { state: "idle" })]);
  assert.deepEqual(filtered(rows, { longerS: 5 }).map((row) => row.pid), [2]);
});

test("what runs is before what is idle, and the longest first", () => {
  const rows = rowsOf([session(1, { state: "idle" }), session(2, { ageS: 1 }), session(3, { ageS: 9 })]);
  assert.deepEqual(byUrgency(rows).map((row) => row.pid), [3, 2, 1]);
});

test("an idle transaction has no statement to cancel", () => {
  const [active, idle] = rowsOf([session(1), session(2, { state: "idle in transaction" })]);
  assert.deepEqual([canCancel(active), canCancel(idle)], [true, false]);
});

test("an id stands in an address as it is, and names its node", () => {
  const id = toUrlId(btoa(String.fromCharCode(0, 0, 1, 2, ...new Array(12).fill(255))));
  assert.match(id, /^[\w-]{22}$/);
  assert.equal(nodeOfId(id), 258);
  assert.equal(nodeOfId("no id"), 0);
});

test("what is pasted into a shell holds nothing that a session's names could smuggle in", () => {
  const [row] = rowsOf([session(1, { database: "x; rm -rf $HOME" })]);
  assert.doesNotMatch(psqlCommand(row, "localhost:5432", "cancel"), /rm|\$HOME/);
  assert.equal(psqlCommand(row, "no address", "cancel"), "");
});
