// Each node's figures over the last hours, one line a node.

import { html, useMemo } from "../lib/html.js";
import { usePolled } from "../lib/api.js";
import { Chart } from "../lib/chart.js";
import { GROUPS, METRICS, SPANS, drawing, hiddenIds, spanOf } from "../lib/charts.js";
import { href, setParams } from "../lib/route.js";
import { Banner, Freshness, Heading, MissingNodes, NodeName, Tabs } from "../lib/ui.js";

const REFRESH_MS = 20_000; // points come once a minute, each node's at a moment of its own
const BEFORE_S = 120; // a rate needs the reading before

export function ChartsPage({ params }) {
  const span = spanOf(params.span);
  const history = usePolled(`history/?${new URLSearchParams({ metrics: METRICS, since_s: span.seconds + BEFORE_S })}`, REFRESH_MS);
  const nodes = history.data?.nodes ?? NO_NODES;
  const hidden = hiddenIds(params.hide);
  const shown = useMemo(() => nodes.filter((node) => !hidden.has(node.node_id)), [nodes, params.hide]);
  const to = (history.at || Date.now()) / 1000;
  const tabs = SPANS.map(({ name, words }) => [href(["charts"], { ...params, span: name }), words, name === span.name]);
  return html`<${Heading} title="Charts"><${Freshness} value=${history} /><//>
    <div class="filters">
      <${Tabs} label="Span" tabs=${tabs} />
      <${NodeToggles} nodes=${nodes} hidden=${hidden} />
    </div>
    <${Absent} history=${history} nodes=${nodes} />
    ${GROUPS.map(({ title, charts }) => html`<section key=${title} aria-label=${title}><h2>${title}</h2>
      <div class="charts">${charts.map((chart) => html`<${NodeChart} key=${chart.name} chart=${chart} nodes=${shown}
        from=${to - span.seconds} to=${to} isKnown=${Boolean(history.data)} isTable=${params.table === chart.name} />`)}</div>
    </section>`)}`;
}

const NO_NODES = []; // the same one each time, so that nothing is drawn anew

function NodeChart({ chart, nodes, from, to, isKnown, isTable }) {
  const { times, lines } = useMemo(() => drawing(chart, nodes), [chart, nodes]);
  return html`<${Chart} title=${chart.title} times=${times} lines=${lines} format=${chart.format} from=${from} to=${to}
    empty=${isKnown ? "no figures in this span" : ""} isTable=${isTable}
    onTable=${(isWanted) => setParams({ table: isWanted ? chart.name : "" })} />`;
}

/** The legend of all charts: a button a node, which hides and shows its lines. */
function NodeToggles({ nodes, hidden }) {
  const toggle = (id) => {
    const others = [...hidden].filter((each) => each !== id);
    setParams({ hide: (hidden.has(id) ? others : [...others, id]).sort((a, b) => a - b).join() });
  };
  return html`<div class="toggles" role="group" aria-label="Nodes">${nodes.map(({ node_id: id }) => html`<button
    key=${id} type="button" class="toggle" aria-pressed=${!hidden.has(id)} onClick=${() => toggle(id)}><${NodeName} id=${id} isLink=${false} /></button>`)}</div>`;
}

/** In words, what the charts don't have. */
function Absent({ history, nodes }) {
  if (!history.data && history.error?.status === 404) return html`<${Banner} tone="note"><p>This node is of a version that keeps no history.</p><//>`;
  const said = nodes.filter((node) => !node.times.length).map((node) => [node.node_id, node.kept_seconds === 0
    ? `Node ${node.node_id} keeps no history: its setting history says so.`
    : `Node ${node.node_id} has no reading in this span. Points come once a minute, from when its process started.`]);
  return html`<${MissingNodes} errors=${history.data?.errors} what="The figures" />
    ${said.length > 0 && html`<${Banner} tone="note">${said.map(([id, words]) => html`<p key=${id}>${words}</p>`)}<//>`}`;
}
