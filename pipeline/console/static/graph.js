// The topology as a graph: from left to right where there is room, else from top to bottom.

import { html, put, svg, table } from "./dom.js";
import { count, rate } from "./format.js";

const LINE = 19;
const TOPIC = { width: 136, height: 50 };
const STAGE = { width: 264 };
const LEAST_GAP = 34;
const LANE = 46;
const MOST_WORKERS = 5;

export function drawGraph(into, drawn, sample) {
  const nodes = nodesOf(drawn, sample);
  const width = Math.max(into.clientWidth, 280);
  const layers = layersOf(drawn, nodes);
  const columns = layers.map((layer) => Math.max(...layer.map((node) => node.width)));
  const gap = layers.length > 1 ? (width - 2 - sum(columns)) / (layers.length - 1) : 0;
  const placed = gap >= LEAST_GAP ? across(layers, columns, Math.min(gap, 110), width, nodes, drawn) : down(layers, width, nodes, drawn);
  const title = svg("title", null, `Topology ${drawn.name}: ${drawn.stages.map((stage) =>
    `${stage.name} reads ${stage.source} and writes ${[...stage.outputs, drawn.dead_letters].join(", ")}`).join("; ")}`);
  into.replaceChildren(svg("svg", { role: "img", width, height: placed.height, viewBox: `0 0 ${width} ${placed.height}` },
    title, arrowHead(), placed.edges, [...nodes.values()].map(drawNode)));
}

export function topologyTable(into, drawn, sample) {
  const rows = drawn.topics.map((topic) => ({ topic, ...sample.topics?.[topic] }));
  const stages = drawn.stages.map((stage) => ({ ...stage, ...sample.stages?.[stage.name] }));
  const changelogs = drawn.stages.flatMap((stage) => stage.tables.map((each) => ({ topic: each.changelog, ...sample.topics?.[each.changelog] })));
  put(into,
    table("Stages", [
      { title: "Stage", cell: (row) => row.name },
      { title: "Reads", cell: (row) => row.source },
      { title: "Rate", number: true, cell: (row) => rate(row.rate) },
      { title: "Lag", number: true, cell: (row) => count(row.lag) },
      { title: "Workers", wide: true, cell: (row) => (row.workers ?? []).map((worker) => worker.id).join(", ") || "none" },
    ], stages),
    table("Topics", [
      { title: "Topic", cell: (row) => row.topic },
      { title: "Rate", number: true, cell: (row) => rate(row.rate) },
      { title: "Offsets", number: true, cell: (row) => count(row.end) },
    ], [...rows, ...changelogs]));
}

function nodesOf(drawn, sample) {
  const nodes = new Map();
  for (const topic of drawn.topics) {
    nodes.set(`topic ${topic}`, { kind: "topic", name: topic, ...TOPIC, rate: sample.topics?.[topic]?.rate, dead: topic === drawn.dead_letters });
  }
  for (const stage of drawn.stages) {
    const found = sample.stages?.[stage.name] ?? {};
    const workers = found.workers ?? [];
    const shown = workers.length > MOST_WORKERS ? workers.slice(0, MOST_WORKERS - 1) : workers;
    const lines = shown.map((worker) => ({ text: worker.id, ...activity(stage, worker, sample) }));
    if (shown.length < workers.length) lines.push({ text: `and ${workers.length - shown.length} more` });
    if (!workers.length) lines.push({ text: "no worker", state: "unassigned" });
    const tables = stage.tables.map((each) => ({ text: each.name, right: rate(sample.topics?.[each.changelog]?.rate) }));
    const height = 54 + LINE * lines.length + (tables.length ? 12 + LINE * tables.length : 0) + 10;
    nodes.set(`stage ${stage.name}`, { kind: "stage", stage, name: stage.name, ...STAGE, height, rate: found.rate, lag: found.lag, lines, tables });
  }
  return nodes;
}

// What a worker does, by its partitions: the worst of their states says it.
function activity(stage, worker, sample) {
  const rows = (sample.partitions ?? []).filter((row) => row.stage === stage.name && row.owner === worker.id);
  const worst = ["unreachable", "stale", "restoring", "active"].find((state) => rows.some((row) => row.state === state));
  const numbers = worker.partitions;
  return { state: worst ?? "member", right: worst && worst !== "active" ? worst : spans(numbers) };
}

// 0, 1, 2, 5 as 0–2, 5.
function spans(numbers) {
  const found = [];
  for (const each of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && each === last[1] + 1) last[1] = each;
    else found.push([each, each]);
  }
  const text = found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
  return text.length > 16 ? `${numbers.length} partitions` : text && `partition${numbers.length > 1 ? "s" : ""} ${text}`;
}

function edgesOf(drawn) {
  return drawn.stages.flatMap((stage) => [
    [`topic ${stage.source}`, `stage ${stage.name}`],
    ...stage.outputs.map((topic) => [`stage ${stage.name}`, `topic ${topic}`]),
  ]);
}

// Longest way from a source; the dead letters stand apart.
function layersOf(drawn, nodes) {
  const edges = edgesOf(drawn);
  const depth = new Map([...nodes.keys()].map((name) => [name, 0]));
  for (let round = 0; round < nodes.size; round += 1) {
    for (const [from, to] of edges) depth.set(to, Math.min(Math.max(depth.get(to), depth.get(from) + 1), nodes.size));
  }
  const layers = [];
  for (const [name, node] of nodes) {
    if (node.dead && !edges.some(([from]) => from === name)) continue;
    (layers[depth.get(name)] ??= []).push(node);
  }
  return layers.filter(Boolean);
}

function across(layers, columns, gap, width, nodes, drawn) {
  const room = Math.max(...layers.map((layer) => sum(layer.map((node) => node.height)) + 20 * (layer.length - 1)));
  let x = 1;
  layers.forEach((layer, index) => {
    let y = 1 + (room - sum(layer.map((node) => node.height)) - 20 * (layer.length - 1)) / 2;
    for (const node of layer) {
      Object.assign(node, { x, y });
      y += node.height + 20;
    }
    x += columns[index] + gap;
  });
  const right = x - gap;
  const edges = edgesOf(drawn).map(([from, to]) => flow(nodes.get(from), nodes.get(to), (a, b) => {
    const [x1, y1, x2, y2] = [a.x + a.width, a.y + a.height / 2, b.x - 3, b.y + b.height / 2];
    return x2 > x1 ? `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}` : back(a, b, room);
  }));
  const dead = nodes.get(`topic ${drawn.dead_letters}`);
  // Beyond the last stage's middle, from where its way down begins.
  const last = Math.max(...drawn.stages.map((stage) => nodes.get(`stage ${stage.name}`)).map((node) => node.x + node.width / 2));
  Object.assign(dead, { x: Math.max(right - dead.width, last + LEAST_GAP), y: room + LANE - dead.height / 2 });
  for (const stage of drawn.stages) {
    edges.push(flow(nodes.get(`stage ${stage.name}`), dead, (a, b) => {
      const [x1, y1, y2] = [a.x + a.width / 2, a.y + a.height, b.y + b.height / 2];
      return `M${x1} ${y1}V${y2 - 10}Q${x1} ${y2} ${x1 + 10} ${y2}H${b.x - 3}`;
    }));
  }
  return { edges, height: dead.y + dead.height + 2 };
}

const back = (a, b, room) => `M${a.x + a.width / 2} ${a.y}C${a.x + a.width / 2} ${-room / 4} ${b.x + b.width / 2} ${-room / 4} ${b.x + b.width / 2} ${b.y - 3}`;

function down(layers, width, nodes, drawn) {
  const dead = nodes.get(`topic ${drawn.dead_letters}`);
  const order = [...layers.flat().filter((node) => node !== dead), dead];
  let y = 1;
  for (const node of order) {
    Object.assign(node, { x: 1, y, width: Math.min(width - 26, 420) });
    y += node.height + 24;
  }
  const gutter = order[0].width + 14;
  const pairs = [...edgesOf(drawn).map(([from, to]) => [nodes.get(from), nodes.get(to)]),
    ...drawn.stages.map((stage) => [nodes.get(`stage ${stage.name}`), dead])];
  const edges = pairs.map(([from, to]) => flow(from, to, (a, b) => {
    if (order.indexOf(b) === order.indexOf(a) + 1) return `M${a.x + 28} ${a.y + a.height}V${b.y - 3}`;
    const [y1, y2] = [a.y + a.height - 16, b.y + b.height / 2];
    return `M${a.x + a.width} ${y1}H${gutter - 8}Q${gutter} ${y1} ${gutter} ${y1 + 8}V${y2 - 8}Q${gutter} ${y2} ${gutter - 8} ${y2}H${b.x + b.width + 3}`;
  }));
  return { edges, height: y - 22 };
}

function flow(from, to, path) {
  const topic = from.kind === "topic" ? from : to;
  return svg("path", { class: topic.rate > 0 ? "edge busy" : "edge", d: path(from, to), "marker-end": "url(#arrow)" });
}

const arrowHead = () => svg("defs", null, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
  svg("path", { class: "arrow", d: "M0 1L7 4L0 7" })));

function drawNode(node) {
  const { x, y, width, height } = node;
  const at = (dx, dy, text, attributes) => svg("text", { x: x + dx, y: y + dy, ...attributes }, text);
  const right = { "text-anchor": "end" };
  const parts = [svg("rect", { x, y, width, height, rx: node.kind === "topic" ? 8 : 6 })];
  if (node.kind === "topic") {
    parts.push(at(12, 21, clipped(node.name, (width - 20) / 7.2), { class: "name" }), at(12, 39, rate(node.rate), { class: "figure" }));
    return svg("g", { class: "topic" }, parts, svg("title", null, node.name));
  }
  parts.push(at(14, 24, node.name, { class: "name" }), at(14, 43, rate(node.rate), { class: "figure" }),
    at(width - 14, 43, `lag ${count(node.lag)}`, { class: "figure", ...right }), at(width - 14, 24, node.stage.kind, { class: "quiet", ...right }));
  let line = 54;
  const rule = () => svg("line", { x1: x + 14, x2: x + width - 14, y1: y + line, y2: y + line });
  parts.push(rule());
  node.lines.forEach((each, index) => {
    const base = line + 18 + LINE * index;
    if (each.state) parts.push(svg("circle", { class: "dot", "data-state": each.state, cx: x + 18, cy: y + base - 4.5, r: 3.5 }));
    parts.push(at(28, base, clipped(each.text, 18)), at(width - 14, base, each.right ?? "", { class: "quiet", ...right }));
  });
  line += LINE * node.lines.length + 10;
  if (node.tables.length) parts.push(rule());
  node.tables.forEach((each, index) => {
    const base = line + 18 + LINE * index;
    parts.push(cylinder(x + 14, y + base - 11), at(30, base, clipped(each.text, 20)), at(width - 14, base, each.right, { class: "quiet", ...right }));
  });
  return svg("g", { class: "stage" }, parts);
}

const cylinder = (x, y) => svg("path", { class: "cylinder", d: `M${x} ${y + 2}a4.5 2 0 0 1 9 0v8a4.5 2 0 0 1 -9 0zm0 0a4.5 2 0 0 0 9 0` });
const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
