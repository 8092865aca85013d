// The page: learns the topology once, then draws each sample.

import { byId, html, put } from "./dom.js";
import { prepareExperiments, showExperiment } from "./experiment.js";
import { clock } from "./format.js";
import { drawGraph, topologyTable } from "./graph.js";
import { watchLetters } from "./letters.js";
import { prepareLookUp } from "./look-up.js";
import { showPartitions } from "./partitions.js";
import { ask, samples } from "./server.js";

const STALE_MS = 6000;

let topology = null;
let sample = null;
let heardAt = 0;

function connection(state, text) {
  const shown = byId("connection");
  shown.dataset.state = state;
  if (shown.textContent !== text) shown.textContent = text;
}

function draw() {
  if (!topology || !sample) return;
  drawGraph(byId("graph"), topology, sample);
  if (byId("topology-table").open) topologyTable(byId("topology-table").lastElementChild, topology, sample);
}

function heard(news) {
  sample = news;
  heardAt = Date.now();
  if (news.at) connection("live", `live, ${clock(news.at)}`);
  const trouble = byId("trouble");
  put(trouble, (news.trouble ?? []).map((text) => html("p", null, text)));
  trouble.hidden = !news.trouble?.length;
  if (!news.partitions) return;
  draw();
  showPartitions(news);
  watchLetters(news.dead_letters);
  if (news.controls) {
    if (byId("controls").hidden) prepareExperiments(topology.token, news.controls.workers);
    showExperiment(news.controls);
  }
}

async function start() {
  try {
    topology = await ask("/api/topology");
  } catch {
    connection("lost", "no connection, trying again");
    setTimeout(start, 2000);
    return;
  }
  byId("pipeline").textContent = topology.pipeline ? `${topology.name}, ${topology.pipeline}` : topology.name;
  prepareLookUp(topology);
  samples(heard, () => connection("lost", "no connection, trying again"));
  new ResizeObserver(draw).observe(byId("graph"));
  byId("topology-table").addEventListener("toggle", draw);
  setInterval(() => {
    if (heardAt && Date.now() - heardAt > STALE_MS && byId("connection").dataset.state === "live") {
      connection("lost", `no news since ${clock(heardAt)}`);
    }
  }, 1000);
}

start();
