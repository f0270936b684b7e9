// SQL laid out for reading: other white space, the same statement.

import assert from "node:assert/strict";
import test from "node:test";

import { formatted, textOf, tokens } from "console/lib/sql.js";

const STATEMENTS = [
  "select 1",
  "SELECT a, 'it''s; -- no comment' FROM t WHERE b = $1 AND c > 1.5e3",
  "SELECT $tag$ ; ' \" $$ $tag$, $1::int FROM \"Order\" -- why\nWHERE x IN (SELECT 1 /* a /* b */ c */)",
  "UPDATE t SET a = E'\\'' WHERE id = 1 RETURNING *; DELETE FROM t",
  "SELECT 'one'\n'constant'",
  "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$",
  "INSERT INTO t VALUES ('cut in the midd",
  "SELECT \"cut",
  "/* cut",
  "",
];

const meaning = (sql) => tokens(sql).filter((token) => token.kind !== "space").map((token) => token.text);

test("tokens are the statement, nothing left out", () => {
  for (const sql of STATEMENTS) assert.equal(textOf(tokens(sql)), sql);
});

test("no token changes, wherever a statement was cut", () => {
  for (const sql of STATEMENTS) {
    for (let end = 0; end <= sql.length; end += 1) {
      const cut = sql.slice(0, end);
      assert.deepEqual(meaning(formatted(cut)), meaning(cut), cut);
    }
  }
});

test("two strings that are one constant across a line's end stay one", () => {
  assert.match(formatted("SELECT 'one'\n'constant'"), /'one'\s*\n\s*'constant'/);
});

test("what follows a comment to the line's end isn't drawn into it", () => {
  assert.match(formatted("SELECT 1 -- why\nFROM t"), /-- why\n\s*FROM/);
});

test("each main clause begins a line", () => {
  const lines = formatted("select a from t where b = 1 order by a").split("\n").map((line) => line.trim());
  assert.deepEqual(lines, ["select a", "from t", "where b = 1", "order by a"]);
});

test("laying out twice changes nothing more", () => {
  for (const sql of STATEMENTS) assert.equal(formatted(formatted(sql)), formatted(sql));
});
