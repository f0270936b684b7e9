// Databases and their tables: names as the API's paths take them, and how a database's ranges are found in the list of
// all. No DOM here.

import { databaseNumberOf } from "./ranges.js";

const PAGE = 200; // ranges: all that most clusters have
const SHARED_NUMBER = 1; // of the catalogues that all databases share

/** Whether a path of the API can hold a name of a database or table. */
export function isPathName(name) {
  return /^[A-Za-z0-9_.]+$/.test(name);
}

/** Why `isPathName` matters, to be read beside a name that isn't one. */
export const NO_PATH_NAME = "the API's paths hold letters, digits, _ and . only";

/** `"My schema".orders` → ["My schema", "orders"]: a name as SQL writes it, without its quotes. */
export function parseQualified(text) {
  const parts = text.match(/"(?:[^"]|"")*"|[^."]+/g) ?? [];
  return parts.map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part));
}

/** A name as SQL writes it: quoted only where it must be (but for words of SQL, which no list of ours holds). */
export function quoted(name) {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function isOf(range, database) {
  return range.database === database && databaseNumberOf(range.desc.range_id) !== SHARED_NUMBER;
}

/**
 * Where a database's ranges begin in the list of all, which is ordered by the databases' numbers: {number, offset, rest,
 * isLast}, or null where it has none. `rest` is what was read of the list from there on; `isLast`: it goes to its end.
 *
 * @param read (offset, limit) → promise of ranges; a page that holds nothing but another database's is leapt from
 */
export async function findDatabase(database, read) {
  let offset = 0;
  for (;;) {
    const page = await read(offset, PAGE);
    const index = page.findIndex((range) => isOf(range, database));
    const isLast = page.length < PAGE;
    if (index >= 0) return { number: numberOf(page[index]), offset: offset + index, rest: page.slice(index), isLast };
    if (isLast) return null;
    const end = offset + page.length;
    offset = numberOf(page[0]) === numberOf(page.at(-1)) ? await nearEnd(numberOf(page[0]), end - 1, read) : end;
  }
}

function numberOf(range) {
  return databaseNumberOf(range.desc.range_id);
}

/** An offset at most a page before the end of a database's ranges, and behind `inside`, which is one of theirs. */
async function nearEnd(number, inside, read) {
  const isInside = async (offset) => {
    const [range] = await read(offset, 1);
    return range !== undefined && numberOf(range) === number;
  };
  let low = inside;
  let step = PAGE;
  while (await isInside(low + step)) {
    low += step;
    step *= 2;
  }
  let high = low + step;
  while (high - low > PAGE - 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isInside(middle)) low = middle;
    else high = middle;
  }
  return low + 1;
}

/** The first `count` ranges of a database, by the order in which tables were made: {number, ranges, hasMore}. */
export async function readDatabaseRanges(database, count, read) {
  const found = await findDatabase(database, read);
  if (!found) return { number: undefined, ranges: [], hasMore: false };
  const isEnough = found.isLast || found.rest.length > count || !isOf(found.rest.at(-1), database);
  const page = isEnough ? found.rest : await read(found.offset, count + 1);
  const ranges = page.filter((range) => isOf(range, database));
  return { number: found.number, ranges: ranges.slice(0, count), hasMore: ranges.length > count };
}

function tableKey(schema, table) {
  return JSON.stringify([schema, table]);
}

/**
 * The tables of a database: those named in the API's list, each with its range where it has one, then ranges whose
 * name isn't in the list that far. `path` is the table's name in the API's path, "" where that can't hold it.
 */
export function tableRows(names, ranges) {
  const rangeByKey = new Map(ranges.map((range) => [tableKey(range.schema_name, range.table), range]));
  const rows = names.map((text) => {
    const [schema, table] = parseQualified(text);
    const key = tableKey(schema, table);
    const range = rangeByKey.get(key);
    rangeByKey.delete(key);
    return tableRow(key, schema, table, range);
  });
  return [...rows, ...[...rangeByKey].map(([key, range]) => tableRow(key, range.schema_name, range.table, range))];
}

function tableRow(key, schema, table, range) {
  const name = `${schema}.${table}`;
  return { key, name, path: isPathName(name) ? name : "", range, kind: range?.kind, sizes: range?.sizes };
}

/** A row with what its own page says: of a table that is no range, its kind and the sizes of all its partitions. */
export function withDetail(row, detail) {
  return detail ? { ...row, kind: detail.kind, sizes: detail.sizes } : row;
}

const KEY_PREFIX = /^\/Table\/(?:"(?:[^"]|"")*"|[^"/])+\/((?:"(?:[^"]|"")*"|[^"/])+)\//;

/** Whose keys a range has, a partition those of its parent, and which of them: {name, bound}. */
export function keysOf({ span }) {
  const [prefix, table] = span.start_key.match(KEY_PREFIX) ?? ["", ""];
  return { name: parseQualified(table).join("."), bound: boundText(span.start_key.slice(prefix.length), span.end_key.slice(prefix.length)) };
}

/** "(1)", "(10)" → "(1) to (10)"; "DEFAULT/Min" → "DEFAULT"; "Min": a whole table, "". */
function boundText(from, to) {
  if (from === "Min") return "";
  return from.endsWith("/Min") ? from.slice(0, -"/Min".length) : `${from} to ${to}`;
}

/** Partitions whose parent is `name` (schema.table), by name. */
export function partitionsOf(name, ranges) {
  return ranges
    .filter((range) => range.kind === "partition" && keysOf(range).name === name)
    .map((range) => ({ range, name: `${range.schema_name}.${range.table}`, bound: keysOf(range).bound }))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** The API's rows of index columns as one for each index: {name, isUnique, keys, stored}. */
export function indexesOf(rows) {
  const byName = new Map();
  for (const row of [...rows].sort((a, b) => a.seq - b.seq)) {
    const index = byName.get(row.name) ?? { name: row.name, isUnique: Boolean(row.unique), keys: [], stored: [] };
    byName.set(row.name, index);
    if (row.storing) index.stored.push(row.column ?? "?");
    else index.keys.push(`${row.column ?? "?"}${row.direction === "DESC" ? " DESC" : ""}`);
  }
  return [...byName.values()].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** What stands in a column when an INSERT says nothing of it. */
export function defaultOf(column) {
  if (column.generation_expression) return `generated: ${column.generation_expression}`;
  if (column.identity) return `identity, ${column.identity.toLowerCase()}`;
  return column.default_value ?? "";
}
