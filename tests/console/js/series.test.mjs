// Readings over time: what was not measured is a gap, never a made-up figure.

import assert from "node:assert/strict";
import test from "node:test";

import { combined, joined, nearestIndex, rates, sampled, shares, withGaps } from "console/lib/series.js";

const MINUTE = 60;
const at = (...minutes) => minutes.map((minute) => minute * MINUTE);

test("a counter's rate is a gap at first, where it began anew, where it isn't known, and after a pause", () => {
  const counted = { times: at(0, 1, 2, 3, 4, 9), values: [0, 60, 180, 10, null, 500] };
  assert.deepEqual(rates(counted, MINUTE).values, [null, 1, 2, null, null, null]);
});

test("a counter that stands still has the rate zero", () => {
  assert.deepEqual(rates({ times: at(0, 1), values: [7, 7] }, MINUTE).values, [null, 0]);
});

test("a share of nothing isn't known", () => {
  const [hits, misses] = [[3, 0, null], [1, 0, 1]].map((values) => ({ times: at(0, 1, 2), values }));
  assert.deepEqual(shares(hits, misses).values, [0.75, null, null]);
  assert.deepEqual(combined(hits, misses, (a, b) => a + b).values, [4, 0, null]);
});

test("no line leads over readings that are missing", () => {
  assert.deepEqual(withGaps({ times: at(0, 1, 4), values: [1, 2, 3] }, MINUTE), { times: at(0, 1, 2, 4), values: [1, 2, null, 3] });
});

test("nodes that read at other moments share an axis, and each keeps its own line", () => {
  const { times, columns } = joined([{ times: [0, 60], values: [1, 2] }, { times: [30, 90], values: [3, 4] }]);
  assert.deepEqual(times, [0, 30, 60, 90]);
  assert.deepEqual(columns, [[1, undefined, 2, undefined], [undefined, 3, undefined, 4]]);
});

test("the nearest moment is found at the ends and between", () => {
  assert.deepEqual([-5, 4, 6, 99].map((time) => nearestIndex([0, 10, 20], time)), [0, 0, 1, 2]);
  assert.equal(nearestIndex([], 5), -1);
});

test("a sample is the last reading of its step", () => {
  assert.deepEqual(sampled({ times: [0, 5, 25], values: [1, 2, 3] }, { from: 0, to: 30, stepSeconds: 10 }), [2, null, 3]);
});
