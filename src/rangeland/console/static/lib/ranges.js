// Ranges (tables with their indexes and TOAST): what is made of the API's answers about them. No DOM here.

const NUMBER_BASE = 2 ** 32; // a range's id is its database's number << 32 | its table's oid, and exact in a double
const MOST_IDS = 100; // of one question for histories

/** The four rates of a range; `field` is its name in ranges/hot/, `historyField` in ranges/hot/history/. */
export const RATES = [
  { key: "buffers", label: "Buffers", field: "buffers_per_second", historyField: "buffers_per_second" },
  { key: "queries", label: "Queries", field: "qps", historyField: "queries_per_second" },
  { key: "reads", label: "Rows read", field: "reads_per_second", historyField: "reads_per_second" },
  { key: "writes", label: "Rows written", field: "writes_per_second", historyField: "writes_per_second" },
];

export function rangeIdOf(databaseNumber, oid) {
  return databaseNumber * NUMBER_BASE + oid;
}

export function databaseNumberOf(rangeId) {
  return Math.floor(rangeId / NUMBER_BASE);
}

/** What tells two rows of hot ranges apart: a table that is hot on two servers is two rows. */
export function hotKey({ range_id, node_id }) {
  return `${node_id}/${range_id}`;
}

/**
 * Hot ranges by the rate `by`, each with its rank by it among all, then only those that the filters let through.
 *
 * `filters`: {q, node, database}, each empty for all; `q` is looked for in schema.table and the database's name.
 */
export function hotRows(ranges, by, { q = "", node = "", database = "" } = {}) {
  const { field } = rateOf(by);
  const needle = q.trim().toLowerCase();
  return [...ranges]
    .sort((a, b) => b[field] - a[field])
    .map((range, index) => ({ ...range, key: hotKey(range), rank: index + 1, name: `${range.schema_name}.${range.table_name}` }))
    .filter(
      (row) =>
        (!node || row.node_id === Number(node)) &&
        (!database || row.database_name === database) &&
        (!needle || row.name.toLowerCase().includes(needle) || row.database_name.toLowerCase().includes(needle)),
    );
}

/** One of RATES; the first where there is none of that key. */
export function rateOf(by) {
  return RATES.find((rate) => rate.key === by) ?? RATES[0];
}

/** The largest of each rate, by its key, to draw the others beside it. */
export function largestRates(rows) {
  return Object.fromEntries(RATES.map(({ key, field }) => [key, rows.reduce((most, row) => Math.max(most, row[field]), 0)]));
}

/**
 * The ids to ask histories for when `ids` are in sight: what was asked for before, as long as it holds them, so that
 * a range that comes and goes isn't a new question each time. Ascending.
 */
export function wantedIds(before, ids) {
  const fresh = [...new Set(ids)].slice(0, MOST_IDS);
  if (fresh.every((id) => before.includes(id))) return before;
  const both = [...new Set([...fresh, ...before])].slice(0, MOST_IDS);
  return both.sort((a, b) => a - b);
}

/** ranges/hot/history/ by `hotKey`. */
export function historyByKey(answer) {
  return new Map((answer?.ranges ?? []).map((history) => [hotKey(history), history]));
}

/** Several histories over the same moments: {times, valuesByNodeId}, null where a node has no figure. */
export function alignedHistories(histories, field) {
  const times = [...new Set(histories.flatMap((history) => history.times))].sort((a, b) => a - b);
  const placeByTime = new Map(times.map((time, place) => [time, place]));
  const valuesByNodeId = new Map();
  for (const history of histories) {
    const values = new Array(times.length).fill(null);
    history.times.forEach((time, index) => {
      values[placeByTime.get(time)] = history[field][index];
    });
    valuesByNodeId.set(history.node_id, values);
  }
  return { times, valuesByNodeId };
}

/**
 * ranges/{id}/ in the order of the nodes' ids: {copies, errors}.
 *
 * `copies`: [{nodeId, info}…] of the nodes that hold one; `errors`: [{node_id, message}…] of those that could not be asked.
 */
export function rangeParts(answer) {
  const parts = Object.entries(answer?.responses_by_node_id ?? {})
    .map(([nodeId, detail]) => ({ nodeId: Number(nodeId), info: detail.range_info, error: detail.error }))
    .sort((a, b) => a.nodeId - b.nodeId);
  return {
    copies: parts.filter((part) => !part.error).map(({ nodeId, info }) => ({ nodeId, info })),
    errors: parts.filter((part) => part.error).map(({ nodeId, error }) => ({ node_id: nodeId, message: error })),
  };
}

/** The nodes that hold a copy, or may hold one and could not be asked: what is shown of them keeps its place. */
export function nodeIdsOf(copies, errors) {
  return [...copies.map((copy) => copy.nodeId), ...errors.map((error) => error.node_id)].sort((a, b) => a - b);
}

/** The copy that tells most: the primary's, else the first one. */
export function leadingCopy(copies) {
  return copies.find(({ nodeId, info }) => info.lease_history[0]?.replica.node_id === nodeId) ?? copies[0];
}

const PROBLEMS = {
  unavailable: "No live server holds it.",
  no_lease: "There is no primary: nobody takes writes.",
  underreplicated: "Fewer standbys stream from the primary than there are other nodes.",
  raft_log_too_large: "A replication slot holds back more WAL than is allowed.",
};

/** What is wrong with a range as any node says, in words. */
export function problemsOf(copies) {
  const flags = new Set(copies.flatMap(({ info }) => Object.keys(info.problems).filter((flag) => info.problems[flag])));
  return [...flags].map((flag) => PROBLEMS[flag] ?? `${flag.replaceAll("_", " ")}.`);
}

/**
 * Indexes by name, with their scans on each node.
 *
 * `isUnused`: no node that was asked has used it; `isSure`: and every node was asked and knows.
 */
export function indexUse(copies, errors) {
  const names = [...new Set(copies.flatMap(({ info }) => (info.indexes ?? []).map((index) => index.name)))].sort();
  return names.map((name) => {
    const found = copies.map(({ nodeId, info }) => [nodeId, (info.indexes ?? []).find((index) => index.name === name)]);
    const known = found.map(([, index]) => index?.scans);
    return {
      name,
      size: found.map(([, index]) => index?.size_bytes).find((size) => size !== undefined),
      scansByNodeId: new Map(found.map(([nodeId, index]) => [nodeId, index?.scans])),
      isUnused: known.some((scans) => scans === 0) && known.every((scans) => !scans),
      isSure: errors.length === 0 && known.every((scans) => scans !== undefined),
    };
  });
}

/** The parts of a table's `sizes`, largest meaning first; what isn't there has no bytes. */
export function partsOf(sizes) {
  return [
    { key: "table", label: "table", bytes: sizes.table_bytes },
    { key: "indexes", label: "indexes", bytes: sizes.indexes_bytes },
    { key: "toast", label: "TOAST", bytes: sizes.toast_bytes },
  ];
}

/** Whether standbys are synchronous, as the primary's figures tell: of some only how many is known. */
export function synchronyOf(primaryFigures) {
  const all = primaryFigures["pg.replication.standbys"];
  const synchronous = primaryFigures["pg.replication.standbys.synchronous"];
  if (!all || synchronous === undefined) return { word: "", sentence: "" };
  if (synchronous === 0) return { word: "asynchronous", sentence: `${all}, asynchronous` };
  if (synchronous >= all) return { word: "synchronous", sentence: `${all}, synchronous` };
  return { word: "", sentence: `${all}, ${synchronous} synchronous` };
}
