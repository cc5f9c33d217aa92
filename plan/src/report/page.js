const report = figures;
const usd = (amount, digits = 2) =>
  "$" + amount.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (part, whole, digits = 1) => (whole > 0 ? (100 * part) / whole : 0).toFixed(digits) + " %";
const EPSILON = 5e-7;

const KINDS = [
  ["as_is", "scheduler as it is", "grey"],
  ["whole", "best whole-pod plan", "blue"],
  ["split", "best split plan", "orange"],
  ["bound", "proven lower bound", "green"],
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
  const row = ([key, name, colour]) => ({ name, bars: [{ value: totals[key], text: usd(totals[key], 0), colour }] });
  barChart(byId("bars"), {
    label: "Cost of each way to place, against the proven bound",
    rows: [["as_is", "as it is", "grey"], ["as_is_hostlo", "as it is, then Hostlo", "grey"], ["whole", "whole pods", "blue"], ["split", "split pods", "orange"]].map(row),
    line: { value: totals.bound, text: `bound ${usd(totals.bound, 0)}`, colour: "green" },
  });
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
  const row = (name, index) => {
    const value = counts[index];
    const text = `${number(value)} (${percent(value, report.clients.length)})`;
    return { name, bars: [{ value, text, colour: index ? "orange" : "grey" }] };
  };
  const rows = names.map(row).filter((_, index) => counts[index] > 0 || index < 6);
  barChart(byId("histogram"), { label: "Clients by share saved", rows });
}

const PLANS = { "as-is": "as it is", "as-is-hostlo": "then Hostlo", whole: "whole pods", split: "split pods" };

function stranded() {
  const bar = (value, name, colour) => ({ value, text: `${value.toFixed(1)} % ${name}`, colour });
  barChart(byId("stranded"), {
    label: "Stranded CPU and memory by plan",
    rows: report.stranded.map(({ plan, cpu_percent, memory_percent }) => (
      { name: PLANS[plan], bars: [bar(cpu_percent, "CPU", "indigo"), bar(memory_percent, "memory", "plum")] })),
  });
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
    tile("as it is", usd(asIs * hours, 0), "a month", "grey"),
    tile("better packing saves", usd((asIs - whole) * hours, 0), `a month; ${percent(asIs - whole, asIs, 2)}`, "blue"),
    tile("splitting saves", usd((whole - split) * hours, 0), `a month more; ${percent(whole - split, whole, 2)}`, "orange"),
    tile("clients that should split", number(pays), `of ${number(report.clients.length)}`, "orange"),
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

subject();
numbers();
bars();
histogram();
stranded();
clients();
whatIf();
notes();
for (const id of ["discount", "hours", "fraction"]) byId(id).addEventListener("input", whatIf);
