// Dead letters: the newest, by reason; each with the message as it came.

import { announce, byId, html, put, table } from "./dom.js";
import { bytes, count, NOTHING, time } from "./format.js";
import { ask } from "./server.js";

const LEAST_PAUSE_MS = 3000;

let reason = null;
let seen = null;
let readAt = 0;
let reading = false;

// With each sample: read again when there are more than were read, and not too often.
export function watchLetters(held) {
  if (held === null || held === undefined || reading || document.hidden) return;
  if (held === seen || Date.now() - readAt < LEAST_PAUSE_MS) return;
  seen = held;
  refresh();
}

async function refresh() {
  reading = true;
  try {
    show(await ask("/api/dead-letters", { reason }));
  } catch (problem) {
    byId("letters-summary").textContent = `${problem.message}. ${problem.hint}`;
    seen = null;
  } finally {
    reading = false;
    readAt = Date.now();
  }
}

function show(found) {
  const of = found.partial ? `, of the newest ${count(found.newest)} offsets of each partition` : "";
  byId("letters-summary").textContent = found.read ? `${count(found.read)} refused messages${of}.` : "Nothing was refused.";
  const most = Math.max(...Object.values(found.reasons), 1);
  const chosen = document.activeElement?.closest("#reasons button")?.dataset.reason;
  put(byId("reasons"), Object.entries(found.reasons).map(([name, number]) =>
    html("button", { type: "button", "data-reason": name, "aria-pressed": String(name === reason) },
      html("span", null, name), html("meter", { min: 0, max: most, value: number, "aria-hidden": "true" }), html("b", null, count(number)))));
  for (const button of byId("reasons").querySelectorAll("button")) {
    button.onclick = () => choose(button.dataset.reason);
    if (button.dataset.reason === chosen) button.focus();
  }
  const focused = document.activeElement?.closest("#letters button")?.dataset.id;
  put(byId("letters"), found.letters.length ? table("Dead letters", [
    { title: "Refused", cell: (row) => time(row.time) },
    { title: "Reason", cell: (row) => row.reason },
    { title: "Key", cell: (row) => html("code", null, row.key === null ? NOTHING : row.key) },
    { title: "Why", wide: true, cell: (row) => row.detail },
    { title: "Size", number: true, cell: (row) => bytes(row.bytes) },
    { title: "Message", cell: (row) => html("button", { type: "button", "data-id": row.id, "aria-label": `Show message ${row.id}` }, "Show") },
  ], found.letters) : null);
  for (const button of byId("letters").querySelectorAll("button")) {
    button.onclick = () => open(button.dataset.id);
    if (button.dataset.id === focused) button.focus();
  }
}

function choose(name) {
  reason = reason === name ? null : name;
  announce(reason ? `Dead letters of reason ${reason}` : "Dead letters of every reason");
  refresh();
}

async function open(id) {
  const panel = byId("letter");
  let body;
  try {
    const letter = await ask("/api/dead-letter", { id });
    const facts = {
      refused: `${time(letter.time)} by stage ${letter.stage}`,
      reason: `${letter.reason}: ${letter.detail}`,
      origin: letter.origin,
      "topic id": letter.origin_topic_id,
      key: letter.key === null ? "no key" : `${letter.key} (${letter.key_hex})`,
      size: letter.shown < (letter.bytes ?? 0) ? `${bytes(letter.bytes)}, of which ${bytes(letter.shown)} are shown` : bytes(letter.bytes),
    };
    body = [
      html("dl", { class: "facts" }, Object.entries(facts).map(([name, value]) => html("div", null, html("dt", null, name), html("dd", null, value)))),
      html("pre", { tabindex: 0, "aria-label": letter.text === null ? "Message as a hex dump" : "Message" }, letter.bytes === null ? "(no value)" : letter.text ?? letter.hex),
    ];
  } catch (problem) {
    body = [html("p", null, problem.message)];
  }
  const close = html("button", { type: "button", click: () => {
    panel.hidden = true;
    byId("letters").querySelector(`button[data-id="${CSS.escape(id)}"]`)?.focus();
  } }, "Close");
  panel.replaceChildren(html("h3", { tabindex: -1 }, `Dead letter ${id}`), close, ...body);
  panel.hidden = false;
  panel.querySelector("h3").focus();
  panel.scrollIntoView({ block: "nearest" });
}
