// Partitions: who owns them, how far they are, and how their restores go.

import { announce, byId, html, put, table } from "./dom.js";
import { count, NOTHING, rate, seconds } from "./format.js";

export function showPartitions(sample) {
  const rows = sample.partitions ?? [];
  const several = new Set(rows.map((row) => row.stage)).size > 1;
  const standbys = rows.some((row) => row.standbys.length);
  const restoring = (row) => row.state === "restoring";
  const columns = [
    several && { title: "Stage", cell: (row) => row.stage },
    { title: "Partition", cell: (row) => row.partition },
    { title: "Owner", cell: (row) => row.owner ?? "nobody" },
    { title: "State", wide: restoring, cell: state },
    { title: "Position", number: true, cell: (row) => (restoring(row) ? NOTHING : count(row.position)) },
    { title: "End", number: true, cell: (row) => (restoring(row) ? NOTHING : count(row.end)) },
    { title: "Lag", number: true, cell: (row) => count(row.lag) },
    { title: "Rate", number: true, cell: (row) => (restoring(row) ? NOTHING : rate(row.rate)) },
    standbys && { title: "Standbys", wide: true, cell: (row) => row.standbys.map(standby).join(", ") || NOTHING },
  ].filter(Boolean);
  put(byId("partitions"), rows.length ? table("Partitions", columns, rows, {
    key: (row) => `${row.stage}/${row.partition}`,
    attributes: (row) => ({ "data-state": row.state }),
  }) : null);
  const summary = summed(rows);
  byId("summary").textContent = rows.length ? `${summary}. ${sizes(rows)}` : "No partition is known.";
  if (rows.length) announce(`${summary}.`);
}

function state(row) {
  const label = html("span", { class: "state" }, html("i", { class: "dot", "data-state": row.state }), row.state);
  if (row.state !== "restoring") return label;
  const known = row.end > 0 && row.position !== null;
  const share = known ? Math.min(row.position / row.end, 1) : 0;
  const text = known ? `${count(row.position)} of ${count(row.end)} offsets, ${rate(row.rate)}, ${left(row)}` : "looking how much there is";
  return [label, html("progress", { max: 1, value: known ? share : null, "aria-label": `Restore of partition ${row.partition}` }), html("span", { class: "note" }, text)];
}

const left = (row) => (row.eta_s === null ? "time left unknown" : `${seconds(row.eta_s)} left`);

const standby = (each) => `${each.worker} ${each.restoring ? "restoring" : each.end === null ? "" : `−${count(Math.max(each.end - each.position, 0))}`}`.trim();

function summed(rows) {
  const counts = new Map();
  for (const row of rows) counts.set(row.state, (counts.get(row.state) ?? 0) + 1);
  if (counts.get("active") === rows.length) return `All ${rows.length} partitions are active`;
  return [...counts].map(([name, number]) => `${number} ${name}`).join(", ");
}

function sizes(rows) {
  const known = rows.filter((row) => row.lag !== null && row.lag !== undefined);
  return `Lag ${count(known.reduce((sum, row) => sum + row.lag, 0))}${known.length < rows.length ? ", of those known" : ""}.`;
}
