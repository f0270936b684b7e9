// Figures and moments as people read them. Each takes undefined for what is not known, and shows an en dash.

export const UNKNOWN = "–";
// made once: making one takes longer than a thousand uses
const WHOLE = new Intl.NumberFormat("en-GB");
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const DAY = new Intl.DateTimeFormat("en-CA");
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function bytes(count) {
  if (count === undefined || count === null) return UNKNOWN;
  let size = Math.abs(count);
  let unit = 0;
  while (size >= 999.5 && unit < UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || size >= 99.5 ? 0 : size >= 9.95 ? 1 : 2;
  return `${count < 0 ? "−" : ""}${size.toFixed(digits)} ${UNITS[unit]}`;
}

/** 1234567 → "1.23 M", for figures whose size matters more than their last digit. */
export function count(number) {
  if (number === undefined || number === null) return UNKNOWN;
  const size = Math.abs(number);
  for (const [limit, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= limit) return `${(number / (unit === "k" ? 1e3 : limit)).toPrecision(3)} ${unit}`;
  }
  if (size >= 100 || Number.isInteger(number)) return WHOLE.format(Math.round(number));
  return size >= 1 ? number.toFixed(1) : String(Number(number.toFixed(2)));
}

export function rate(perSecond) {
  return perSecond === undefined || perSecond === null ? UNKNOWN : `${count(perSecond)}/s`;
}

export function percent(ratio) {
  return ratio === undefined || ratio === null || Number.isNaN(ratio) ? UNKNOWN : `${Math.round(ratio * 100)} %`;
}

/** The two largest units: 3 d 4 h, 5 min 10 s, 2.5 s, 12 ms. */
export function duration(seconds) {
  if (seconds === undefined || seconds === null || Number.isNaN(seconds)) return UNKNOWN;
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const SECONDS_OF = { ms: 0.001, s: 1, sec: 1, min: 60, m: 60, h: 3600, d: 86400 };

/** "5 min" → 300, "1 h 30 min" → 5400, "20" → 20; undefined where it is no duration. */
export function parseDuration(text) {
  const parts = [...text.matchAll(/\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*/gy)];
  const isWhole = parts.length > 0 && parts.reduce((sum, [all]) => sum + all.length, 0) === text.length;
  const seconds = parts.reduce((sum, [, number, unit]) => sum + Number(number) * (SECONDS_OF[unit || "s"] ?? NaN), 0);
  return isWhole && !Number.isNaN(seconds) ? seconds : undefined;
}

/** A moment of today as its time, an older one with its date. `moment`: RFC 3339, or ms since 1970. */
export function moment(when) {
  const date = new Date(when);
  if (Number.isNaN(date.getTime()) || date.getFullYear() < 1971) return UNKNOWN;
  const time = TIME.format(date);
  return date.toDateString() === new Date().toDateString()
    ? time
    : `${dayOf(date)} ${time}`;
}

/** 16:05:09. `date`: a Date, or ms since 1970. */
export function timeOfDay(date) {
  return TIME.format(date);
}

/** 16:05 */
export function minuteOfDay(date) {
  return MINUTE.format(date);
}

/** 2026-11-29, in the browser's time zone as all moments are. */
export function dayOf(date) {
  return DAY.format(date);
}

export function nanoseconds(ns) {
  return ns === undefined ? UNKNOWN : duration(ns / 1e9);
}

/** "1 node", "3 nodes". */
export function plural(number, word, words = `${word}s`) {
  return `${WHOLE.format(number)} ${number === 1 ? word : words}`;
}
