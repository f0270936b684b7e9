// The order of rows.

import assert from "node:assert/strict";
import test from "node:test";

import { sorted } from "console/lib/table.js";

const COLUMNS = [{ key: "name" }, { key: "size", value: (row) => row.bytes }];
const ROWS = [{ name: "b10", bytes: 9 }, { name: "a", bytes: undefined }, { name: "b9", bytes: 100 }, { name: "B9", bytes: 20 }];
const names = (sort) => sorted(ROWS, COLUMNS, sort).map((row) => row.name);

test("numbers are sorted as numbers, also within names", () => {
  assert.deepEqual(names("size"), ["b10", "B9", "b9", "a"]);
  assert.equal(names("name").at(-1), "b10");
});

test("a minus turns the order round, and what isn't known is last in either direction", () => {
  assert.deepEqual(names("-size"), ["b9", "B9", "b10", "a"]);
});

test("a column that doesn't exist changes nothing, and nothing changes the rows that were given", () => {
  const before = [...ROWS];
  assert.deepEqual(sorted(ROWS, COLUMNS, "-other"), before);
  sorted(ROWS, COLUMNS, "size");
  assert.deepEqual(ROWS, before);
});
