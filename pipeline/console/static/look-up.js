// One key: its row, and its windows as a chart. Asked again every two seconds, so that it lives.

import { byId, html, put, table } from "./dom.js";
import { chart, isWindow } from "./chart.js";
import { count, field, words } from "./format.js";
import { ask, Problem } from "./server.js";

const AGAIN_MS = 2000;
const TYPING_MS = 200;

let stages = [];
let asked = null;
let metric = null;
let drawn = "";

export function prepareLookUp(topology) {
  stages = topology.stages;
  const tables = stages.flatMap((stage) => stage.tables.filter((each) => !each.local));
  byId("table").replaceChildren(...[...tables].sort((a, b) => a.many - b.many).map((each) => html("option", { value: each.name }, each.name)));
  byId("look-up").addEventListener("submit", (event) => {
    event.preventDefault();
    asked = { key: byId("key").value.trim(), table: byId("table").value };
    drawn = "";
    metric = null;
    refresh();
  });
  let typing;
  byId("key").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(suggest, TYPING_MS);
  });
  byId("key").addEventListener("focus", suggest);
  setInterval(() => !document.hidden && asked && refresh(), AGAIN_MS);
  new ResizeObserver(() => { drawn = ""; }).observe(byId("answer"));
}

async function suggest() {
  try {
    const keys = await ask(`/api/keys/${encodeURIComponent(byId("table").value)}`, { prefix: byId("key").value.trim() });
    byId("keys").replaceChildren(...keys.map((key) => html("option", { value: key })));
    if (keys.length) byId("key").placeholder = `such as ${keys[0]}`;
  } catch {
    // Who types goes on typing; what is amiss the look-up itself will say.
  }
}

async function refresh() {
  const question = asked;
  const stage = stages.find((each) => each.tables.some((one) => one.name === question.table));
  const spec = stage.tables.find((one) => one.name === question.table);
  let answer;
  try {
    const row = spec.many ? null : await ask(`/api/row/${encodeURIComponent(spec.name)}`, { key: question.key });
    const metrics = Object.keys(row?.value?.metrics ?? {}).sort();
    if (metrics.length && !metrics.includes(metric)) metric = metrics[0];
    answer = { row, metrics, ...(await related(stage, spec, question.key)) };
  } catch (problem) {
    answer = { problem };
  }
  if (question !== asked) return;
  if (answer.problem) refuse(question, answer.problem);
  else show(question, answer);
}

// Rows of other tables under the same key: windows first of all, closed ones and those that are still open.
async function related(stage, spec, key) {
  const windows = [];
  const others = [];
  for (const view of spec.many ? [] : spec.views) {
    const found = await ask(`/api/row/${encodeURIComponent(spec.name)}`, { key, view });
    if (Array.isArray(found.value) && found.value.every(isWindow)) windows.push(...found.value.map((each) => ({ ...each, open: true })));
  }
  let more = false;
  for (const many of spec.many ? [spec] : stage.tables.filter((each) => each.many)) {
    const chosen = many.select.includes("metric") ? { metric } : {};
    const found = await ask(`/api/rows/${encodeURIComponent(many.name)}`, { key, ...chosen });
    more ||= found.more;
    for (const item of found.items) (isWindow(item.value) ? windows : others).push(item.value);
  }
  return { windows, others, more };
}

function refuse(question, problem) {
  drawn = "";
  const waiting = problem.kind === "unavailable";
  put(byId("answer"), html("div", { class: waiting ? "refusal waiting" : "refusal", role: "status" },
    html("p", null, html("b", null, problem instanceof Problem ? `${sentence(problem.message)}.` : String(problem))),
    html("p", { class: "note" }, waiting ? "No answer, rather than an old one. It is asked again until there is one." : problem.hint ? `${sentence(problem.hint)}.` : question.key)));
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function show(question, { row, metrics, windows, others, more }) {
  const frame = `${question.table}/${question.key}/${metrics.join()}/${byId("answer").clientWidth}`;
  if (drawn !== frame) {
    delete byId("answer").dataset.held;
    byId("answer").replaceChildren(
      html("h3", null, question.key), html("p", { class: "note", id: "provenance" }), html("div", { id: "fields" }),
      html("div", { id: "records" }), html("div", { id: "windows" }));
    drawn = frame;
  }
  const known = [...new Set([...metrics, ...windows.map((each) => each.metric)])].filter(Boolean).sort();
  if (known.length && !known.includes(metric)) metric = known[0];
  if (row) {
    byId("provenance").textContent = provenance(row.meta);
    showRow(row.value);
  }
  showWindows(windows.filter((each) => !each.metric || each.metric === metric).sort((a, b) => a.window_start - b.window_start), known, more);
  if (others.length) put(byId("records"), anyTable("Rows", others.slice(0, 200).map((each, index) => [index, each])));
}

function provenance(meta) {
  const lag = meta.lag ? `${count(meta.lag.records)} behind, as of ${meta.lag.age_s.toFixed(1)} s ago` : "lag unknown";
  return `${meta.served_by} on ${meta.worker ?? meta.owner}, partition ${meta.partition} at ${count(meta.position)}; ${lag}`;
}

const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function showRow(value) {
  if (!isRecord(value)) {
    put(byId("fields"), html("pre", null, JSON.stringify(value, null, 2)));
    return;
  }
  const simple = Object.entries(value).filter(([, each]) => !isRecord(each) && !Array.isArray(each));
  put(byId("fields"), html("dl", null, simple.map(([name, each]) => html("div", null, html("dt", null, words(name)), html("dd", null, field(name, each))))));
  const nested = Object.entries(value).filter(([, each]) => isRecord(each) && Object.values(each).length && Object.values(each).every(isRecord));
  const left = Object.entries(value).filter(([name, each]) => (isRecord(each) || Array.isArray(each)) && !nested.some(([other]) => other === name));
  put(byId("records"), nested.map(([name, records]) => anyTable(words(name), Object.entries(records).sort(), name === "metrics")),
    left.map(([name, each]) => html("details", null, html("summary", null, words(name)), html("pre", null, JSON.stringify(each, null, 2)))));
}

function anyTable(title, entries, chosen = false) {
  const flat = entries.map(([name, record]) => ({ name, fields: flattened(record) }));
  const names = [...new Set(flat.flatMap((each) => Object.keys(each.fields)))];
  const first = { title, cell: (each) => each.name };
  return table(title, [first, ...names.map((name) => ({
    title: words(name),
    number: flat.some((each) => typeof each.fields[name] === "number"),
    cell: (each) => field(name, each.fields[name]),
  }))], flat, { attributes: (each) => (chosen ? { class: each.name === metric ? "chosen" : "other" } : {}) });
}

function flattened(record) {
  if (!isRecord(record)) return { value: record };
  return Object.fromEntries(Object.entries(record).flatMap(([name, each]) =>
    (isRecord(each) ? Object.entries(each).map(([inner, one]) => [`${name}.${inner}`, one]) : [[name, each]])));
}

function showWindows(windows, metrics, more) {
  const into = byId("windows");
  if (!metrics.length) {
    into.replaceChildren();
    return;
  }
  if (into.dataset.metrics !== metrics.join()) {
    into.dataset.metrics = metrics.join();
    const select = html("select", { change: (event) => {
      metric = event.target.value;
      delete byId("records").dataset.held;
      refresh();
    } }, metrics.map((name) => html("option", { value: name }, name)));
    into.replaceChildren(html("h3", null, "Windows"), html("label", null, "Metric ", select), html("div", { id: "chart" }),
      html("p", { class: "note", id: "windows-note" }));
  }
  into.querySelector("select").value = metric;
  const place = byId("chart");
  const text = JSON.stringify(windows);
  if (place.dataset.held === text) return;
  if (place.contains(document.activeElement) || place.matches(":hover")) return;
  place.dataset.held = text;
  if (!windows.length) {
    place.replaceChildren(html("p", { class: "note" }, `There is no window of ${metric} yet.`));
    byId("windows-note").textContent = "";
    return;
  }
  const unit = windows[0].unit ? `, in ${windows[0].unit}` : "";
  chart(place, windows, `Windows of ${metric}`);
  const closed = windows.filter((each) => !each.open).length;
  byId("windows-note").textContent = `${metric}${unit}: mean as a line, least to greatest as a band. ${count(closed)} closed windows, `
    + `${count(windows.length - closed)} open (paler)${more ? "; there are more than are shown" : ""}.`;
}
