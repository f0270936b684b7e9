// The databases of the cluster, and one of them with its tables and grants.

import { html, useMemo, useState } from "../lib/html.js";
import { request, usePolled, usePolledAll } from "../lib/api.js";
import { bytes } from "../lib/format.js";
import { PlainTable } from "../lib/plain.js";
import { go, href, setParams } from "../lib/route.js";
import { PartsBar } from "../lib/storage.js";
import { Table, sorted } from "../lib/table.js";
import { NO_PATH_NAME, isPathName, readDatabaseRanges, tableRows, withDetail } from "../lib/tables.js";
import { Banner, Crumbs, Empty, Facts, FilterText, Freshness, Heading, Tabs } from "../lib/ui.js";

const REFRESH_MS = 30_000; // sizes and grants change slowly
const SIZES_MS = 60_000; // each is a count of files
const PAGE = 1000;
const MOST_DETAILS = 50; // tables that are no range (partitioned, foreign): each is a visit of its own

export function DatabasesPage({ params }) {
  const databases = usePolled("databases/", REFRESH_MS);
  const names = databases.data?.databases ?? [];
  const [seen, setSeen] = useState([]);
  const sort = params.sort ?? "name";
  const isByName = sort.replace(/^-/, "") === "name";
  const asked = (isByName ? seen : names).filter(isPathName); // any other order needs to know all of them
  const details = usePolledAll(asked.map(databasePath), SIZES_MS);

  const found = useMemo(() => matching(names.map((name) => ({ name })), params.q), [databases.data, params.q]);
  const rows = sorted(found.map((row) => ({ ...row, state: details.get(databasePath(row.name)) })), DATABASE_COLUMNS, sort);
  return html`<div class="table-page">
    <${Heading} title="Databases"><${Freshness} value=${databases} /><//>
    <div class="filters"><${FilterText} name="q" label="Name" value=${params.q} wide /></div>
    <${Table} label="Databases" columns=${DATABASE_COLUMNS} rows=${rows} rowKey=${(row) => row.name} sort=${sort}
      onOpen=${(row) => go(["databases", row.name])}
      onSight=${(sight) => setSeen((before) => same(before, sight.map((row) => row.name)))}
      empty=${databases.data ? "No database is called so." : "Asking…"} />
  </div>`;
}

function databasePath(name) {
  return `databases/${name}/`;
}

function matching(rows, q = "") {
  const needle = q.trim().toLowerCase();
  return needle ? rows.filter((row) => row.name.toLowerCase().includes(needle)) : rows;
}

/** `before` where it holds the same names: a state that doesn't change draws nothing. */
function same(before, names) {
  return before.length === names.length && names.every((name, index) => name === before[index]) ? before : names;
}

const DATABASE_COLUMNS = [
  { key: "name", label: "Database", width: "minmax(0, 3fr)", cell: ({ name }) => html`<a href=${href(["databases", name])}>${name}</a>${
    !isPathName(name) && html` <span class="quiet">no details: ${NO_PATH_NAME}</span>`}`, title: ({ name }) => name },
  { key: "size", label: "Size", width: "110px", isNumber: true, value: (row) => row.state?.data?.size_bytes, cell: (row) => bytes(row.state?.data?.size_bytes) },
  { key: "owner", label: "Owner", width: "minmax(0, 1fr)", value: (row) => row.state?.data?.owner, cell: ({ state }) => state?.data?.owner ?? whyNot(state), title: ({ state }) => state?.error?.message },
  { key: "encoding", label: "Encoding", width: "110px", hideBelow: 560, value: (row) => row.state?.data?.encoding, cell: (row) => row.state?.data?.encoding ?? "–" },
];

function whyNot(state) {
  return state?.error ? html`<span class="bad">${state.error.message}</span>` : "–";
}

export function DatabasePage({ parts, params }) {
  const [, name] = parts;
  return html`<${Database} key=${name} name=${name} params=${params} />`;
}

function Database({ name, params }) {
  const isReachable = isPathName(name);
  const database = usePolled(isReachable ? databasePath(name) : null, REFRESH_MS);
  const tab = params.tab === "grants" ? "grants" : "tables";
  const Tab = tab === "grants" ? Grants : Tables;
  return html`<div class="table-page">
    <div><${Crumbs} links=${[[href(["databases"]), "Databases"]]} />
      <${Heading} title=${name}>${isReachable && html`<${Freshness} value=${database} />`}<//></div>
    ${!isReachable && html`<${Banner} tone="note">Of this database only its tables with data are known: ${NO_PATH_NAME}.<//>`}
    ${isReachable && html`<${Facts} facts=${[
      ["size", bytes(database.data?.size_bytes)],
      ["owner", database.data?.owner ?? "–"],
      ["encoding", database.data?.encoding ?? "–"],
      ["oid", database.data?.descriptor_id ?? "–"],
    ]} />`}
    <${Tabs} label="Of this database" tabs=${[
      [href(["databases", name]), "Tables", tab === "tables"],
      [href(["databases", name], { tab: "grants" }), "Grants", tab === "grants"],
    ]} />
    <${Tab} name=${name} isReachable=${isReachable} params=${params} />
  </div>`;
}

function Tables({ name, isReachable, params }) {
  const pages = Math.max(1, Number(params.pages) || 1);
  const listed = usePolled(isReachable ? `${databasePath(name)}tables/?limit=${pages * PAGE}` : null, REFRESH_MS);
  const sized = useDatabaseRanges(name, pages * PAGE);
  const known = useMemo(() => tableRows(listed.data?.table_names ?? [], sized.data?.ranges ?? []), [listed.data, sized.data]);
  const rowsWithout = useMemo(() => (sized.data && !sized.data.hasMore ? known.filter((row) => row.path && !row.range) : []), [known, sized.data]);
  const pathOf = (row) => `${databasePath(name)}tables/${row.path}/`;
  const details = usePolledAll(isReachable ? rowsWithout.slice(0, MOST_DETAILS).map(pathOf) : [], SIZES_MS);

  const rows = matching(known.map((row) => (row.range ? row : withDetail(row, details.get(pathOf(row))?.data))), params.q);
  const sort = params.sort ?? "-size";
  const error = listed.error ?? sized.error;
  const isAsked = Boolean((listed.data || !isReachable) && sized.data) || Boolean(error); // rows don't change places then
  return html`
    <div class="filters"><${FilterText} name="q" label="Schema or table" value=${params.q} wide />
      ${error && html`<p class="bad" role="alert">${error.message}</p>`}</div>
    <${Table} label=${`Tables of ${name}`} columns=${tableColumns(name)} rows=${isAsked ? sorted(rows, tableColumns(name), sort) : []}
      rowKey=${(row) => row.key} sort=${sort} onOpen=${(row) => open(name, row)}
      empty=${isAsked ? (known.length ? "No table is called so." : "It has no tables.") : "Asking…"} />
    ${Boolean(listed.data?.next || sized.data?.hasMore) && html`<p class="more"><span class="quiet">There are more tables. Filter and order are of those that are shown.</span>
      <button type="button" onClick=${() => setParams({ pages: pages + 1 })}>Show ${PAGE.toLocaleString("en-GB")} more</button></p>`}`;
}

/** The ranges of a database, as this node has them: a value of several requests. */
export function useDatabaseRanges(name, count) {
  const read = useMemo(
    () =>
      (_, options) =>
        readDatabaseRanges(name, count, async (offset, limit) => (await request(`nodes/local/ranges/?limit=${limit}&offset=${offset}`, options)).ranges),
    [name, count],
  );
  return usePolled(`the first ${count} ranges of database ${name}`, REFRESH_MS, read);
}

function linkOf(database, row) {
  if (row.path && isPathName(database)) return ["databases", database, row.path];
  return row.range ? ["ranges", String(row.range.desc.range_id)] : null;
}

function open(database, row) {
  const link = linkOf(database, row);
  if (link) go(link);
}

function tableColumns(database) {
  return [
    { key: "name", label: "Name", width: "minmax(0, 3fr)", cell: (row) => html`<${TableName} link=${linkOf(database, row)} row=${row} />`, title: (row) => row.name },
    { key: "kind", label: "Kind", width: "140px", hideBelow: 620, cell: (row) => row.kind ?? "–" },
    { key: "size", label: "Size", width: "90px", isNumber: true, value: (row) => row.sizes?.total_bytes, cell: (row) => bytes(row.sizes?.total_bytes) },
    { key: "parts", spoken: "Its parts", label: "", width: "minmax(80px, 1fr)", hideBelow: 760, cell: (row) => row.sizes && row.sizes.total_bytes > 0 && html`<${PartsBar} sizes=${row.sizes} />` },
    { key: "table", label: "Table", width: "90px", isNumber: true, hideBelow: 900, value: (row) => row.sizes?.table_bytes, cell: (row) => bytes(row.sizes?.table_bytes) },
    { key: "indexes", label: "Indexes", width: "90px", isNumber: true, hideBelow: 900, value: (row) => row.sizes?.indexes_bytes, cell: (row) => bytes(row.sizes?.indexes_bytes) },
    { key: "toast", label: "TOAST", width: "90px", isNumber: true, hideBelow: 1000, value: (row) => row.sizes?.toast_bytes, cell: (row) => bytes(row.sizes?.toast_bytes) },
  ];
}

function TableName({ link, row }) {
  return html`${link ? html`<a href=${href(link)}>${row.name}</a>` : row.name}${!row.path && html` <span class="quiet">its range only: ${NO_PATH_NAME}</span>`}`;
}

function Grants({ name, isReachable }) {
  const grants = usePolled(isReachable ? `${databasePath(name)}grants/` : null, REFRESH_MS);
  if (!isReachable) return html`<${Empty}>Who may do what with it can't be asked: ${NO_PATH_NAME}.<//>`;
  return html`${grants.error && html`<p class="bad" role="alert">${grants.error.message}</p>`}<${GrantList} grants=${grants.data?.grants} />`;
}

/** Who may do what. `grants`: undefined while it is being asked for. */
export function GrantList({ grants }) {
  if (!grants) return html`<p class="empty" aria-busy="true">Asking…</p>`;
  if (!grants.length) return html`<${Empty}>Nobody but superusers.<//>`;
  return html`<${PlainTable} label="Grants" rows=${grants} rowKey=${(grant) => grant.user} columns=${[
    { key: "user", label: "Role", cell: (grant) => (grant.user === "public" ? html`public <span class="quiet">everybody</span>` : grant.user) },
    { key: "privileges", label: "May", cell: (grant) => grant.privileges.join(", ") },
  ]} />`;
}
