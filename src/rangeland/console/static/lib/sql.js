// SQL for reading: cut into tokens, and laid out anew. Pure.
//
// Nothing but the white space between tokens ever changes, and where it matters (after "--", and between two strings,
// which are one constant only across a line's end) it keeps what it means. A statement may be cut off anywhere.

/** @typedef {{kind: string, text: string}} Token `kind`: space, comment, string, name, number, parameter, keyword, word, operator or mark */

const KEYWORDS = new Set(
  `ALL ALTER ANALYZE AND ANY ARRAY AS ASC BEGIN BETWEEN BY CASE CAST CLOSE COLLATE COMMIT CONFLICT COPY CREATE CROSS CURSOR
  DECLARE DELETE DESC DISTINCT DO DROP ELSE END EXCEPT EXECUTE EXISTS EXPLAIN FALSE FETCH FILTER FOR FROM FULL GRANT GROUP
  HAVING ILIKE IN INDEX INNER INSERT INTERSECT INTO IS JOIN LATERAL LEFT LIKE LIMIT LOCK MATERIALIZED MERGE NATURAL NOT
  NOTHING NULL OFFSET ON OR ORDER OUTER OVER PARTITION PREPARE RECURSIVE REINDEX RELEASE RETURNING REVOKE RIGHT ROLLBACK
  SAVEPOINT SELECT SET SHOW SIMILAR TABLE THEN TO TRUE TRUNCATE UNION UPDATE USING VACUUM VALUES VIEW WHEN WHERE WINDOW
  WITH`.split(/\s+/),
);

// In the order in which they are tried. What has no end (a statement is cut at 1,000 bytes) goes to the end.
const PATTERNS = [
  ["space", /\s+/y],
  ["comment", /--[^\r\n]*/y],
  ["string", /[eE]'(?:[^'\\]|''|\\[^])*(?:'|\\?$)/y],
  ["string", /(?:[uU]&|[bBxXnN])?'(?:[^']|'')*(?:'|$)/y],
  ["name", /(?:[uU]&)?"(?:[^"]|"")*(?:"|$)/y],
  ["parameter", /\$\d+/y],
  ["number", /(?:0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*\.?(?!\.)[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)/y],
  ["word", /[\p{L}_\u0080-\uffff][\p{L}\p{N}_$\u0080-\uffff]*/uy],
  ["operator", /::|[+*<>=~!@#%^&|`?:/-]/y],
];

/** @returns {Token[]} whose texts, one after the other, are `sql` */
export function tokens(sql) {
  const found = [];
  let at = 0;
  while (at < sql.length) {
    const token = tokenAt(sql, at);
    found.push(token);
    at += token.text.length;
  }
  return found;
}

function tokenAt(sql, at) {
  const special = dollarString(sql, at) ?? blockComment(sql, at);
  if (special) return special;
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = at;
    const text = pattern.exec(sql)?.[0];
    if (text) return { kind: kind === "word" && KEYWORDS.has(text.toUpperCase()) ? "keyword" : kind, text };
  }
  return { kind: "mark", text: String.fromCodePoint(sql.codePointAt(at)) };
}

/** $tag$ … $tag$, in which nothing means anything but its end. */
function dollarString(sql, at) {
  if (sql[at] !== "$") return null;
  const opening = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;
  opening.lastIndex = at;
  const tag = opening.exec(sql)?.[0];
  if (!tag) return null;
  const end = sql.indexOf(tag, at + tag.length);
  return { kind: "string", text: sql.slice(at, end < 0 ? sql.length : end + tag.length) };
}

/** Comments stand in comments, unlike in C. */
function blockComment(sql, at) {
  if (!sql.startsWith("/*", at)) return null;
  const edge = /\/\*|\*\//g;
  edge.lastIndex = at + 2;
  for (let depth = 1; depth; ) {
    const found = edge.exec(sql);
    if (!found) return { kind: "comment", text: sql.slice(at) };
    depth += found[0] === "/*" ? 1 : -1;
  }
  return { kind: "comment", text: sql.slice(at, edge.lastIndex) };
}

/** The same SQL with a line for each of its main clauses. */
export function formatted(sql) {
  return textOf(laidOut(tokens(sql)));
}

export function textOf(list) {
  return list.map((token) => token.text).join("");
}

/** @returns {Token[]} the same tokens with other white space between them */
export function laidOut(list) {
  return statementsOf(list).flatMap((statement, index) => {
    const first = statement.find((token) => token.kind !== "space" && token.kind !== "comment");
    const lines = LAID_OUT.has(wordOf(first)) ? layOut(statement) : statement;
    return index ? [{ kind: "space", text: "\n" }, ...lines] : lines;
  });
}

// Others (CREATE FUNCTION, DO, COPY…) stay as they were written.
const LAID_OUT = new Set(["SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "EXPLAIN", "TABLE", "("]);

/** Cut behind each semicolon; without the space around each. */
function statementsOf(list) {
  const statements = [[]];
  for (const token of list) {
    statements.at(-1).push(token);
    if (token.text === ";") statements.push([]);
  }
  return statements.map(trimmed).filter((statement) => statement.length);
}

function trimmed(list) {
  const first = list.findIndex((token) => token.kind !== "space");
  const last = list.findLastIndex((token) => token.kind !== "space");
  return first < 0 ? [] : list.slice(first, last + 1);
}

function wordOf(token) {
  return token?.kind === "keyword" || token?.kind === "word" || token?.kind === "mark" ? token.text.toUpperCase() : "";
}

const UNIT = "  ";
const LONG = 72; // a clause that is longer has a line for each item of its list

/**
 * One statement.
 *
 * First it is decided before which tokens a line begins, and how far in; then it is written.
 */
function layOut(list) {
  const parts = list.filter((token) => token.kind !== "space");
  return written(list, parts, lineBreaks(parts));
}

/** @returns {Map<number, number>} index of a token → how many steps in its line begins */
function lineBreaks(parts) {
  const breaks = new Map();
  const frames = [newFrame(true, 0)];
  parts.forEach((token, index) => {
    const frame = frames.at(-1);
    const word = wordOf(token);
    if (token.text === "(") {
      const isQuery = QUERY_STARTS.has(wordOf(parts[index + 1]));
      frames.push(newFrame(isQuery, frame.level + (isQuery ? 2 : 0)));
      return;
    }
    if (token.text === ")" && frames.length > 1) {
      endClause(frame, parts, index, breaks);
      frames.pop();
      if (frame.isQuery) breaks.set(index, frame.level - 1);
      return;
    }
    if (!frame.isQuery) return;
    if (frame.itemIsNext) frame.items.push(index);
    frame.itemIsNext = token.text === ",";
    const steps = stepsOf(word, parts, index, frame);
    if (steps === null) return;
    if (steps === 0) {
      endClause(frame, parts, index, breaks);
      frame.start = index;
    }
    if (index > 0) breaks.set(index, frame.level + steps);
  });
  for (const frame of frames.filter((each) => each.isQuery)) endClause(frame, parts, parts.length, breaks);
  return breaks;
}

const QUERY_STARTS = new Set(["SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE"]);

function newFrame(isQuery, level) {
  return { isQuery, level, cases: 0, isBetween: false, items: [], itemIsNext: false, start: 0 };
}

/** A long clause's list gets a line for each item. */
function endClause(frame, parts, end, breaks) {
  const length = textOf(parts.slice(frame.start, end)).length;
  if (length > LONG) for (const item of frame.items) breaks.set(item, frame.level + 1);
  frame.items = [];
}

const CLAUSES = new Set(
  `SELECT FROM WHERE HAVING LIMIT OFFSET FETCH WINDOW UNION INTERSECT EXCEPT VALUES SET RETURNING INSERT UPDATE DELETE
  GROUP ORDER`.split(/\s+/),
);
const JOINS = new Set(["JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL"]);

/** How far in the line begins that this word begins: 0 a clause, 1 what belongs to one; null: it begins none. */
function stepsOf(word, parts, index, frame) {
  const before = wordOf(parts[index - 1]);
  const after = wordOf(parts[index + 1]);
  if (!word || parts[index - 1]?.text === ".") return null;
  if (word === "CASE") frame.cases += 1;
  if (word === "END" && frame.cases) frame.cases -= 1;
  if (frame.cases) return null;
  if (word === "BETWEEN") frame.isBetween = true;
  if (word === "AND" && frame.isBetween) {
    frame.isBetween = false;
    return null;
  }
  if (word === "AND" || word === "OR") return 1;
  if (JOINS.has(word)) return isJoin(word, before, parts[index + 1]) ? 1 : null;
  if (word === "ON" && after === "CONFLICT") return 0;
  if (word === "WHEN") return 0; // of MERGE
  if (word === "FOR" && LOCKS.has(after)) return 0;
  return CLAUSES.has(word) && isClause(word, before, wordOf(parts[index - 2]), after) ? 0 : null;
}

const LOCKS = new Set(["UPDATE", "SHARE", "NO", "KEY"]);

/** LEFT JOIN begins one line; left(…) is a function. */
function isJoin(word, before, next) {
  if (word === "JOIN") return !["LEFT", "RIGHT", "FULL", "INNER", "CROSS", "OUTER", "NATURAL"].includes(before);
  return next?.text !== "(" && before !== "NATURAL";
}

function isClause(word, before, beforeThat, after) {
  if ((word === "GROUP" || word === "ORDER") && after !== "BY") return false;
  if (word === "FROM") return before !== "DELETE" && !(before === "DISTINCT" && ["IS", "NOT"].includes(beforeThat));
  if (word === "UPDATE") return !["FOR", "DO", "KEY", "THEN"].includes(before);
  if (word === "DELETE" || word === "INSERT") return before !== "THEN";
  if (word === "SET") return before !== "UPDATE";
  return true;
}

/** The tokens with white space: a new line where one is to begin, else one space where there was any. */
function written(list, parts, breaks) {
  const out = [];
  let level = 0;
  let space = "";
  let index = 0;
  for (const token of list) {
    if (token.kind === "space") {
      space = token.text;
      continue;
    }
    const before = parts[index - 1];
    const steps = breaks.get(index);
    if (steps !== undefined && (space || mayPart(before, token))) {
      level = steps;
      out.push({ kind: "space", text: `\n${UNIT.repeat(level)}` });
    } else if (space) {
      out.push({ kind: "space", text: mustKeepLine(before, token, space) ? `\n${UNIT.repeat(level + 1)}` : " " });
    }
    out.push(token);
    space = "";
    index += 1;
  }
  return out;
}

/** Whether a line may end between two tokens that touch. */
function mayPart(before, token) {
  return ["(", ")", ","].includes(before?.text) || token.text === ")";
}

function mustKeepLine(before, token, space) {
  if (!/[\r\n]/.test(space)) return false;
  return before.text.startsWith("--") || (before.kind === "string" && token.kind === "string");
}
