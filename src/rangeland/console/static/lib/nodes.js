// What a node is, in words: the same on every page.

export const LIVENESS = {
  0: { word: "unknown", tone: "off" },
  1: { word: "dead", tone: "bad" },
  2: { word: "unavailable", tone: "bad" },
  3: { word: "live", tone: "good" },
  4: { word: "decommissioning", tone: "warn" },
  5: { word: "decommissioned", tone: "off" },
  6: { word: "draining", tone: "warn" },
};

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
