// A table: what it is made of, who may do what with it, and what of it is used.

import { html, useMemo } from "../lib/html.js";
import { usePolled } from "../lib/api.js";
import { bytes, count, moment } from "../lib/format.js";
import { PlainTable } from "../lib/plain.js";
import { indexUse, nodeIdsOf, rangeIdOf, rangeParts } from "../lib/ranges.js";
import { href } from "../lib/route.js";
import { Indexes, Parts } from "../lib/storage.js";
import { defaultOf, indexesOf, isPathName, keysOf, partitionsOf } from "../lib/tables.js";
import { Badge, Banner, Code, Crumbs, Empty, Facts, Freshness, Heading } from "../lib/ui.js";
import { GrantList, useDatabaseRanges } from "./databases.js";

const REFRESH_MS = 30_000;
const SCANS_MS = 10_000;
const RANGES_SEEN = 1000; // of the database, when its partitions are looked for

export function TablePage({ parts }) {
  const [, database, name] = parts;
  return html`<${TableDetail} key=${`${database} ${name}`} database=${database} name=${name} />`;
}

function TableDetail({ database, name }) {
  const isReachable = isPathName(database) && isPathName(name);
  const table = usePolled(isReachable ? `databases/${database}/tables/${name}/` : null, REFRESH_MS);
  return html`<div><${Crumbs} links=${[[href(["databases"]), "Databases"], [href(["databases", database]), database]]} />
      <${Heading} title=${name}>${isReachable && html`<${Freshness} value=${table} />`}<//></div>
    ${table.data ? html`<${Known} database=${database} table=${table.data} />` : html`<${Unknown} isReachable=${isReachable} error=${table.error} />`}`;
}

function Unknown({ isReachable, error }) {
  if (!isReachable) return html`<${Empty}>A path of the API can't hold this name.<//>`;
  if (error) return html`<${Empty}>${error.status === 404 ? "There is no such table, or it has been dropped." : error.message}<//>`;
  return html`<p class="empty" aria-busy="true">Asking…</p>`;
}

function Known({ database, table }) {
  const ranges = useDatabaseRanges(database, table.kind === "partitioned table" ? RANGES_SEEN : 1); // one tells the number
  const nodes = usePolled("nodes/", REFRESH_MS);
  const isRange = table.kind !== "partitioned table" && table.kind !== "foreign table";
  const rangeId = isRange && ranges.data?.number ? rangeIdOf(ranges.data.number, table.descriptor_id) : null;
  const range = usePolled(rangeId && `ranges/${rangeId}/`, SCANS_MS);
  const name = `${table.schema_name}.${table.table}`;
  const { copies, errors } = useMemo(() => rangeParts(range.data), [range.data]);
  const nodeIds = range.data || !isRange ? nodeIdsOf(copies, errors) : (nodes.data?.nodes ?? []).map((node) => node.node_id);
  return html`<${About} database=${database} table=${table} isRange=${isRange} rangeId=${rangeId} own=${copies[0]?.info} />
    ${ranges.error && html`<p class="bad" role="alert">Its range can't be found: ${ranges.error.message}</p>`}
    ${errors.length > 0 && html`<${Banner} tone="bad">${errors.map((error) => html`<p key=${error.node_id}><strong>Scans on node ${error.node_id} are missing.</strong> ${error.message}</p>`)}<//>`}
    <section aria-labelledby="parts"><h2 id="parts">What it takes on disk</h2>${table.kind === "foreign table"
      ? html`<${Empty}>Nothing: its rows are elsewhere.<//>` : html`<${Parts} sizes=${table.sizes} />`}</section>
    ${table.kind === "partitioned table" && html`<${Partitions} database=${database} name=${name} table=${table} ranges=${ranges} />`}
    <section aria-labelledby="columns"><h2 id="columns">Columns</h2><${Columns} columns=${table.columns} /></section>
    <section aria-labelledby="indexes"><h2 id="indexes">Indexes</h2><${UsedIndexes} table=${table} copies=${copies} errors=${errors} nodeIds=${nodeIds} /></section>
    <section aria-labelledby="grants"><h2 id="grants">Grants</h2><${GrantList} grants=${table.grants} /></section>
    ${table.create_table_statement && html`<section aria-labelledby="statement"><h2 id="statement">Create statement</h2><${Code} text=${table.create_table_statement} label="SQL that creates it" /></section>`}`;
}

function About({ database, table, isRange, rangeId, own }) {
  const parent = own?.kind === "partition" ? keysOf(own) : null;
  return html`<section class="card" aria-label="About the table"><${Facts} facts=${[
    ["kind", table.kind],
    ["owner", table.owner],
    ["size", bytes(table.data_total_bytes)],
    ["statistics of its contents", table.stats_last_created_at ? moment(table.stats_last_created_at) : "never gathered on the server that was asked"],
    ["oid", table.descriptor_id],
    ["partition of", parent && html`<a href=${href(["databases", database, parent.name])}>${parent.name}</a>`],
    ["its keys", parent && html`<span class="mono">${parent.bound}</span>`],
    ["range", isRange ? (rangeId ? html`<a href=${href(["ranges", String(rangeId)])}>${rangeId}</a>` : "…") : ""],
  ]} /></section>`;
}

function Columns({ columns }) {
  if (!columns.length) return html`<${Empty}>It has no column.<//>`;
  return html`<${PlainTable} label="Columns" rows=${columns} rowKey=${(column) => column.name} columns=${[
    { key: "name", label: "Column", cell: (column) => html`<span class="mono">${column.name}</span>` },
    { key: "type", label: "Type", cell: (column) => html`<span class="mono">${column.type}</span>` },
    { key: "nullable", label: "May be null", cell: (column) => (column.nullable ? "yes" : html`<${Badge}>not null<//>`) },
    { key: "default", label: "Default", cell: (column) => html`<span class="mono">${defaultOf(column)}</span>` },
  ]} />`;
}

function UsedIndexes({ table, copies, errors, nodeIds }) {
  const useByName = new Map(indexUse(copies, errors).map((index) => [index.name, index]));
  const indexes = indexesOf(table.indexes).map((index) => ({ ...useByName.get(index.name), ...index }));
  return html`<${Indexes} indexes=${indexes} nodeIds=${nodeIds} />`;
}

function Partitions({ database, name, table, ranges }) {
  const partitions = useMemo(() => partitionsOf(name, ranges.data?.ranges ?? []), [name, ranges.data]);
  return html`<section aria-labelledby="partitions"><h2 id="partitions">Partitions</h2>
    ${partitions.length > 0 && html`<${PlainTable} label="Partitions" rows=${partitions} rowKey=${(each) => each.name} columns=${[
      { key: "name", label: "Partition", cell: (each) => html`<a href=${isPathName(each.name) ? href(["databases", database, each.name]) : href(["ranges", String(each.range.desc.range_id)])}>${each.name}</a>` },
      { key: "bound", label: "Keys", cell: (each) => html`<span class="mono">${each.bound}</span>` },
      { key: "size", label: "Size", isNumber: true, cell: (each) => bytes(each.range.sizes?.total_bytes) },
    ]} />`}
    <p class="quiet note">${partitionsText(table, partitions.length, ranges)}</p>
  </section>`;
}

function partitionsText(table, shown, ranges) {
  const all = table.range_count ?? 0;
  if (!ranges.data) return "Asking…";
  if (shown >= all) return `All ${count(all)} with rows of their own.`;
  return `${count(shown)} of ${count(all)} with rows of their own; the others are partitions of partitions, or beyond the first ${count(RANGES_SEEN)} tables of this database.`;
}
