// A table of few rows, all of which are in the document.

import { html } from "./html.js";

/**
 * It scrolls sideways where it is wider than the screen. The first column names the row.
 *
 * @param columns {key, label, isNumber?, cell?}…: `cell(row)` is what is shown, by default `row[key]`
 */
export function PlainTable({ label, columns, rows, rowKey }) {
  return html`<div class="scrolls" role="group" aria-label=${label} tabindex="0"><table class="plain">
    <thead><tr>${columns.map((column) => html`<th key=${column.key} scope="col" class=${column.isNumber ? "number" : ""}>${column.label}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${rowKey(row)}>${columns.map((column, index) => {
      const content = column.cell ? column.cell(row) : row[column.key];
      const look = column.isNumber ? "number" : "";
      return index === 0 ? html`<th key=${column.key} scope="row" class=${look}>${content}</th>` : html`<td key=${column.key} class=${look}>${content}</td>`;
    })}</tr>`)}</tbody>
  </table></div>`;
}
