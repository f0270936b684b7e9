// A range: one table with its indexes and TOAST, and its copies on all servers.

import { html, useMemo } from "../lib/html.js";
import { usePolled } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { bytes, duration, moment, rate } from "../lib/format.js";
import { colourOf, figures, lagOf } from "../lib/nodes.js";
import { PlainTable } from "../lib/plain.js";
import { RATES, alignedHistories, indexUse, leadingCopy, nodeIdsOf, problemsOf, rangeParts, synchronyOf } from "../lib/ranges.js";
import { href } from "../lib/route.js";
import { Indexes, Parts } from "../lib/storage.js";
import { isPathName } from "../lib/tables.js";
import { Badge, Banner, Crumbs, Empty, Facts, Freshness, Heading, MissingNodes, NodeName } from "../lib/ui.js";

const REFRESH_MS = 10_000;
const HISTORY_MS = 60_000; // it has a point a minute

export function RangePage({ parts }) {
  const [, id] = parts;
  return html`<${Range} key=${id} id=${id} />`; // nothing of another range is shown while this one's answer is on its way
}

function Range({ id }) {
  const range = usePolled(`ranges/${encodeURIComponent(id)}/`, REFRESH_MS);
  const nodes = usePolled("nodes/", REFRESH_MS);
  const { copies, errors } = useMemo(() => rangeParts(range.data), [range.data]);
  const leading = leadingCopy(copies);
  const name = leading ? `${leading.info.schema_name}.${leading.info.table}` : `Range ${id}`;
  return html`<div><${Crumbs} links=${[[href(["hot-ranges"]), "Hot ranges"]]} />
      <${Heading} title=${name}><${Freshness} value=${range} /><//></div>
    ${problemsOf(copies).map((problem) => html`<${Banner} key=${problem} tone="warn">${problem}<//>`)}
    <${MissingNodes} errors=${errors} what="The figures" />
    ${leading ? html`<${Known} id=${id} leading=${leading} copies=${copies} errors=${errors} nodes=${nodes.data?.nodes ?? []} />`
      : html`<${Unknown} range=${range} errors=${errors} />`}`;
}

function Unknown({ range, errors }) {
  if (!range.data) return range.error ? html`<${Empty}>Nothing is known of it.<//>` : html`<p class="empty" aria-busy="true">Asking every node…</p>`;
  return html`<${Empty}>${errors.length ? "No node that could be asked has it." : "No node has a range of this number. Its table may have been dropped."}<//>`;
}

function Known({ id, leading, copies, errors, nodes }) {
  const use = indexUse(copies, errors);
  const nodeIds = nodeIdsOf(copies, errors);
  return html`<${About} id=${id} info=${leading.info} nodes=${nodes} />
    <section aria-labelledby="parts"><h2 id="parts">What it takes on disk</h2><${Parts} sizes=${leading.info.sizes} /></section>
    <section aria-labelledby="copies"><h2 id="copies">Copies</h2><${Copies} copies=${copies} errors=${errors} nodes=${nodes} /></section>
    <section aria-labelledby="indexes"><h2 id="indexes">Indexes</h2><${Indexes} indexes=${use} nodeIds=${nodeIds} /></section>
    <${LastHour} id=${id} nodeIds=${nodeIds} />`;
}

function About({ id, info, nodes }) {
  const [lease] = info.lease_history;
  const table = `${info.schema_name}.${info.table}`;
  const hasPage = isPathName(info.database) && isPathName(table) && info.kind !== "catalog";
  const primary = nodes.find((node) => node.role === "primary");
  return html`<section class="card" aria-label="About the range"><${Facts} facts=${[
    ["range", id],
    ["kind", info.kind],
    ["database", html`<a href=${href(["databases", info.database])}>${info.database}</a>`],
    ["schema", info.schema_name],
    ["table", hasPage ? html`<a href=${href(["databases", info.database, table])}>${info.table}</a>` : info.table],
    ["writes go to", lease ? html`<${NodeName} id=${lease.replica.node_id} />` : "nobody: there is no primary"],
    ["term (timeline)", lease?.term],
    ["standbys", primary && synchronyOf(figures(primary)).sentence],
    ["keys", html`<span class="wide"><span class="mono">${info.span.start_key}</span> to <span class="mono">${info.span.end_key}</span></span>`],
  ]} /></section>`;
}

function Copies({ copies, errors, nodes }) {
  const nodeById = new Map(nodes.map((node) => [node.node_id, node]));
  const primary = nodes.find((node) => node.role === "primary");
  const standbyWord = primary ? synchronyOf(figures(primary)).word : "";
  const rows = [...copies, ...errors.map((error) => ({ nodeId: error.node_id }))].sort((a, b) => a.nodeId - b.nodeId);
  const without = nodes.filter((node) => !rows.some((row) => row.nodeId === node.node_id)).map((node) => node.node_id);
  const columns = [
    { key: "node", label: "Node", cell: (row) => html`<${NodeName} id=${row.nodeId} />` },
    { key: "role", label: "Copy", cell: (row) => html`<${Role} row=${row} standbyWord=${standbyWord} />` },
    { key: "size", label: "Size", isNumber: true, cell: ({ info }) => html`<${Size} info=${info} />` },
    { key: "queries", label: "Queries", isNumber: true, cell: rateCell("queries_per_second") },
    { key: "reads", label: "Rows read", isNumber: true, cell: rateCell("reads_per_second") },
    { key: "writes", label: "Rows written", isNumber: true, cell: rateCell("writes_per_second") },
    { key: "bytes", label: "Buffers", isNumber: true, cell: ({ info }) => (info?.window_seconds === undefined ? "–" : `${bytes(info.stats.read_bytes_per_second ?? 0)}/s`) },
    { key: "window", label: "Over", isNumber: true, cell: ({ info }) => duration(info?.window_seconds) },
    { key: "lag", label: "Behind by", isNumber: true, cell: (row) => html`<${Behind} row=${row} node=${nodeById.get(row.nodeId)} />` },
  ];
  return html`<${PlainTable} label="Copies" columns=${columns} rows=${rows} rowKey=${(row) => row.nodeId} />
    ${without.length > 0 && html`<p class="quiet note">No copy on ${without.map((nodeId) => `node ${nodeId}`).join(", ")}.</p>`}`;
}

/** Rates that are zero are left out of the answer; those not measured yet come without a window. */
function rateCell(field) {
  return ({ info }) => (info?.window_seconds === undefined ? "–" : rate(info.stats[field] ?? 0));
}

function Role({ row, standbyWord }) {
  if (!row.info) return html`<${Badge} tone="bad">could not be asked<//>`;
  if (row.info.lease_history[0]?.replica.node_id === row.nodeId) return html`<${Badge} tone="primary">primary<//>`;
  return html`<${Badge}>standby<//> <span class="quiet">${standbyWord}</span>`;
}

function Size({ info }) {
  if (!info) return "–";
  return html`${bytes(info.sizes?.total_bytes)}${info.size_age_seconds !== undefined && html`<span class="quiet"> ${duration(info.size_age_seconds)} ago</span>`}`;
}

function Behind({ row, node }) {
  const lag = node && lagOf(node);
  if (!lag) return "–";
  const when = row.info ? "" : ` at ${moment(node.updated_at / 1e6)}`;
  return html`${bytes(lag.bytes)}${lag.seconds ? `, ${duration(lag.seconds)}` : ""}<span class="quiet">${when}</span>`;
}

function LastHour({ id, nodeIds }) {
  const history = usePolled(`ranges/hot/history/?range_id=${id}`, HISTORY_MS);
  const histories = history.data?.ranges ?? [];
  const why = noHistoryText(history);
  return html`<section aria-labelledby="hour"><h2 id="hour">The last hour</h2>
    <${MissingNodes} errors=${history.data?.errors} what="Rates of the last hour" />
    ${why ? html`<p class="quiet note">${why}</p>` : html`<div class="cards">${RATES.map((each) => html`<${RateChart} key=${each.key} each=${each} histories=${histories} nodeIds=${nodeIds} />`)}</div>`}
  </section>`;
}

/** Why there is nothing to draw; "" where there is, or may be soon. */
function noHistoryText({ data, error }) {
  if (data) return data.ranges.length ? "" : "No server has kept rates of it: it was not among the busiest.";
  if (!error) return "";
  return error.status === 404 ? "The node that answers is of an older version, which keeps no history." : error.message;
}

function RateChart({ each, histories, nodeIds }) {
  const { times, lines } = useMemo(() => {
    const aligned = alignedHistories(histories, each.historyField);
    const nothing = aligned.times.map(() => null);
    const made = nodeIds.map((nodeId) => ({
      label: `node ${nodeId}`,
      colour: colourOf(nodeId),
      swatch: `n${((nodeId - 1) % 8) + 1}`,
      values: aligned.valuesByNodeId.get(nodeId) ?? nothing,
    }));
    return { times: aligned.times, lines: made };
  }, [histories, nodeIds.join()]);
  return html`<${Chart} title=${each.label} times=${times} lines=${lines} format=${rate} />`;
}
