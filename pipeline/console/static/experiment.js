// The demonstration's buttons, and what came of the last one that was pressed.

import { announce, byId, html, put, table } from "./dom.js";
import { count } from "./format.js";
import { order } from "./server.js";

const ACTIONS = { kill: "Kill", wipe: "Wipe" };
const LONG = { kill: (worker) => `Kill ${worker}`, wipe: (worker) => `Kill ${worker} and wipe its disk` };
const SHOWN_DIGITS = 16;

let running = true;
let told = "";

export function prepareExperiments(token, workers) {
  byId("controls").hidden = false;
  byId("buttons").replaceChildren(...workers.map((worker) => html("div", { class: "worker" }, html("span", null, worker),
    Object.keys(ACTIONS).map((action) => html("button", {
      type: "button", class: action, "aria-label": LONG[action](worker), "aria-disabled": "true",
      click: () => press(action, worker, token),
    }, action === "wipe" ? "Wipe its disk" : "Kill")))));
}

async function press(action, worker, token) {
  if (running) return;
  running = true;
  try {
    await order(action, worker, token);
    announce(`${LONG[action](worker)}: begun`);
  } catch (problem) {
    announce(problem.message);
    put(byId("experiment"), html("p", { class: "bad" }, problem.message));
  }
}

export function showExperiment(controls) {
  running = controls.running || !controls.ready;
  for (const button of byId("buttons").querySelectorAll("button")) button.setAttribute("aria-disabled", String(running));
  const found = controls.experiment;
  if (!found) {
    put(byId("experiment"), html("p", { class: "note" }, controls.ready ? "Choose a worker." : "The pipeline is only starting."));
    return;
  }
  const done = (index) => index < found.steps.length - 1 || found.ended !== null;
  put(byId("experiment"), html("ol", null, found.steps.map((step, index) =>
    html("li", { class: done(index) ? "done" : "now", "aria-current": done(index) ? null : "step" },
      html("span", { class: "elapsed" }, `${((step.at - found.began) / 1000).toFixed(1)} s`),
      html("span", null, step.text, step.details.map((each) => html("span", { class: "detail" }, each)))))));
  byId("digests").hidden = !found.proof;
  put(byId("proof"), proof(found));
  const last = found.steps.at(-1);
  const news = found.ended && found.proof ? verdict(found.proof) : last?.text ?? "";
  if (news && news !== told) announce(news);
  told = news;
}

function verdict(proof) {
  const equal = proof.rows.filter((row) => row.equal).length;
  return equal === proof.rows.length ? `All ${equal} digests are equal` : `${proof.rows.length - equal} of ${proof.rows.length} digests differ`;
}

function proof(found) {
  if (!found.proof) return null;
  const { expected, found: title, rows } = found.proof;
  const digest = (text) => html("code", { title: text }, text.slice(0, SHOWN_DIGITS));
  const good = rows.every((row) => row.equal);
  return html("div", { class: "proof", "data-equal": String(good) },
    html("p", { class: good ? "good" : "bad" }, `${verdict(found.proof)}.`),
    table("Digests", [
      { title: "Partition", cell: (row) => row.partition },
      { title: "Position", number: true, cell: (row) => count(row.position) },
      { title: expected, wide: true, cell: (row) => digest(row.expected) },
      { title, wide: true, cell: (row) => digest(row.found) },
      { title: "Equal", cell: (row) => (row.equal ? "yes" : "no") },
    ], rows, { attributes: (row) => ({ class: row.equal ? "same" : "other-digest" }) }));
}
