// Figures and moments as people read them.

import assert from "node:assert/strict";
import test from "node:test";

import { bytes, count, duration, moment, nanoseconds, percent, plural, rate } from "console/lib/format.js";

const BORDERS = {
  bytes: [bytes, [[0, "0 B"], [999, "999 B"], [1000, "1.00 kB"], [9949, "9.95 kB"], [99_500, "100 kB"], [999_499, "999 kB"],
    [999_500, "1.00 MB"], [16_777_216, "16.8 MB"], [2 ** 53, "9.01 PB"], [-16_777_216, "−16.8 MB"]]],
  count: [count, [[0, "0"], [0.04, "0.04"], [0.5, "0.5"], [12, "12"], [9999, "9,999"], [10_000, "10.0 k"], [1_234_567, "1.23 M"],
    [5e9, "5.00 G"], [-12, "-12"]]],
  rate: [rate, [[0, "0/s"], [1500, "1,500/s"]]],
  percent: [percent, [[0, "0 %"], [0.994, "99 %"], [1, "100 %"], [NaN, "–"]]],
  duration: [duration, [[-1, "0 ms"], [0.0124, "12 ms"], [2.5, "2.5 s"], [59.9, "59 s"], [60, "1 min 0 s"], [3599, "59 min 59 s"],
    [3600, "1 h 0 min"], [86_399, "23 h 59 min"], [90_000, "1 d 1 h"], [NaN, "–"]]],
  nanoseconds: [nanoseconds, [[1_500_000_000, "1.5 s"]]],
};

for (const [name, [write, examples]] of Object.entries(BORDERS)) {
  test(`${name} is written with its unit, on both sides of each border`, () => {
    for (const [value, text] of examples) assert.equal(write(value), text, String(value));
  });
  test(`${name}: what isn't known is a dash, never a zero`, () => assert.equal(write(undefined), "–"));
}

test("a moment of today has no date, an older one has", () => {
  assert.match(moment(Date.now()), /^\d\d:\d\d:\d\d$/);
  assert.match(moment("2026-01-02T03:04:05Z"), /^2026-01-0\d \d\d:\d\d:05$/);
});

test("a moment that never was is a dash", () => {
  for (const never of ["0001-01-01T00:00:00Z", "no moment", undefined]) assert.equal(moment(never), "–");
});

test("only one is singular", () => {
  assert.deepEqual([0, 1, 2].map((number) => plural(number, "node")), ["0 nodes", "1 node", "2 nodes"]);
  assert.equal(plural(1200, "index", "indexes"), "1,200 indexes");
});
