// Lines over time: a chart with axes, one line a node, and a small one for a cell of a table.

import uPlot from "uplot";
import { html, signal, useEffect, useRef } from "./html.js";

const HEIGHT_PX = 170;
const HOUR_S = 3600;

/** Which chart's moment is under the pointer, so that all charts of a page show it. */
const sync = uPlot.sync("time");

/** Counts up when dark and light change: a canvas has to be drawn anew. */
const shade = signal(0);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  shade.value += 1;
});
new MutationObserver(() => {
  shade.value += 1;
}).observe(document.documentElement, { attributeFilter: ["data-theme"] });

/**
 * A chart of several lines over the same moments.
 *
 * @param times unix seconds, ascending
 * @param lines {label, values, colour}…: a value each time, null for a gap; `colour` is the name of a CSS variable
 * @param format figure → text, for the axis and the legend
 */
export function Chart({ title, times, lines, format, height = HEIGHT_PX }) {
  const place = useRef();
  const plot = useRef();
  const shape = `${lines.map((line) => line.label + line.colour).join()}|${shade.value}`;

  useEffect(() => {
    const made = new uPlot(options(title, lines, format, place.current.clientWidth, height), aligned(times, lines), place.current);
    plot.current = made;
    const watcher = new ResizeObserver(([{ contentRect }]) => made.setSize({ width: Math.floor(contentRect.width), height }));
    watcher.observe(place.current);
    return () => {
      watcher.disconnect();
      made.destroy();
    };
  }, [shape, height]);
  useEffect(() => plot.current?.setData(aligned(times, lines)), [times, lines]);

  const said = lines.map((line) => `${line.label} ${format(latest(line.values))}`).join(", ");
  return html`<figure class="chart">
    <figcaption><h3>${title}</h3><ul class="legend">${lines.map(
      (line) => html`<li key=${line.label}><span class="swatch ${line.swatch ?? ""}" aria-hidden="true"></span>${line.label} <b>${format(latest(line.values))}</b></li>`,
    )}</ul></figcaption>
    <div class="plot" ref=${place} role="img" aria-label=${`${title}, now: ${said || "nothing known"}`} style=${{ height: `${height}px` }}></div>
  </figure>`;
}

/** The last figure that is known. */
export function latest(values) {
  for (let index = values.length - 1; index >= 0; index -= 1) if (values[index] !== null) return values[index];
  return undefined;
}

function aligned(times, lines) {
  return [times, ...lines.map((line) => line.values)];
}

function options(title, lines, format, width, height) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => resolved(name);
  const axis = { stroke: colour("--quiet"), font: `11px ${style.getPropertyValue("--sans")}`, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: Math.max(width, 100),
    height,
    cursor: { sync: { key: sync.key }, y: false, points: { size: 6 } },
    legend: { show: false },
    padding: [8, 8, 0, 0],
    scales: { x: { time: true }, y: { range: (_, min, max) => [Math.min(0, min ?? 0), top(max)] } },
    axes: [
      { ...axis, space: 70, values: (_, splits) => splits.map(clock(splits)) },
      { ...axis, size: 62, space: 36, values: (_, splits) => splits.map((each) => format(each)) },
    ],
    series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 1.5, spanGaps: false, points: { show: false } }))],
  };
}

/** A line at zero lies at the bottom, not in the middle. */
function top(max) {
  return max ? max * 1.08 : 1;
}

function clock(splits) {
  const isLong = splits.at(-1) - splits[0] > 48 * HOUR_S;
  return (seconds) =>
    new Date(seconds * 1000).toLocaleString("en-GB", isLong ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" });
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
