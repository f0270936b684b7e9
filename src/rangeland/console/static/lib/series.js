// Readings over time, before they are drawn: rates of counters, gaps, one axis for all nodes. Pure.
//
// A series is {times, values}: unix seconds, ascending, and a figure for each, null where it isn't known.

const GAP_STEPS = 1.5; // readings further apart than this many steps have one missing between them

/** A metric of a node's history as a series. @param node {times, metrics} as /history/ has it */
export function seriesOf(node, name) {
  return { times: node.times, values: node.metrics[name] ?? node.times.map(() => null) };
}

/**
 * How fast a counter grew up to each of its readings, per second.
 *
 * null at the first reading, after a gap, and where the counter fell: it began anew, and what it was before isn't known.
 */
export function rates({ times, values }, stepSeconds) {
  return {
    times,
    values: values.map((value, index) => {
      const before = values[index - 1] ?? null;
      const elapsed = times[index] - times[index - 1];
      if (value === null || before === null || value < before) return null;
      return elapsed > 0 && elapsed <= stepSeconds * GAP_STEPS ? (value - before) / elapsed : null;
    }),
  };
}

/** `combine(a, b)` of two series over the same times; null where one of them is. */
export function combined(a, b, combine) {
  return {
    times: a.times,
    values: a.values.map((value, index) => (value === null || b.values[index] === null ? null : combine(value, b.values[index]))),
  };
}

/** `part` of `part` + `rest`, 0 to 1; null where nothing happened. */
export function shares(part, rest) {
  return combined(part, rest, (a, b) => (a + b > 0 ? a / (a + b) : null));
}

/** With a null after each reading that has no next one in time, so that no line is drawn over what wasn't measured. */
export function withGaps({ times, values }, stepSeconds) {
  const marked = { times: [], values: [] };
  times.forEach((time, index) => {
    const before = times[index - 1];
    if (index > 0 && time - before > stepSeconds * GAP_STEPS) {
      marked.times.push(before + stepSeconds);
      marked.values.push(null);
    }
    marked.times.push(time);
    marked.values.push(values[index]);
  });
  return marked;
}

/**
 * Several series on one axis: {times, columns}, a column each.
 *
 * Nodes read at moments of their own. Where another node read between two readings of this one its column has undefined,
 * over which a line is drawn; null is a gap, and so is all that lies beside it.
 */
export function joined(series) {
  const times = [...new Set(series.flatMap((each) => each.times))].sort((a, b) => a - b);
  const indexOf = new Map(times.map((time, index) => [time, index]));
  const columns = series.map((each) => columnOf(each, indexOf, times.length));
  return { times, columns };
}

function columnOf({ times, values }, indexOf, length) {
  const column = new Array(length).fill(undefined);
  times.forEach((time, index) => {
    const place = indexOf.get(time);
    column[place] = values[index];
    const before = index > 0 ? indexOf.get(times[index - 1]) : place;
    if (values[index] === null || values[index - 1] === null) column.fill(null, before + 1, place);
  });
  return column;
}

/** The figure at an index of a joined column: the node's own reading at that moment, else its last one before. */
export function valueAt(column, index) {
  for (let at = Math.min(index, column.length - 1); at >= 0; at -= 1) if (column[at] !== undefined) return column[at] ?? undefined;
  return undefined;
}

/** The index of the moment nearest to `time`; -1 without any. @param {number[]} times ascending */
export function nearestIndex(times, time) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && time - times[low - 1] <= times[low] - time) return low - 1;
  return times.length ? low : -1;
}

/** A figure for each step from `from` to `to`: the last reading within it, null where there is none. */
export function sampled({ times, values }, { from, to, stepSeconds }) {
  const samples = new Array(Math.max(0, Math.ceil((to - from) / stepSeconds))).fill(null);
  times.forEach((time, index) => {
    const slot = Math.floor((time - from) / stepSeconds);
    if (slot >= 0 && slot < samples.length && (values[index] ?? null) !== null) samples[slot] = values[index];
  });
  return samples;
}

/** Joined columns as a table: {time, figures} for each step in which something was read, newest first. */
export function tabulated(times, columns, stepSeconds) {
  const rowByTime = new Map();
  times.forEach((time, index) => {
    const start = Math.floor(time / stepSeconds) * stepSeconds;
    const row = rowByTime.get(start) ?? { time: start, figures: columns.map(() => undefined) };
    columns.forEach((column, at) => {
      if ((column[index] ?? null) !== null) row.figures[at] = column[index];
    });
    rowByTime.set(start, row);
  });
  return [...rowByTime.values()].reverse();
}

/** Indexes of readings with a gap on both sides, which no line would show. */
export function alone(column) {
  const known = [...column.keys()].filter((index) => column[index] !== undefined);
  return known.filter((index, at) => column[index] !== null && (column[known[at - 1]] ?? null) === null && (column[known[at + 1]] ?? null) === null);
}
