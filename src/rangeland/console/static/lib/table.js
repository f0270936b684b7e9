// A table that stays smooth with ten thousand rows: only those in sight are in the document.
//
// Rows have one height, so that nothing moves when figures change. Keys: up, down, page up, page down, home and end move
// the current row, Enter opens it.

import { html, signal, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { setParams } from "./route.js";

const ROW_PX = 34;
const BEYOND = 12; // rows drawn above and below, so that fast scrolling shows no gap
const STRIDE_PX = 4 * ROW_PX; // scrolling by less draws nothing: the rows beyond are there

const screenWidth = signal(innerWidth);
addEventListener("resize", () => {
  screenWidth.value = innerWidth;
});

/** Sort a copy of `rows` by the column that the URL's `sort` names; "-" before it: the largest first. */
export function sorted(rows, columns, sort) {
  const column = columns.find((each) => each.key === sort.replace(/^-/, ""));
  if (!column) return rows;
  const direction = sort.startsWith("-") ? -1 : 1;
  const valueOf = column.value ?? ((row) => row[column.key]);
  return rows
    .map((row) => ({ row, value: valueOf(row) }))
    .sort((a, b) => compared(a.value, b.value, direction))
    .map(({ row }) => row);
}

const order = new Intl.Collator("en", { numeric: true }); // made once: it takes longer than a thousand comparisons

/** What isn't known is last in either direction. */
function compared(a, b, direction) {
  if (a === b) return 0;
  if (isUnknown(a)) return isUnknown(b) ? 0 : 1;
  if (isUnknown(b)) return -1;
  return direction * (typeof a === "number" && typeof b === "number" ? a - b : order.compare(a, b));
}

function isUnknown(value) {
  return value === undefined || value === null || value === "";
}

/**
 * @param columns {key, label, width?, isNumber?, hideBelow?, cell?, value?, title?}…: `width` is a CSS grid track
 *   ("minmax(0, 2fr)"), `hideBelow` the screen width in px under which the column is left out, `cell(row)` what is
 *   shown, `value(row)` what is sorted by (a column without label can't be sorted).
 * @param rows in the order in which they are shown
 * @param rowKey row → a key that stays
 * @param sort the URL's parameter `sort`; `onSort` is given another value of it (by default the URL gets it; null: the
 *   rows have an order of their own)
 * @param onOpen called with a row that was clicked or entered; without it rows can't be opened
 * @param openKey the key of the row whose detail is open
 * @param toneOf row → a tone for the row, or ""
 * @param onSight called with the rows that are drawn, in sight or nearly, when these change
 */
export function Table({ label, columns, rows, rowKey, sort = "", onSort = sortByUrl, onOpen, openKey, toneOf, onSight, empty }) {
  const scroller = useRef();
  const [view, setView] = useState({ top: 0, height: 600 });
  const [currentKey, setCurrentKey] = useState(null);
  const shownColumns = columns.filter((column) => !column.hideBelow || screenWidth.value >= column.hideBelow);
  const tracks = shownColumns.map((column) => column.width ?? "minmax(0, 1fr)").join(" ");

  useLayoutEffect(() => {
    const watcher = new ResizeObserver(([{ contentRect }]) => setView((old) => ({ ...old, height: contentRect.height })));
    watcher.observe(scroller.current);
    return () => watcher.disconnect();
  }, []);

  const first = Math.max(0, Math.floor(view.top / ROW_PX) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((view.top + STRIDE_PX + view.height) / ROW_PX) + BEYOND);
  useEffect(() => onSight?.(rows.slice(first, last)), [rows, first, last]);
  const currentIndex = currentKey === null ? -1 : rows.findIndex((row) => rowKey(row) === currentKey);

  const moveTo = (index) => {
    const target = Math.max(0, Math.min(rows.length - 1, index));
    setCurrentKey(rowKey(rows[target]));
    const element = scroller.current;
    const top = target * ROW_PX;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + 2 * ROW_PX > element.scrollTop + element.clientHeight) element.scrollTop = top + 2 * ROW_PX - element.clientHeight;
  };
  const onKeyDown = (event) => {
    if (!rows.length || event.target !== scroller.current) return;
    const page = Math.max(1, Math.floor(view.height / ROW_PX) - 2);
    const to = { ArrowDown: currentIndex + 1, ArrowUp: currentIndex - 1, PageDown: currentIndex + page, PageUp: currentIndex - page, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      moveTo(to);
    } else if (event.key === "Enter" && currentIndex >= 0) {
      onOpen?.(rows[currentIndex]);
    }
  };

  // What was drawn is kept while nothing but the place changes: Preact doesn't look into a row that it knows.
  const drawn = useMemo(() => new Map(), [rows, columns, tracks, openKey, currentKey, onOpen, toneOf]);
  const drawRow = (row, index) => {
    const key = rowKey(row);
    return html`<div key=${key} role="row" aria-rowindex=${index + 2}
      class="row ${toneOf?.(row) ?? ""} ${onOpen ? "opens" : ""} ${key === openKey ? "open" : ""} ${key === currentKey ? "current" : ""}"
      style=${{ gridTemplateColumns: tracks }}
      onClick=${onOpen && ((event) => !event.target.closest("a, button") && onOpen(row))}>
      ${shownColumns.map((column) => html`<div key=${column.key} role="cell" class=${column.isNumber ? "number" : ""} title=${column.title?.(row)}>
        ${column.cell ? column.cell(row) : row[column.key]}
      </div>`)}
    </div>`;
  };

  return html`<div class="table" role="table" aria-label=${label} aria-rowcount=${rows.length + 1}
    ref=${scroller} tabindex="0" onKeyDown=${onKeyDown} onScroll=${(event) => {
      const top = Math.floor(event.currentTarget.scrollTop / STRIDE_PX) * STRIDE_PX;
      setView((old) => (old.top === top ? old : { ...old, top }));
    }}>
    <div class="row head" role="row" aria-rowindex="1" style=${{ gridTemplateColumns: tracks }}>
      ${shownColumns.map((column) => html`<${Head} key=${column.key} column=${column} sort=${sort} onSort=${onSort} />`)}
    </div>
    ${rows.length === 0 && html`<div role="row"><div role="cell" class="empty">${empty ?? "Nothing to show."}</div></div>`}
    <div class="rows" role="rowgroup" style=${{ height: `${rows.length * ROW_PX}px` }}>
      <div class="window" role="presentation" style=${{ transform: `translateY(${first * ROW_PX}px)` }}>
        ${rows.slice(first, last).map((row, offset) => {
          const index = first + offset;
          if (!drawn.has(index)) drawn.set(index, drawRow(row, index));
          return drawn.get(index);
        })}
      </div>
    </div>
  </div>`;
}

function Head({ column, sort, onSort }) {
  if (!column.label) return html`<div role="columnheader"><span class="unseen">${column.spoken ?? column.key}</span></div>`;
  if (!onSort) return html`<div role="columnheader" class=${column.isNumber ? "number" : ""}>${column.label}</div>`;
  const isSorted = sort.replace(/^-/, "") === column.key;
  const direction = sort.startsWith("-") ? "descending" : "ascending";
  const other = isSorted ? (sort.startsWith("-") ? column.key : `-${column.key}`) : `${column.isNumber ? "-" : ""}${column.key}`;
  return html`<div role="columnheader" class=${column.isNumber ? "number" : ""} aria-sort=${isSorted ? direction : null}>
    <button type="button" class="sort" onClick=${() => onSort(other)}>${column.label}<span aria-hidden="true">${
      isSorted ? (direction === "descending" ? " ↓" : " ↑") : ""
    }</span></button>
  </div>`;
}

function sortByUrl(sort) {
  setParams({ sort });
}
