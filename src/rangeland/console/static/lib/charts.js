// Which charts the page of charts has, what each is computed from, and its lines. Pure.

import { bytes, count, percent, rate } from "./format.js";
import { colourOf, swatchOf } from "./nodes.js";
import { combined, joined, rates, seriesOf, shares, withGaps } from "./series.js";

const bytesRate = (perSecond) => (perSecond === undefined ? bytes(undefined) : `${bytes(perSecond)}/s`);
const minuteRate = (perMinute) => (perMinute === undefined ? count(undefined) : `${count(perMinute)}/min`);

const gauge = (name) => ({ metrics: [name], read: (node) => seriesOf(node, name) });
const counter = (name) => ({ metrics: [name], read: (node) => rates(seriesOf(node, name), node.step_seconds) });
const counters = (a, b, combine) => ({
  metrics: [a, b],
  read: (node) => combine(rates(seriesOf(node, a), node.step_seconds), rates(seriesOf(node, b), node.step_seconds)),
});
/** What happens rarely is told per minute. */
const rare = ({ metrics, read }) => ({
  metrics,
  read: (node) => {
    const { times, values } = read(node);
    return { times, values: values.map((value) => (value === null ? null : value * 60)) };
  },
});
const sum = (a, b) => combined(a, b, (one, other) => one + other);

/** In the order of the page. `name` stands in links, `limit` names a metric with the largest that is possible. */
export const GROUPS = [
  {
    title: "Sessions",
    charts: [
      { name: "connections", title: "Connections", format: count, limit: "pg.connections.max", ...gauge("sql.conns") },
      { name: "active", title: "Running a statement", format: count, ...gauge("sql.statements.active") },
      { name: "waiting", title: "Waiting for a lock", format: count, ...gauge("pg.connections.waiting_for_lock") },
    ],
  },
  {
    title: "Work",
    charts: [
      { name: "transactions", title: "Transactions", format: rate, ...counters("sql.txn.commit.count", "sql.txn.rollback.count", sum) },
      { name: "rows-read", title: "Rows read", format: rate, ...counter("pg.tuples.read") },
      { name: "rows-written", title: "Rows written", format: rate, ...counter("pg.tuples.written") },
      { name: "hits", title: "Blocks found in the buffer cache", format: percent, ...counters("pg.cache.hits", "pg.cache.misses", shares) },
      { name: "temp", title: "Temporary files written", format: bytesRate, ...counter("pg.temp.bytes") },
      { name: "deadlocks", title: "Deadlocks", format: minuteRate, ...rare(counter("pg.deadlocks")) },
    ],
  },
  {
    title: "WAL and replication",
    charts: [
      { name: "lag", title: "Replication lag", format: bytes, ...gauge("pg.replication.lag.bytes") },
      { name: "wal", title: "WAL written", format: bytesRate, ...counter("pg.wal.bytes") },
      { name: "checkpoints", title: "Checkpoints and restartpoints", format: minuteRate, ...rare(counters("pg.checkpoints.timed", "pg.checkpoints.requested", sum)) },
    ],
  },
  {
    title: "Machine",
    charts: [
      { name: "cpu", title: "CPU in use, of all cores", format: percent, ...gauge("sys.cpu.host.combined.percent-normalized") },
      { name: "load", title: "Load, mean of a minute", format: count, ...gauge("sys.host.load.1m") },
      { name: "memory", title: "Memory available", format: bytes, ...gauge("sys.host.memory.available") },
      { name: "disk-used", title: "Databases and WAL on disk", format: bytes, ...gauge("capacity.used") },
      { name: "disk-free", title: "Disk free", format: bytes, ...gauge("capacity.available") },
      { name: "rss", title: "Memory of the node's process", format: bytes, ...gauge("sys.rss") },
    ],
  },
];

/** All metrics of all charts, each once. */
export const METRICS = [...new Set(GROUPS.flatMap(({ charts }) => charts.flatMap(({ metrics, limit }) => [...metrics, ...(limit ? [limit] : [])])))];

/** A chart's axis and its lines, one a node. @param nodes as /history/ has them */
export function drawing(chart, nodes) {
  const { times, columns } = joined(nodes.map((node) => withGaps(chart.read(node), node.step_seconds)));
  const lines = nodes.map((node, index) => ({
    label: `node ${node.node_id}`,
    values: columns[index],
    colour: colourOf(node.node_id),
    swatch: swatchOf(node.node_id),
    note: limitText(chart, node),
  }));
  return { times, lines };
}

function limitText({ limit, format }, node) {
  const largest = limit && node.metrics[limit]?.findLast((value) => value !== null);
  return largest === undefined || largest === null ? "" : `of ${format(largest)}`;
}

export const SPANS = [
  { name: "15m", seconds: 900, words: "15 min" },
  { name: "1h", seconds: 3600, words: "1 hour" },
  { name: "3h", seconds: 3 * 3600, words: "3 hours" },
  { name: "6h", seconds: 6 * 3600, words: "6 hours" },
];

/** The span that a link names, an hour by default. */
export function spanOf(name) {
  return SPANS.find((span) => span.name === name) ?? SPANS[1];
}

/** Node ids between commas, as the parameter `hide` has them. */
export function hiddenIds(text) {
  return new Set((text ?? "").split(",").map(Number).filter(Boolean));
}
