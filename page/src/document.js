function part(told) {
  const host = make("div", { class: "chart" });
  if (told.table) {
    const grid = make("table");
    table(grid, told.table.columns.map(({ title }) => title), told.table.rows);
    return [make("div", { class: "scroll" }, grid), () => {}];
  }
  if (told.list) return [make("ul", {}, ...told.list.map((line) => make("li", {}, line))), () => {}];
  if (told.intervals) return [host, () => intervalChart(host, told.intervals)];
  return [host, () => sampleChart(host, told.samples)];
}

byId("title").textContent = figures.title;
byId("lead").textContent = figures.lead;
for (const { title, parts } of figures.sections) {
  const made = parts.map(part);
  byId("sections").append(make("section", {}, make("h2", {}, title), ...made.map(([element]) => element)));
  // A chart is as wide as its place in the page.
  made.forEach(([, paint]) => paint());
}
