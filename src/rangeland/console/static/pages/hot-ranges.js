// The busiest tables of every server, and their last hour.

import { html, useMemo, useState } from "../lib/html.js";
import { usePolled } from "../lib/api.js";
import { Spark } from "../lib/chart.js";
import { bytes, duration, rate } from "../lib/format.js";
import { RATES, historyByKey, hotRows, largestRates, rateOf, wantedIds } from "../lib/ranges.js";
import { go, href, setParams } from "../lib/route.js";
import { Table, sorted } from "../lib/table.js";
import { FilterChoice, FilterText, Freshness, Heading, MissingNodes, NodeName } from "../lib/ui.js";

const REFRESH_MS = 10_000;
const HISTORY_MS = 60_000; // it has a point a minute

export function HotRangesPage({ params }) {
  const hot = usePolled("ranges/hot/", REFRESH_MS);
  const [wanted, setWanted] = useState([]);
  const history = usePolled(wanted.length ? `ranges/hot/history/?range_id=${wanted.join(",")}` : null, HISTORY_MS);
  const all = hot.data?.ranges ?? [];
  const chosen = rateOf(params.by);
  const columns = useColumns(all, chosen, history.data);
  const rows = useMemo(
    () => sorted(hotRows(all, chosen.key, params), columns, params.sort ?? ""),
    [hot.data, chosen, params.q, params.node, params.database, params.sort],
  );

  return html`<div class="table-page">
    <${Heading} title="Hot ranges"><${Freshness} value=${hot} /><//>
    <${Filters} ranges=${all} params=${params} chosen=${chosen} />
    <${MissingNodes} errors=${hot.data?.response_error} what="Hot ranges" />
    <${Table} label="Hot ranges" columns=${columns} rows=${rows} rowKey=${(row) => row.key}
      sort=${params.sort ?? `-${chosen.key}`} onSort=${sortBy}
      onOpen=${(row) => go(["ranges", String(row.range_id)])}
      onSight=${(seen) => setWanted((before) => wantedIds(before, seen.map((row) => row.range_id)))}
      empty=${emptyText(hot, all)} />
  </div>`;
}

function emptyText(hot, all) {
  if (!hot.data) return hot.error ? "Nothing is known yet." : "Asking every node…";
  return all.length ? "No hot range is as the filters want it." : "No table is busy on any server.";
}

/** By a rate: the largest first, and what rank and small charts go by. By anything else: only the order of the rows. */
function sortBy(sort) {
  const key = sort.replace(/^-/, "");
  if (RATES.some((each) => each.key === key)) setParams({ by: key, sort: "" });
  else setParams({ sort });
}

function Filters({ ranges, params, chosen }) {
  const nodes = [...new Set(ranges.map((range) => range.node_id))].sort((a, b) => a - b);
  const databases = [...new Set(ranges.map((range) => range.database_name))].sort();
  return html`<div class="filters">
    <${FilterText} name="q" label="Table or database" value=${params.q} wide />
    <${FilterChoice} name="by" label="Ordered by" value=${chosen.key} choices=${RATES.map(({ key, label }) => [key, label.toLowerCase()])} />
    <${FilterChoice} name="node" label="On node" value=${params.node} choices=${choicesOf(nodes, params.node, "all nodes", (id) => `node ${id}`)} />
    <${FilterChoice} name="database" label="Database" value=${params.database} choices=${choicesOf(databases, params.database, "all databases", (name) => name)} />
  </div>`;
}

/** What is there, and what a link names though it isn't there now. */
function choicesOf(values, chosen, all, words) {
  const texts = values.map(String);
  const missing = chosen && !texts.includes(chosen) ? [chosen] : [];
  return [["", all], ...[...texts, ...missing].map((value) => [value, words(value)])];
}

function useColumns(ranges, chosen, history) {
  return useMemo(() => {
    const largest = largestRates(ranges);
    const historyOf = historyByKey(history);
    return [
      { key: "rank", label: "Rank", width: "52px", isNumber: true, hideBelow: 700 },
      { key: "name", label: "Table", width: "minmax(0, 3fr)", cell: (row) => html`<${TableName} row=${row} />`, title: (row) => `${row.name}, database ${row.database_name}` },
      { key: "node", label: "Node", width: "84px", value: (row) => row.node_id, cell: (row) => html`<${NodeName} id=${row.node_id} />` },
      ...RATES.map((each) => ({
        key: each.key,
        label: each.label,
        width: each.key === chosen.key ? "minmax(116px, 1fr)" : "minmax(98px, 1fr)",
        isNumber: true,
        hideBelow: each.key === chosen.key ? 0 : 860,
        value: (row) => row[each.field],
        cell: (row) => html`<${Rate} perSecond=${row[each.field]} largest=${largest[each.key]} isChosen=${each.key === chosen.key} />`,
      })),
      { key: "hour", spoken: `${chosen.label} in the last hour`, label: "", width: "100px", hideBelow: 560, cell: (row) => html`<${Hour} history=${historyOf.get(row.key)} chosen=${chosen} />` },
      { key: "size", label: "Size", width: "90px", isNumber: true, hideBelow: 1000, value: (row) => row.size_bytes, cell: (row) => bytes(row.size_bytes) },
      { key: "window", label: "Over", width: "90px", isNumber: true, hideBelow: 1200, value: (row) => row.window_seconds, cell: (row) => duration(row.window_seconds), title: () => "how long the rates were measured" },
    ];
  }, [ranges, chosen, history]);
}

function TableName({ row }) {
  return html`<a href=${href(["ranges", String(row.range_id)])}>${row.name}</a> <span class="quiet">${row.database_name}</span>`;
}

/** A rate with its share of the largest one as a bar. */
function Rate({ perSecond, largest, isChosen }) {
  const share = largest ? (perSecond / largest) * 100 : 0;
  return html`<span class="rate ${isChosen ? "chosen" : ""}">${rate(perSecond)}<span class="rate-bar" aria-hidden="true" style=${{ width: `${share}%` }}></span></span>`;
}

function Hour({ history, chosen }) {
  const values = history?.[chosen.historyField];
  return values ? html`<${Spark} values=${values} label=${`${chosen.label} in the last hour, at most ${rate(Math.max(...values))}`} />` : null;
}
