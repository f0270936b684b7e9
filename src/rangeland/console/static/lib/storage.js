// What a table takes on disk, and which of its indexes anybody uses: the same on the pages of ranges and of tables.

import { html } from "./html.js";
import { bytes, count, percent } from "./format.js";
import { PlainTable } from "./plain.js";
import { partsOf } from "./ranges.js";
import { Badge, Empty, NodeName } from "./ui.js";

/** Table, indexes and TOAST as one bar, with their figures below. `sizes`: undefined while nobody could look. */
export function Parts({ sizes }) {
  if (!sizes) return html`<${Empty}>Nobody could look how large it is: something holds a lock on it.<//>`;
  return html`<div class="parts">
    <${PartsBar} sizes=${sizes} />
    <dl class="parts-figures">
      ${partsOf(sizes).map((part) => html`<div key=${part.key}><dt><span class="swatch part-${part.key}" aria-hidden="true"></span>${part.label}</dt>
        <dd>${bytes(part.bytes)} <span class="quiet">${sizes.total_bytes ? percent(part.bytes / sizes.total_bytes) : ""}</span></dd></div>`)}
      <div><dt>all</dt><dd>${bytes(sizes.total_bytes)}</dd></div>
    </dl>
  </div>`;
}

/** The bar alone, for the cell of a table. */
export function PartsBar({ sizes }) {
  const parts = partsOf(sizes);
  const words = parts.map((part) => `${part.label} ${bytes(part.bytes)}`).join(", ");
  return html`<span class="parts-bar" role="img" aria-label=${words} title=${words}>${parts.map(
    (part) => part.bytes > 0 && html`<span key=${part.key} class="part part-${part.key}" style=${{ flexGrow: part.bytes }}></span>`,
  )}</span>`;
}

/**
 * Indexes with their scans, a column for each node.
 *
 * @param indexes as `indexUse` has them; `isUnique`, `keys` and `stored`, where they are known, are shown, too
 * @param nodeIds of the nodes whose scans are shown
 */
export function Indexes({ indexes, nodeIds }) {
  if (!indexes.length) return html`<${Empty}>It has no index.<//>`;
  const hasKeys = indexes.some((index) => index.keys);
  const columns = [
    { key: "name", label: "Index", cell: (index) => html`<span class="mono">${index.name}</span> ${index.isUnique && html`<${Badge}>unique<//>`}` },
    hasKeys && { key: "keys", label: "Columns", cell: (index) => html`<span class="mono">${columnsText(index)}</span>` },
    { key: "size", label: "Size", isNumber: true, cell: (index) => bytes(index.size) },
    ...nodeIds.map((id) => ({ key: `node-${id}`, label: html`Scans, <${NodeName} id=${id} isLink=${false} />`, isNumber: true, cell: (index) => count(index.scansByNodeId?.get(id)) })),
    { key: "use", label: html`<span class="unseen">Use</span>`, cell: (index) => html`<${Use} index=${index} />` },
  ];
  return html`<${PlainTable} label="Indexes" columns=${columns.filter(Boolean)} rows=${indexes} rowKey=${(index) => index.name} />
    <p class="quiet note">Scans are counted since each server's statistics began; reads on standbys are among them.</p>`;
}

function columnsText({ keys = [], stored = [] }) {
  return `${keys.join(", ")}${stored.length ? ` INCLUDE ${stored.join(", ")}` : ""}`;
}

function Use({ index }) {
  if (!index.isUnused) return null;
  if (!index.isSure) return html`<span class="quiet">not used where it is known</span>`;
  const title = index.isUnique ? "It keeps rows unique, whether it is read or not." : "";
  return html`<${Badge} tone="warn" title=${title}>used on no node<//>`;
}
