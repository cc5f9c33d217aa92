"use strict";
const report = JSON.parse(document.getElementById("figures").textContent);
const byId = (id) => document.getElementById(id);
const usd = (amount, digits = 2) =>
  "$" + amount.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const number = (value) => value.toLocaleString("en-US");
const percent = (part, whole, digits = 1) => (whole > 0 ? (100 * part) / whole : 0).toFixed(digits) + " %";
const EPSILON = 5e-7;

/** An element with text or children; text is never parsed as HTML. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function tile(title, value, note, colour) {
  const style = colour ? { style: `--colour: var(--${colour})` } : {};
  return make("div", { class: "tile", ...style }, make("small", {}, title), make("b", {}, value), make("small", {}, note));
}

function table(element, head, rows) {
  const line = (cell, cells) => make("tr", {}, ...cells.map((text) => make(cell, {}, String(text))));
  element.replaceChildren(make("thead", {}, line("th", head)), make("tbody", {}, ...rows.map((row) => line("td", row))));
}

/** Room that a chart has, in pixels: drawn one to one, so that letters keep their size on every screen. */
const widthOf = (id) => Math.max(280, byId(id).clientWidth);

const KINDS = [
  ["as_is", "scheduler as it is", "as-is"],
  ["whole", "best whole-pod plan", "whole"],
  ["split", "best split plan", "split"],
  ["bound", "proven lower bound", "bound"],
];

function subject() {
  const { input, catalogue } = report;
  const dated = catalogue.as_of ? `, ${catalogue.region}, prices of ${catalogue.as_of}` : "";
  byId("subject").textContent =
    `${number(input.clients)} clients, ${number(input.pods)} pods, ${number(input.containers)} containers ` +
    `(${input.format}); catalogue ${catalogue.name}, ${catalogue.sizes.length} sizes${dated}.`;
}

function numbers() {
  const { totals, savings, clients } = report;
  byId("numbers").replaceChildren(
    ...KINDS.map(([key, name, colour]) => {
      const over = key === "bound" ? "nothing can cost less" : percent(totals[key] - totals.bound, totals.bound, 2) + " over the bound";
      return tile(name, usd(totals[key]), "an hour; " + over, colour);
    }),
  );
  byId("meaning").textContent =
    `Better packing saves ${usd(savings.packing)} (${savings.packing_percent.toFixed(2)} %). Splitting saves ` +
    `${usd(savings.splitting)} more (${savings.splitting_percent.toFixed(2)} %): it is cheaper for ` +
    `${savings.clients_cheaper_by_splitting} of ${clients.length} clients, proven for ` +
    `${savings.clients_proven_cheaper_by_splitting}, by ${savings.most_by_splitting_percent.toFixed(1)} % at most. ` +
    `${savings.clients_whole_proven_best} whole-pod plans and ${savings.clients_split_proven_best} split plans are ` +
    `proven to be the best there are.`;
  const { paper } = report;
  if (!paper) return;
  const grid = make("table");
  table(grid, ["scheduler, then Hostlo as a pass over it", "clients that pay less", "one saves at most"], [
    ["the paper", `over ${paper.clients_cheaper_percent.toFixed(0)} %`, `${paper.most_percent.toFixed(0)} %`],
    ["here", `${paper.ours_clients_cheaper_percent.toFixed(1)} %`, `${paper.ours_most_percent.toFixed(1)} %`],
  ]);
  byId("paper").replaceChildren(make("div", { class: "scroll" }, grid));
}

/** Costs against the bound, which is a line through all bars. */
function bars() {
  const { totals } = report;
  const rows = [
    ["as_is", "as it is", "as-is"],
    ["as_is_hostlo", "as it is, then Hostlo", "as-is"],
    ["whole", "whole pods", "whole"],
    ["split", "split pods", "split"],
  ];
  const width = widthOf("bars");
  const wide = width > 560;
  const [left, right, step] = wide ? [150, 80, 30] : [0, 80, 46];
  const most = Math.max(...rows.map(([key]) => totals[key]), totals.bound, EPSILON);
  const scale = (width - left - right) / most;
  const height = rows.length * step + 22;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Cost of each way to place, against the proven bound" });
  rows.forEach(([key, name, colour], index) => {
    const top = index * step + (wide ? 0 : 18);
    const title = wide ? { x: left - 8, y: top + 16, "text-anchor": "end" } : { x: 0, y: top - 4 };
    svg.append(
      draw("text", title, name),
      draw("rect", { x: left, y: top, width: Math.max(1, totals[key] * scale), height: 22, rx: 2, fill: `var(--${colour})` }),
      draw("text", { x: left + totals[key] * scale + 6, y: top + 16, class: "value" }, usd(totals[key], 0)),
    );
  });
  const x = left + totals.bound * scale;
  svg.append(
    draw("line", { x1: x, x2: x, y1: 0, y2: height - 18, stroke: "var(--bound)", "stroke-width": 2, "stroke-dasharray": "4 3" }),
    draw("text", { x, y: height - 3, "text-anchor": "end" }, `bound ${usd(totals.bound, 0)}`),
  );
  byId("bars").replaceChildren(svg);
}

function histogram() {
  const edges = [0, 2, 5, 10, 15, 20, 30, 40, 50];
  const counts = new Array(edges.length + 1).fill(0);
  for (const { costs } of report.clients) {
    const saved = costs.whole - costs.split;
    const share = costs.whole > 0 ? (100 * saved) / costs.whole : 0;
    const bin = saved <= EPSILON ? 0 : edges.findLastIndex((edge) => share > edge) + 1;
    counts[bin] += 1;
  }
  const names = ["none", ...edges.map((edge, index) => (index + 1 < edges.length ? `${edge}–${edges[index + 1]} %` : `> ${edge} %`))];
  const rows = names.map((name, index) => [name, counts[index]]).filter(([, count], index) => count > 0 || index < 6);
  const [width, left, step] = [widthOf("histogram"), 70, 24];
  const most = Math.max(...counts, 1);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${rows.length * step}`, role: "img", "aria-label": "Clients by share saved" });
  rows.forEach(([name, count], index) => {
    const long = ((width - left - 110) * count) / most;
    const top = index * step;
    svg.append(
      draw("text", { x: left - 8, y: top + 14, "text-anchor": "end" }, name),
      draw("rect", { x: left, y: top, width: Math.max(count ? 2 : 0, long), height: 18, rx: 2, fill: index ? "var(--split)" : "var(--as-is)" }),
      draw("text", { x: left + long + 6, y: top + 14, class: "value" }, `${number(count)} (${percent(count, report.clients.length)})`),
    );
  });
  byId("histogram").replaceChildren(svg);
}

const PLANS = { "as-is": "as it is", "as-is-hostlo": "then Hostlo", whole: "whole pods", split: "split pods" };

function stranded() {
  const [width, left, step] = [widthOf("stranded"), 90, 46];
  const most = Math.max(1, ...report.stranded.flatMap((plan) => [plan.cpu_percent, plan.memory_percent]));
  const svg = draw("svg", { viewBox: `0 0 ${width} ${report.stranded.length * step}`, role: "img", "aria-label": "Stranded CPU and memory by plan" });
  report.stranded.forEach((plan, index) => {
    const top = index * step;
    svg.append(draw("text", { x: left - 8, y: top + 23, "text-anchor": "end" }, PLANS[plan.plan]));
    [["CPU", plan.cpu_percent, "cpu"], ["memory", plan.memory_percent, "memory"]].forEach(([name, value, colour], part) => {
      const long = ((width - left - 130) * value) / most;
      svg.append(
        draw("rect", { x: left, y: top + part * 19, width: Math.max(1, long), height: 16, rx: 2, fill: `var(--${colour})` }),
        draw("text", { x: left + long + 6, y: top + part * 19 + 13, class: "value" }, `${value.toFixed(1)} % ${name}`),
      );
    });
  });
  byId("stranded").replaceChildren(svg);
  const rows = report.stranded.flatMap((plan) =>
    plan.sizes.map((size) => [size.size, PLANS[plan.plan], number(size.vms), size.cpu.toFixed(1), size.memory_gib.toFixed(1)]));
  table(byId("sizes"), ["size", "plan", "VMs", "vCPU left", "GiB left"], rows);
}

function clients() {
  const LISTED = 50;
  const saved = ({ costs }) => costs.whole - costs.split;
  const order = [...report.clients].sort((a, b) => saved(b) - saved(a) || b.costs.whole - a.costs.whole);
  const row = (client) => [
    client.name, number(client.pods), ...KINDS.map(([key]) => usd(client.costs[key], 3)),
    percent(saved(client), client.costs.whole), client.split_pods, client.proof,
  ];
  table(byId("clients"), ["client", "pods", "as it is", "whole", "split", "bound", "saved", "split pods", "proof"], order.slice(0, LISTED).map(row));
  byId("more").textContent = order.length > LISTED ? `The ${LISTED} that save most; ${order.length - LISTED} more are in the JSON.` : "";
}

/** A client splits only where that saves more than its additional fractions cost. */
function whatIf() {
  const discount = byId("discount").valueAsNumber;
  const hours = byId("hours").valueAsNumber;
  const fraction = byId("fraction").valueAsNumber / 1000;
  byId("o-discount").textContent = `${discount} %`;
  byId("o-hours").textContent = String(hours);
  byId("o-fraction").textContent = `${usd(fraction, 3)}/h`;
  const factor = 1 - discount / 100;
  let [whole, split, pays] = [0, 0, 0];
  for (const { costs, fractions, split_pods } of report.clients) {
    const unsplit = costs.whole * factor;
    const splitting = costs.split * factor + (fractions - split_pods) * fraction;
    whole += unsplit;
    split += Math.min(unsplit, splitting);
    pays += splitting + EPSILON < unsplit ? 1 : 0;
  }
  const asIs = report.totals.as_is * factor;
  byId("what-if").replaceChildren(
    tile("as it is", usd(asIs * hours, 0), "a month", "as-is"),
    tile("better packing saves", usd((asIs - whole) * hours, 0), `a month; ${percent(asIs - whole, asIs, 2)}`, "whole"),
    tile("splitting saves", usd((whole - split) * hours, 0), `a month more; ${percent(whole - split, whole, 2)}`, "split"),
    tile("clients that should split", number(pays), `of ${number(report.clients.length)}`, "split"),
  );
}

function notes() {
  const { input, catalogue, simulation } = report;
  const some = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
  const list = (title, lines) => (lines.length ? [make("h3", {}, title), make("ul", {}, ...lines.map((line) => make("li", {}, line)))] : []);
  const count = ({ what, count }) => `${number(count)} ${what}`;
  const left = [
    ...input.skipped.map(count),
    ...input.ignored.map(({ what, count }) => `${number(count)} requests of ${what}, which are not planned`),
    ...(input.faults ? [`${some(input.faults, "fault")} in the input`] : []), ...input.listed, ...report.unplaced,
  ];
  const replay = simulation ? [
    `${number(simulation.seconds)} s, ${number(simulation.arrivals)} arrivals, ${number(simulation.departures)} departures, ` +
    `VMs paid by the ${simulation.billing}: as it is ${usd(simulation.as_is_usd)}, with split pods ${usd(simulation.split_usd)} ` +
    `(${simulation.splitting_percent.toFixed(1)} % less), bound ${usd(simulation.bound_usd)}`,
  ] : [];
  const { today, hosts } = report;
  const present = today ? [
    `${some(today.pods, "pod")} on ${number(today.nodes_used)} of ${some(today.nodes, "node")}; ${usd(today.usd_per_hour)} an hour` +
    (today.unpriced ? ` without ${some(today.unpriced, "node")} whose price no built-in list has` : "") +
    `; ${today.cpu_percent.toFixed(1)} % of CPU and ${today.memory_percent.toFixed(1)} % of memory requested` +
    (today.waiting ? `; ${some(today.waiting, "pod")} on no node` : ""),
    today.hostlo
      ? `Hostlo as a pass over this placement: ${some(today.hostlo.nodes, "node")}` +
        (today.hostlo.usd_per_hour === null ? "" : `, ${usd(today.hostlo.usd_per_hour)} an hour`) + `, ${some(today.hostlo.split_pods, "pod")} split`
      : `No pass over this placement: ${today.note}`,
  ] : [];
  const physical = hosts ? [
    `of ${hosts.cpu_milli / 1000} vCPU and ${Math.floor(hosts.memory_bytes / 2 ** 30)} GiB: ${number(hosts.as_is)} as it is, ${number(hosts.whole)} for whole pods, ` +
    `${number(hosts.split)} for split pods` + (hosts.count === null ? "" : `; there are ${number(hosts.count)}`),
  ] : [];
  byId("notes").replaceChildren(
    ...list("The cluster today", present), ...list("Physical hosts needed", physical),
    ...list("Caveats", report.caveats), ...list("Assumptions", report.assumptions), ...list("Replayed over time", replay),
    ...list("Left out", left), ...list("Read", input.files),
    ...list("Prices", catalogue.source ? [`${catalogue.source} (${catalogue.as_of})`] : []),
  );
}

function charts() {
  bars();
  histogram();
  stranded();
}

subject();
numbers();
charts();
clients();
whatIf();
notes();
for (const id of ["discount", "hours", "fraction"]) byId(id).addEventListener("input", whatIf);
addEventListener("resize", charts);
document.documentElement.dataset.ready = "yes";
