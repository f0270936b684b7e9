// The cluster on one screen: what is wrong comes first, in words; then its nodes.

import { html } from "../lib/html.js";
import { usePolled } from "../lib/api.js";
import { Spark } from "../lib/chart.js";
import { bytes, count, duration, moment, plural } from "../lib/format.js";
import { LIVENESS, addressOf, ageOf, byNeed, figures, lagOf, serverVersion } from "../lib/nodes.js";
import { href } from "../lib/route.js";
import { sampled, seriesOf } from "../lib/series.js";
import { Badge, Banner, Code, Dot, Empty, Facts, Freshness, Heading, Meter, NodeName } from "../lib/ui.js";

const REFRESH_MS = 5000;
const CONNECTIONS = "sql.conns";
const HISTORY_MS = 60_000; // a point comes once a minute
const HOUR_S = 3600;
const TONES = { critical: "bad", warning: "warn", info: "note" };

export function OverviewPage({ params }) {
  const nodes = usePolled("nodes/", REFRESH_MS);
  const problems = usePolled("problems/", REFRESH_MS);
  const wanted = Number(params.node) || 0;
  return html`<${Heading} title="Overview"><${Freshness} value=${nodes} /><//>
    <${Problems} value=${problems} nodeId=${wanted} />
    <${Nodes} nodes=${nodes.data?.nodes ?? []} openId=${wanted} isKnown=${Boolean(nodes.data)} />
    <${Progress} running=${problems.data?.progress ?? []} />`;
}

function Problems({ value, nodeId }) {
  const { data } = value;
  if (!data) return html`<section class="verdict" aria-busy="true"><${Dot} tone="off" /><p>Asking what is wrong…</p></section>`;
  const shown = data.problems.filter((problem) => !nodeId || problem.node_id === nodeId);
  return html`<section aria-label="What is wrong">
    <${Verdict} problems=${shown} nodeId=${nodeId} />
    ${data.errors.length > 0 && html`<${Banner} tone="bad">${data.errors.map(
      (error) => html`<p key=${error.node_id}><strong>Node ${error.node_id} could not be asked.</strong> ${error.message}</p>`,
    )}<//>`}
    <ul class="problems">${shown.map((problem) => html`<${Problem} key=${keyOf(problem)} problem=${problem} />`)}</ul>
    ${Object.entries(data.omitted ?? {}).map(([kind, more]) => html`<p class="quiet">and ${plural(more, "more")} of ${kind}</p>`)}
    ${data.unchecked.length > 0 && html`<details class="quiet"><summary>${plural(data.unchecked.length, "thing")} could not be checked</summary>
      <ul>${data.unchecked.map((each) => html`<li key=${`${each.node_id}${each.check}${each.database}`}>node ${each.node_id}${each.database ? `, database ${each.database}` : ""}${each.check ? `, ${each.check}` : ""}: ${each.message}</li>`)}</ul>
    </details>`}
  </section>`;
}

function keyOf(problem) {
  return [problem.kind, problem.node_id, problem.database, problem.object].join("|");
}

function Verdict({ problems, nodeId }) {
  const worst = problems[0]?.severity;
  const tone = worst ? TONES[worst] : "good";
  const counts = Object.keys(TONES)
    .map((severity) => [severity, problems.filter((problem) => problem.severity === severity).length])
    .filter(([, number]) => number > 0);
  const where = nodeId ? ` with node ${nodeId}` : "";
  return html`<div class="verdict ${tone}" role="status"><${Dot} tone=${tone} />
    <p>${worst ? `${plural(problems.length, "problem")}${where}` : `Nothing is wrong${where}.`}</p>
    <span class="verdict-counts">${counts.map(([severity, number]) => html`<${Badge} key=${severity} tone=${TONES[severity]}>${number} ${severity}<//>`)}</span>
    ${nodeId > 0 && html`<a href=${href(["overview"])}>all nodes</a>`}
  </div>`;
}

function Problem({ problem }) {
  const where = [problem.node_id && `node ${problem.node_id}`, problem.database && `database ${problem.database}`].filter(Boolean).join(", ");
  const runOn = problem.run_on_node_id ? ` on node ${problem.run_on_node_id}` : "";
  const evidence = Object.entries(problem.evidence ?? {}).map(([name, value]) => [name.replaceAll("_", " "), evidenceText(name, value)]);
  return html`<li class="problem ${TONES[problem.severity]}"><details>
    <summary>
      <${Badge} tone=${TONES[problem.severity]}>${problem.severity}<//>
      <span class="problem-summary">${problem.summary}</span>
      <span class="quiet">${where}${problem.since ? ` · since ${moment(problem.since)}` : ""}</span>
    </summary>
    <p><strong>Next:</strong> ${problem.next_step}</p>
    ${problem.sql && html`<p class="quiet">In psql${runOn}${problem.database ? `, database ${problem.database}` : ""}:</p><${Code} text=${problem.sql} label="SQL to run" />`}
    ${problem.shell && html`<p class="quiet">In a shell${runOn}:</p><${Code} text=${problem.shell} label="command to run" />`}
    <${Facts} facts=${[["kind", problem.kind], ["object", problem.object], ...evidence, ["read from", problem.source]]} />
  </details></li>`;
}

function evidenceText(name, value) {
  if (typeof value !== "number") return String(value);
  if (name.endsWith("_bytes")) return bytes(value);
  if (name.endsWith("_s") || name.endsWith("_seconds")) return duration(value);
  return count(value);
}

function Nodes({ nodes, openId, isKnown }) {
  const history = usePolled(`history/?metrics=${CONNECTIONS}&since_s=${HOUR_S}`, HISTORY_MS);
  const hasNoHistory = !history.data && history.error?.status === 404; // an older node's
  return html`<section aria-label="Nodes"><h2>Nodes</h2>
    <table class="nodes"><thead><tr>
      <th scope="col">Node</th><th scope="col">State</th><th scope="col">Server</th><th scope="col">Up for</th>
      <th scope="col">Connections</th><th scope="col">Storage</th><th scope="col">Replication lag</th>
    </tr></thead>
    <tbody>${byNeed(nodes).map((node) => html`<${Node} key=${node.node_id} node=${node} isOpen=${node.node_id === openId}
      ageS=${ageOf(node, nodes)} lastHour=${hasNoHistory ? null : lastHour(history, node.node_id)} />`)}</tbody></table>
    ${isKnown && nodes.length === 0 && html`<${Empty}>This node knows of no node yet.<//>`}
  </section>`;
}

/** A node's connections of the last hour, a figure a minute; [] where its history isn't known. */
function lastHour({ data, at }, nodeId) {
  const node = data?.nodes.find((each) => each.node_id === nodeId);
  if (!node) return [];
  const to = at / 1000;
  return sampled(seriesOf(node, CONNECTIONS), { from: to - HOUR_S, to, stepSeconds: Math.max(60, node.step_seconds) });
}

function Node({ node, isOpen, ageS, lastHour: connections }) {
  const { word, tone } = LIVENESS[node.liveness_status];
  const of = figures(node);
  const isUp = of["pg.uptime.seconds"] !== undefined;
  const used = of["pg.connections"] / of["pg.connections.max"];
  const disk = 1 - of["capacity.available"] / of.capacity;
  return html`<tr class=${`${isOpen ? "open" : ""} ${ageS ? "old" : ""}`}>
    <th scope="row" data-label="Node"><${NodeName} id=${node.node_id} /><span class="quiet">${addressOf(node)}</span></th>
    <td data-label="State"><${Badge} tone=${tone}>${word}<//> ${node.role && html`<${Badge} tone=${node.role === "primary" ? "primary" : "off"}>${node.role}<//>`}
      ${ageS > 0 && html`<span class="quiet">figures from ${moment(node.updated_at / 1e6)}, ${duration(ageS)} ago</span>`}</td>
    <td data-label="Server"><span>PostgreSQL ${serverVersion(node)}</span><span class="quiet">${node.sql_address.address_field}</span></td>
    <td data-label="Up for">${isUp ? duration(of["pg.uptime.seconds"]) : "–"}</td>
    <td data-label="Connections"><div class="with-spark"><${Meter} ratio=${used} label="connections used">${isUp ? `${of["pg.connections"]} of ${of["pg.connections.max"]}` : "–"}<//>
      ${connections && html`<${LastHour} nodeId=${node.node_id} values=${connections} />`}</div></td>
    <td data-label="Storage"><${Meter} ratio=${disk} label="disk used">${isUp ? `${bytes(of["capacity.used"])}, ${bytes(of["capacity.available"])} free` : "–"}<//></td>
    <td data-label="Replication lag"><${Lag} node=${node} /></td>
  </tr>`;
}

/** A small line that leads to the charts. Its place is there before there are two points. */
function LastHour({ nodeId, values }) {
  const hasLine = values.filter((value) => value !== null).length > 1;
  const words = `connections of node ${nodeId} in the last hour`;
  return html`<span class="spark-place">${hasLine && html`<a href=${href(["charts"])} title=${words}><${Spark} values=${values} label=${words} /></a>`}</span>`;
}

function Lag({ node }) {
  const lag = lagOf(node);
  if (!lag) return html`<span class="quiet">–</span>`;
  return html`<span>${bytes(lag.bytes)}${lag.seconds ? `, ${duration(lag.seconds)}` : ""}</span>`;
}

function Progress({ running }) {
  if (!running.length) return null;
  return html`<section aria-label="What runs"><h2>What runs</h2><ul class="progress">${running.map((each) => {
    const ratio = each.total ? (each.done ?? 0) / each.total : undefined;
    return html`<li key=${`${each.node_id}-${each.pid}`}><strong>${each.command}</strong> ${each.object ?? ""}
      <span class="quiet">node ${each.node_id}${each.database ? `, database ${each.database}` : ""}, process ${each.pid}: ${each.phase}</span>
      ${ratio !== undefined && html`<progress value=${ratio} aria-label=${`${each.command} of ${each.object ?? "the server"}`}></progress>`}</li>`;
  })}</ul></section>`;
}
