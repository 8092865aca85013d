// Windows over time: for each, its mean as a line and what lies between its least and greatest value as a band.

import { html, svg } from "./dom.js";
import { clock, count, field, time } from "./format.js";

const HEIGHT = 220;
const STEPS_MIN = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];
const MARGIN = { top: 10, right: 22, bottom: 26, left: 62 };

export const isWindow = (row) => row !== null && typeof row === "object" && ["window_start", "window_end", "mean", "min", "max"].every((name) => typeof row[name] === "number");

// windows: in order of their times; `open` marks those that still take readings.
export function chart(into, windows, label) {
  const width = Math.max(into.clientWidth, 260);
  const from = windows[0].window_start;
  const to = Math.max(...windows.map((each) => each.window_end));
  const least = Math.min(...windows.map((each) => each.min));
  const most = Math.max(...windows.map((each) => each.max));
  const ticks = nice(least, most, 4);
  const x = (ms) => MARGIN.left + ((ms - from) / Math.max(to - from, 1)) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => HEIGHT - MARGIN.bottom - ((value - ticks[0]) / (ticks.at(-1) - ticks[0])) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const readout = html("p", { class: "readout", role: "status" }, told(windows.at(-1)));
  const marker = svg("rect", { class: "marker", y: HEIGHT - MARGIN.bottom, height: 3 });
  let chosen = windows.length - 1;
  const choose = (index) => {
    chosen = Math.min(Math.max(index, 0), windows.length - 1);
    const each = windows[chosen];
    marker.setAttribute("x", x(each.window_start));
    marker.setAttribute("width", Math.max(x(each.window_end) - x(each.window_start), 1));
    readout.textContent = told(each);
  };
  const drawing = svg("svg", { class: "chart", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    ticks.map((value) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
      svg("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, field("", value)),
    ]),
    instants(from, to, width).map((ms) => svg("text", { x: x(ms), y: HEIGHT - 7, "text-anchor": "middle" }, to - from > 86_400_000 ? time(ms).slice(5, 16) : clock(ms).slice(0, 5))),
    marker,
    windows.map((each) => svg("rect", {
      class: each.open ? "band open" : "band", x: x(each.window_start), width: Math.max(x(each.window_end) - x(each.window_start), 0.8),
      y: y(each.max), height: Math.max(y(each.min) - y(each.max), 1),
    })),
    svg("path", { class: "mean", d: means(windows, x, y) }));
  const nearest = (event) => {
    const ms = from + ((event.clientX - drawing.getBoundingClientRect().left - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * (to - from);
    const after = windows.findIndex((each) => each.window_end > ms);
    choose(after < 0 ? windows.length - 1 : after);
  };
  const keys = { ArrowLeft: () => chosen - 1, ArrowRight: () => chosen + 1, Home: () => 0, End: () => windows.length - 1 };
  const frame = html("div", {
    class: "chart-frame", tabindex: 0, role: "group", "aria-label": `${label}. Left and right arrow choose a window.`,
    pointermove: nearest, pointerdown: nearest,
    keydown: (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      choose(keys[event.key]());
    },
  }, drawing);
  choose(chosen);
  into.replaceChildren(frame, readout);
}

const told = (each) => `${time(each.window_start)} to ${clock(each.window_end)}: mean ${field("", each.mean)}, ${field("", each.min)} to ${field("", each.max)} ${each.unit ?? ""}, ${count(each.count)} readings${each.open ? ", still open" : ""}`;

function means(windows, x, y) {
  let path = "";
  let end = null;
  for (const each of windows) {
    path += `${each.window_start === end ? "L" : "M"}${x(each.window_start).toFixed(1)} ${y(each.mean).toFixed(1)}H${x(each.window_end).toFixed(1)}`;
    end = each.window_end;
  }
  return path;
}

function nice(least, most, wanted) {
  const span = most - least || Math.abs(most) || 1;
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const first = Math.floor(least / step);
  const last = Math.max(Math.ceil(most / step), first + 1);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

function instants(from, to, width) {
  const step = STEPS_MIN.map((each) => each * 60_000).find((each) => (to - from) / each <= width / 110) ?? 7 * 86_400_000;
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, index) => (first + index) * step);
}
