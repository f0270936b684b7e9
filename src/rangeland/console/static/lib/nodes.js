// What a node is, in words: the same on every page.

export const LIVE = 3;
export const LIVENESS = {
  0: { word: "unknown", tone: "off" },
  1: { word: "dead", tone: "bad" },
  2: { word: "unavailable", tone: "bad" },
  [LIVE]: { word: "live", tone: "good" },
  4: { word: "decommissioning", tone: "warn" },
  5: { word: "decommissioned", tone: "off" },
  6: { word: "draining", tone: "warn" },
};

const RANKS = { bad: 0, warn: 1, off: 2, good: 3 };
const DECOMMISSIONED = 5;
const OLD_S = 15; // figures of a node that answers are from just now

/** What needs somebody comes first: nodes that are not live, then the others, those that left last; each by id. */
export function byNeed(nodes) {
  const rank = ({ liveness_status: liveness }) => (liveness === DECOMMISSIONED ? RANKS.good + 1 : RANKS[LIVENESS[liveness].tone]);
  return [...nodes].sort((a, b) => rank(a) - rank(b) || a.node_id - b.node_id);
}

/** How much older a node's figures are than the newest of all nodes, in seconds; 0 where they are as good as new or not dated. */
export function ageOf(node, nodes) {
  const newest = Math.max(...nodes.map((each) => each.updated_at ?? 0));
  const age = node.updated_at ? (newest - node.updated_at) / 1e9 : 0;
  return age > OLD_S ? age : 0;
}

/** The figures of a node's server and machine under their dotted names, store's and node's together. */
export function figures(node) {
  return { ...node.metrics, ...(node.store_metrics?.[node.node_id] ?? {}) };
}

export function addressOf(node) {
  return node.address.address_field;
}

export function serverVersion(node) {
  const { major, minor } = node.ServerVersion;
  return major ? `${major}.${minor}` : "–";
}

const COLOURS = 8;

/** The class of a node's swatch, in the same colour. */
export function swatchOf(nodeId) {
  return `n${((nodeId - 1) % COLOURS) + 1}`;
}

/** The CSS variable of a node's colour, the same in every chart. */
export function colourOf(nodeId) {
  return `--node-${((nodeId - 1) % COLOURS) + 1}`;
}

/** How far a standby's copy is behind, as far as it said when it was last asked; undefined of a primary. */
export function lagOf(node) {
  const of = figures(node);
  const lag = of["pg.replication.lag.bytes"];
  const isStandby = of["pg.replication.receiving"] !== undefined; // a silent node has no role, but its last figures
  return isStandby && lag !== undefined ? { bytes: lag, seconds: of["pg.replication.delay.seconds"] ?? 0 } : undefined;
}
