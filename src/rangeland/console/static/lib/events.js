// Events in words: what an event says, how much it matters, which page of them follows which. Pure.

import { dayOf, duration, moment, plural } from "./format.js";

/** What each type is called where one is chosen, its tone, and its sentence. `at`: when it happened, ms since 1970. */
const TYPES = {
  node_join: {
    words: "node joined",
    tone: "good",
    say: (info) => `Node ${info.NodeID} joined the cluster${at(info.Address)}.`,
  },
  node_restart: {
    words: "node restarted",
    tone: "note",
    say: (info, when) => `Node ${info.NodeID} started again${at(info.Address)}${info.LastUp ? `; it was up ${before(info.LastUp, when)} before` : ""}.`,
  },
  node_left: {
    words: "node left",
    tone: "bad",
    say: (info) => `${absence(info)} at ${moment(milliseconds(info.Since))}${info.Cause ? `: ${info.Cause}` : "."}`,
  },
  node_return: {
    words: "node returned",
    tone: "good",
    say: (info, when) =>
      `Node ${info.NodeID} is back${info.Since ? `: ${info.Reason === "server down" ? "its server was down" : "it was silent"} for ${before(info.Since, when)}` : ""}.`,
  },
  node_promoted: {
    words: "node promoted",
    tone: "warn",
    say: (info) =>
      `Node ${info.NodeID} has the primary now, on timeline ${info.Timeline}${info.OldNodeID ? `; before, it was node ${info.OldNodeID}'s, on timeline ${info.OldTimeline}` : ""}.`,
  },
  node_decommissioning: {
    words: "node is to leave",
    tone: "warn",
    say: (info) => `Node ${info.TargetNodeID} was told to leave for good.`,
  },
  node_decommissioned: {
    words: "node left for good",
    tone: "note",
    say: (info) => `Node ${info.TargetNodeID} left for good.`,
  },
  node_recommissioned: {
    words: "node is to stay",
    tone: "good",
    say: (info) => `Node ${info.TargetNodeID}, which was told to leave, is a full member again.`,
  },
  user_login: {
    words: "login",
    tone: "off",
    say: (info) => `${info.User} logged in${from(info.RemoteAddress)}${METHODS[info.Method] ?? by(info.Method)}.`,
  },
  user_login_failed: {
    words: "failed logins",
    tone: "warn",
    say: (info) =>
      `${attempts(info)} within a minute${info.Users?.length ? `, as ${info.Users.join(", ")}` : ""}${from(info.RemoteAddresses?.join(", "))}.`,
  },
  user_logout: {
    words: "logout",
    tone: "off",
    say: (info) =>
      info.Method === "cluster key"
        ? `${plural(info.Count ?? 1, "web session")} of ${info.User} ended by a command on a node's host.`
        : `${info.User} logged out${from(info.RemoteAddress)}${info.Count > 1 ? `, of ${info.Count} web sessions` : ""}.`,
  },
  session_cancelled: {
    words: "statement cancelled",
    tone: "warn",
    say: (info) => `${info.User} cancelled the statement of ${session(info)}${from(info.RemoteAddress)}.`,
  },
  session_terminated: {
    words: "session terminated",
    tone: "warn",
    say: (info) => `${info.User} terminated ${session(info)}${from(info.RemoteAddress)}.`,
  },
  events_dropped: {
    words: "events forgotten",
    tone: "bad",
    say: (info) => `${plural(info.Count, "event")} could not be written down in time and ${info.Count === 1 ? "was" : "were"} forgotten.`,
  },
};

const METHODS = {
  password: " with a password",
  link: " by a link that works once",
  "cluster key": " by a command on a node's host",
};
const NS_FIELDS = new Set(["Timestamp", "StartedAt", "LastUp", "Since"]);
const NODE_FIELDS = ["NodeID", "OldNodeID", "TargetNodeID", "RequestingNodeID"];

/** Types to choose from, with "" for all first. @returns {[string, string][]} */
export const TYPE_CHOICES = [["", "all"], ...Object.entries(TYPES).map(([type, { words }]) => [type, words])];

/**
 * An event as the page shows it.
 *
 * @param event {timestamp, event_type, reporting_id, info, unique_id} as /events/ has it
 * @returns {{id, type, words, tone, at: number, sentence, reporter, nodeIds: number[], fields: [string, string][], text}}
 *   `text` is what a search looks at; `id` can stand in a link.
 */
export function eventView(event) {
  const info = parsedInfo(event.info);
  const type = event.event_type ?? "";
  const known = TYPES[type];
  const when = Date.parse(event.timestamp);
  const fields = Object.entries(info).map(([name, value]) => [name, fieldText(name, value)]);
  const sentence = known ? known.say(info, when) : unknownSentence(type, fields);
  return {
    id: urlSafe(event.unique_id ?? `${event.timestamp}${type}`),
    type,
    words: known?.words ?? type.replaceAll("_", " "),
    tone: known?.tone ?? "off",
    at: when,
    sentence,
    reporter: event.reporting_id,
    nodeIds: [...new Set(NODE_FIELDS.map((name) => info[name]).filter(Boolean))],
    fields,
    text: `${sentence} ${type} ${fields.map(([, value]) => value).join(" ")}`.toLowerCase(),
  };
}

/** Those that a text, a type and a node leave. An event is of the nodes that it speaks of and of the one that tells it. */
export function matching(events, { q = "", type = "", node = "" }) {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const nodeId = Number(node);
  return events.filter(
    (event) =>
      (!type || event.type === type) &&
      (!nodeId || event.reporter === nodeId || event.nodeIds.includes(nodeId)) &&
      words.every((word) => event.text.includes(word)),
  );
}

/** Events in days: [{day, events}…], in the order of `events`; `day` is that of the browser's time zone, YYYY-MM-DD. */
export function byDay(events) {
  const days = [];
  for (const event of events) {
    const day = dayOf(event.at);
    if (days.at(-1)?.day !== day) days.push({ day, events: [] });
    days.at(-1).events.push(event);
  }
  return days;
}

/** "Today, Sunday 29 November 2026". */
export function dayWords(day, nowMs) {
  const words = new Date(`${day}T12:00`).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
  const near = { [dayOf(nowMs)]: "Today, ", [dayOf(nowMs - 86_400_000)]: "Yesterday, " };
  return `${near[day] ?? ""}${words.replace(",", "")}`;
}

export const NO_LOG = { events: [], hasOlder: false };

/**
 * A log that a page of /events/ was added to: {events, hasOlder}, newest first; the same one if it had them all.
 *
 * After a long pause there may be unread events between a page of new ones and the log: then the page stands alone.
 */
export function withPage(log, { events: page, next = 0 }) {
  const ids = new Set(log.events.map((event) => event.unique_id));
  const fresh = page.filter((event) => !ids.has(event.unique_id));
  const hasOlderThan = (events) => (page.length && isOldest(page, events) ? next > 0 : log.hasOlder);
  if (!fresh.length) return hasOlderThan(log.events) === log.hasOlder ? log : { ...log, hasOlder: !log.hasOlder };
  const isTorn = next > 0 && fresh.length === page.length && log.events.length > 0 && isNewer(page[0], log.events[0]);
  if (isTorn) return { events: page, hasOlder: true };
  const events = [...log.events, ...fresh].sort((a, b) => (isNewer(a, b) ? -1 : isNewer(b, a) ? 1 : 0));
  return { events, hasOlder: hasOlderThan(events) };
}

function isOldest(page, events) {
  return page.at(-1).unique_id === events.at(-1).unique_id;
}

/** By RFC 3339 in UTC with as many digits as each needs: "…:01Z" is before "…:01.5Z", though not as text. */
function isNewer(a, b) {
  return a.timestamp.replace("Z", "") > b.timestamp.replace("Z", "");
}

function parsedInfo(text) {
  try {
    return JSON.parse(text || "{}") ?? {};
  } catch {
    return { info: text }; // a newer node's, in another form: shown as it is
  }
}

function unknownSentence(type, fields) {
  const told = fields.filter(([name]) => name !== "Timestamp" && name !== "EventType").map(([name, value]) => `${name} ${value}`);
  return `${type.replaceAll("_", " ") || "something happened"}${told.length ? `: ${told.join(", ")}` : ""}`;
}

function fieldText(name, value) {
  if (NS_FIELDS.has(name) && typeof value === "number") return new Date(milliseconds(value)).toISOString();
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function absence(info) {
  return info.Reason === "server down" ? `The server of node ${info.NodeID} went down` : `Node ${info.NodeID} went silent`;
}

function attempts({ Count = 0, TurnedAway = 0 }) {
  const refused = Count ? `${plural(Count, "login")} failed` : "";
  const turnedAway = TurnedAway ? `${plural(TurnedAway, "login")} turned away untried` : "";
  return [refused, turnedAway].filter(Boolean).join(", ");
}

function session(info) {
  const where = [info.DatabaseName && `database ${info.DatabaseName}`, info.ApplicationName && `application ${info.ApplicationName}`].filter(Boolean);
  return `${info.SessionUser ? `${info.SessionUser}'s session` : "a session"} (process ${info.PID} on node ${info.NodeID}${where.map((each) => `, ${each}`).join("")})`;
}

function at(address) {
  return address ? ` at ${address}` : "";
}

function from(address) {
  return address ? ` from ${address}` : "";
}

function by(method) {
  return method ? ` by ${method}` : "";
}

function before(ns, laterMs) {
  return duration((laterMs - milliseconds(ns)) / 1000);
}

function milliseconds(ns) {
  return Math.round(ns / 1e6);
}

function urlSafe(base64) {
  return base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
