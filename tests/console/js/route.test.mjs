// Addresses: what a link says is what the page gets.

import assert from "node:assert/strict";
import test from "node:test";

import { href, parseHash } from "console/lib/route.js";

test("an address holds the page and its state", () => {
  assert.deepEqual(parseHash("#/sessions?state=active&sort=-age"), { parts: ["sessions"], params: { state: "active", sort: "-age" } });
});

test("no address is the first page", () => {
  for (const hash of ["", "#", "#/"]) assert.deepEqual(parseHash(hash), { parts: [], params: {} });
});

test("whatever a name holds, the link leads to it", () => {
  const names = ["plain", "a/b", "ü?#&=%", "two words", "100%", '"Order"', "日本"];
  for (const name of names) {
    assert.deepEqual(parseHash(href(["databases", name], { text: name })), { parts: ["databases", name], params: { text: name } });
  }
});

test("parameters without a value are left out, a zero is a value", () => {
  assert.equal(href(["sessions"], { a: "", b: undefined, c: null, d: 0 }), "#/sessions?d=0");
});

test("a link that somebody typed wrongly is read as far as possible", () => {
  assert.deepEqual(parseHash("#/databases/%zz").parts, ["databases", "%zz"]);
});
