// Lines over time: a chart with axes, one line a node, and a small one for a cell of a table.

import uPlot from "uplot";
import { effect, html, signal, useEffect, useMemo, useRef, useState } from "./html.js";
import { minuteOfDay } from "./format.js";
import { alone, nearestIndex, tabulated, valueAt } from "./series.js";

const HEIGHT_PX = 170;
const HOUR_S = 3600;
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const STEP_S = 60; // an arrow key, a row of the table: readings come once a minute
const FAR_STEPS = 10; // page up, page down

/** The moment under the pointer, or that a key moved to, which all charts of a page show: unix seconds, or null. */
const pointed = signal(null);

/** Counts up when dark and light change: a canvas has to be drawn anew. */
const shade = signal(0);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  shade.value += 1;
});
new MutationObserver(() => {
  shade.value += 1;
}).observe(document.documentElement, { attributeFilter: ["data-theme"] });

/**
 * A chart of several lines over the same moments, or the same figures as a table.
 *
 * @param times unix seconds, ascending
 * @param lines {label, values, colour, swatch?, note?}…: a value each time, null for a gap, undefined where only other
 *   lines have one; `colour` is the name of a CSS variable, `note` stands behind the figure in the legend
 * @param format figure → text, for the axis and the legend; undefined: not known
 * @param from, to what the axis shows, unix seconds; by default what there is
 * @param empty said where there is no figure at all
 * @param isTable, onTable whether it is a table, and what is called to change that; by default the chart knows itself
 */
export function Chart({ title, times, lines, format, height = HEIGHT_PX, from, to, empty, isTable, onTable }) {
  const [isOwnTable, setOwnTable] = useState(false);
  const asTable = isTable ?? isOwnTable;
  return html`<figure class="chart">
    <${Caption} title=${title} times=${times} lines=${lines} format=${format} asTable=${asTable} onTable=${onTable ?? setOwnTable} />
    ${asTable
      ? html`<${Figures} title=${title} times=${times} lines=${lines} format=${format} height=${height} />`
      : html`<${Plot} title=${title} times=${times} lines=${lines} format=${format} height=${height} from=${from} to=${to} empty=${empty} />`}
  </figure>`;
}

/** The legend, with the figures of the moment that all charts show, else the newest. */
function Caption({ title, times, lines, format, asTable, onTable }) {
  const index = shownIndex(times, pointed.value);
  return html`<figcaption>
    <h3>${title}</h3>
    <span class="chart-moment">${pointed.value !== null && index >= 0 && clockText(times[index])}</span>
    <button type="button" class="quiet small" aria-pressed=${asTable} aria-label=${`${title} as a table`} onClick=${() => onTable(!asTable)}>table</button>
    <ul class="legend">${lines.map((line) => html`<li key=${line.label}><span class="swatch ${line.swatch ?? ""}" aria-hidden="true"></span>${line.label} <b>${figureText(line, index, format)}</b></li>`)}</ul>
  </figcaption>`;
}

function shownIndex(times, at) {
  return at === null ? times.length - 1 : nearestIndex(times, at);
}

function figureText(line, index, format) {
  return `${format(valueAt(line.values, index))}${line.note ? ` ${line.note}` : ""}`;
}

/** The canvas. With the keyboard it is a slider over its moments. */
function Plot({ title, times, lines, format, height, from, to, empty }) {
  const place = useRef();
  const plot = useRef();
  const shown = useRef();
  shown.current = { from, to };
  const [hasFocus, setFocus] = useState(false);
  const index = shownIndex(times, hasFocus ? pointed.value : null);
  const shape = `${lines.map((line) => line.label + line.colour).join()}|${shade.value}`;

  useEffect(() => {
    const made = new uPlot(options(lines, format, place.current.clientWidth, height, shown), aligned(times, lines), place.current);
    plot.current = made;
    const watcher = new ResizeObserver(([{ contentRect }]) => made.setSize({ width: Math.floor(contentRect.width), height }));
    watcher.observe(place.current);
    const unfollow = effect(() => moveCursor(made, pointed.value));
    return () => {
      unfollow();
      watcher.disconnect();
      made.destroy();
    };
  }, [shape, height]);
  useEffect(() => plot.current?.setData(aligned(times, lines)), [times, lines, from, to]);

  const onKeyDown = (event) => {
    const moved = movedTo(event.key, times, index);
    if (moved === undefined) return;
    event.preventDefault();
    pointed.value = moved;
  };
  const onBlur = () => {
    setFocus(false);
    pointed.value = null;
  };
  const said = lines.map((line) => `${line.label} ${figureText(line, index, format)}`).join(", ");
  return html`<div class="plot" ref=${place} style=${{ height: `${height}px` }} tabindex="0" role="slider" aria-orientation="horizontal"
    aria-label=${`${title}, by time`} aria-valuemin=${times[0] ?? 0} aria-valuemax=${times.at(-1) ?? 0} aria-valuenow=${times[index] ?? 0}
    aria-valuetext=${times.length ? `${clockText(times[index])}: ${said}` : "nothing known"}
    onKeyDown=${onKeyDown} onFocus=${() => setFocus(true)} onBlur=${onBlur}>${empty && isEmpty(lines) && html`<p class="plot-empty">${empty}</p>`}</div>`;
}

function isEmpty(lines) {
  return !lines.some((line) => line.values.some((value) => (value ?? null) !== null));
}

/** Where a key leads: a moment, null for none of them, undefined for a key that means nothing here. */
function movedTo(key, times, index) {
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -FAR_STEPS, PageUp: FAR_STEPS }[key];
  if (key === "Escape") return pointed.peek() === null ? undefined : null; // it may close what the chart is in
  if (!times.length) return undefined;
  if (key === "Home") return times[0];
  if (key === "End") return times.at(-1);
  if (steps === undefined) return undefined;
  const near = nearestIndex(times, times[index] + steps * STEP_S);
  const next = near === index ? index + Math.sign(steps) : near; // over a gap
  return times[Math.max(0, Math.min(times.length - 1, next))];
}

function moveCursor(plot, at) {
  const left = at === null ? -10 : plot.valToPos(at, "x");
  plot.setCursor({ left, top: at === null ? -10 : 10 }, false);
}

function Figures({ title, times, lines, format, height }) {
  const rows = useMemo(() => tabulated(times, lines.map((line) => line.values), STEP_S), [times, lines]);
  return html`<div class="figures" tabindex="0" role="region" aria-label=${`${title}, a row a minute`} style=${{ height: `${height}px` }}>
    <table class="plain"><thead><tr><th scope="col">Time</th>${lines.map((line) => html`<th key=${line.label} scope="col" class="number">${line.label}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.time}><th scope="row">${clockText(row.time)}</th>${row.figures.map(
      (figure, index) => html`<td key=${index} class="number">${format(figure)}</td>`,
    )}</tr>`)}</tbody></table>
  </div>`;
}

function aligned(times, lines) {
  return [times, ...lines.map((line) => line.values)];
}

function options(lines, format, width, height, shown) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => resolved(name);
  const axis = { stroke: colour("--quiet"), font: `11px ${style.getPropertyValue("--sans")}`, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const points = { show: true, size: 5, filter: (plot, series) => alone(plot.data[series]) };
  return {
    width: Math.max(width, 100),
    height,
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    legend: { show: false },
    padding: [8, 18, 0, 0],
    scales: {
      x: { time: true, range: (_, min, max) => [shown.current.from ?? min, shown.current.to ?? max] },
      y: { range: (_, min, max) => [Math.min(0, min ?? 0), top(max)] },
    },
    axes: [
      { ...axis, size: 24, space: 70, values: (_, splits) => splits.map(clock(splits)) },
      { ...axis, size: 62, space: 36, values: (_, splits) => splits.map((each) => format(each)) },
    ],
    series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 1.5, spanGaps: false, points }))],
    hooks: { setCursor: [point] },
  };
}

/** What is under the pointer of one chart is shown by all. */
function point(plot) {
  const { idx, left } = plot.cursor;
  pointed.value = left < 0 || idx === null || idx === undefined ? null : (plot.data[0][idx] ?? null);
}

/** A line at zero lies at the bottom, not in the middle. */
function top(max) {
  return max ? max * 1.08 : 1;
}

function clock(splits) {
  const isLong = splits.at(-1) - splits[0] > 48 * HOUR_S;
  return isLong ? (seconds) => DATE.format(seconds * 1000) : clockText;
}

function clockText(seconds) {
  return minuteOfDay(seconds * 1000);
}

/** A CSS variable's colour as the canvas takes it: light-dark() is resolved by an element that has it. */
function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const SPARK = { width: 96, height: 22 };

/** A small line, from zero to its largest value. `values`: oldest first, null for a gap. */
export function Spark({ values, label }) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return html`<span class="quiet">–</span>`;
  const largest = Math.max(...known) || 1;
  const x = (index) => (index / (values.length - 1)) * SPARK.width;
  const y = (value) => SPARK.height - 1 - (value / largest) * (SPARK.height - 2);
  let path = "";
  let isDrawing = false;
  values.forEach((value, index) => {
    if (value === null) {
      isDrawing = false;
      return;
    }
    path += `${isDrawing ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    isDrawing = true;
  });
  return html`<svg class="spark" viewBox="0 0 ${SPARK.width} ${SPARK.height}" width=${SPARK.width} height=${SPARK.height}
    role="img" aria-label=${label} preserveAspectRatio="none"><path d=${path} /></svg>`;
}
