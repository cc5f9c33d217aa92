/** Drawn one to one in pixels, so that letters keep their size on every screen, and anew when the width changes. */
const redrawn = [];
function chart(host, label, paint) {
  const redraw = () => {
    const width = Math.max(280, host.clientWidth);
    const [height, ...shapes] = paint(width);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    svg.append(...shapes);
    host.replaceChildren(svg);
  };
  redrawn.push(redraw);
  redraw();
}
addEventListener("resize", () => redrawn.forEach((redraw) => redraw()));

/** Room for words of the charts' size, in pixels. */
const roomFor = (words) => Math.max(0, ...words.map((text) => text.length)) * 7.9 + 10;

/** Where names and figures of rows stand, and what is left between them: names go above where the page is narrow. */
function columns(width, names, texts) {
  const [left, right] = [roomFor(names), width - roomFor(texts)];
  const beside = left <= 0.35 * width && right - left >= 0.4 * width;
  return { beside, left: beside ? left : 0, right, above: beside ? 0 : 18 };
}

function title(name, { beside, left }, top, height) {
  return beside
    ? draw("text", { x: left - 8, y: top + height / 2 + 4.5, "text-anchor": "end" }, name)
    : draw("text", { x: 0, y: top - 5 }, name);
}

/** Rows `[{ name, bars: [{ value, text, colour }] }]`; `line` is a value that goes through all of them. */
function barChart(host, { label, rows, line }) {
  const [thick, gap, between] = [18, 3, 9];
  chart(host, label, (width) => {
    const all = rows.flatMap((row) => row.bars);
    const room = columns(width, rows.map(({ name }) => name), all.map(({ text }) => text));
    const most = Math.max(...all.map(({ value }) => value), line ? line.value : 0) || 1;
    const long = (value) => ((room.right - room.left) * value) / most;
    const shapes = [];
    let top = 0;
    for (const { name, bars } of rows) {
      const height = bars.length * (thick + gap) - gap;
      top += room.above;
      shapes.push(title(name, room, top, height));
      bars.forEach(({ value, text, colour }, index) => {
        const y = top + index * (thick + gap);
        shapes.push(
          draw("rect", { x: room.left, y, width: value > 0 ? Math.max(1, long(value)) : 0, height: thick, rx: 2, fill: `var(--${colour})` }),
          draw("text", { x: room.left + long(value) + 6, y: y + 14, class: "value" }, text),
        );
      });
      top += height + between;
    }
    if (!line) return [top - between, ...shapes];
    const x = room.left + long(line.value);
    return [
      top + 14, ...shapes,
      draw("line", { x1: x, x2: x, y1: 0, y2: top, stroke: `var(--${line.colour})`, "stroke-width": 2, "stroke-dasharray": "4 3" }),
      draw("text", { x, y: top + 13, "text-anchor": "end" }, line.text),
    ];
  });
}

/** Round numbers from `least` to `most`, `count` of them at the most. */
function ticks(least, most, count) {
  const power = 10 ** Math.floor(Math.log10((most - least) / count));
  const step = power * [1, 2, 5, 10].find((factor) => (most - least) / (factor * power) <= count);
  const first = Math.ceil(least / step);
  return Array.from({ length: Math.floor(most / step) - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** Rows of one axis, `height` pixels each; `mark(row, top, x)` draws what is in one, `x` being a value's place. */
function rowsOnAxis(host, { label, rows, height, values, mark, line }) {
  chart(host, label, (width) => {
    const room = columns(width, rows.map(({ name }) => name), rows.map(({ text }) => text));
    const known = values.filter(Number.isFinite);
    if (!known.length) return [0];
    let [least, most] = [Math.min(...known), Math.max(...known)];
    const margin = (most - least || Math.abs(most) || 1) * 0.05;
    [least, most] = [least >= 0 ? Math.max(0, least - margin) : least - margin, most + margin];
    const [from, to] = [room.left + 6, room.right - 6];
    const x = (value) => from + ((to - from) * (value - least)) / (most - least);
    const step = height + room.above;
    const bottom = rows.length * step;
    const shapes = ticks(least, most, Math.max(3, Math.floor((to - from) / 80))).flatMap((value) => [
      draw("line", { x1: x(value), x2: x(value), y1: 0, y2: bottom + 4, class: "axis" }),
      draw("text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, number(value)),
    ]);
    if (line !== undefined) {
      shapes.push(draw("line", { x1: x(line), x2: x(line), y1: 0, y2: bottom + 4, stroke: "var(--quiet)", "stroke-width": 1.5, "stroke-dasharray": "4 3" }));
    }
    rows.forEach((row, index) => {
      const top = index * step + room.above;
      shapes.push(
        title(row.name, room, top, height), ...mark(row, top, x, index),
        draw("text", { x: room.right + 6, y: top + height / 2 + 4.5, class: "value" }, row.text),
      );
    });
    return [bottom + 22, ...shapes];
  });
}

/** Rows `[{ name, low, middle, high, text }]`, compared with the value `line`. */
function intervalChart(host, { label, line, rows }) {
  const height = 26;
  const values = [line, ...rows.flatMap(({ low, middle, high }) => [low, middle, high])];
  const mark = ({ low, middle, high }, top, x) => {
    const y = top + height / 2;
    const colour = low > line || high < line ? "var(--blue)" : "var(--grey)";
    const stroke = { stroke: colour, "stroke-width": 2 };
    return [
      draw("line", { x1: x(low), x2: x(high), y1: y, y2: y, ...stroke }),
      ...[low, high].map((end) => draw("line", { x1: x(end), x2: x(end), y1: y - 5, y2: y + 5, ...stroke })),
      draw("circle", { cx: x(middle), cy: y, r: 4.5, fill: colour }),
    ];
  };
  rowsOnAxis(host, { label, rows, height, values, mark, line });
}

const COLOURS = ["blue", "orange", "green", "indigo", "plum", "teal", "gold", "grey"];

/** Rows `[{ name, samples, middle, text }]`: a dot each, from the top down in the order in which they were taken. */
function sampleChart(host, { label, rows }) {
  const height = 38;
  const values = rows.flatMap(({ samples }) => samples);
  const mark = ({ samples, middle }, top, x, index) => {
    const colour = `var(--${COLOURS[index % COLOURS.length]})`;
    const y = (order) => top + 6 + ((order + 0.5) / samples.length) * (height - 12);
    const dots = samples.filter(Number.isFinite).map((sample, order) =>
      draw("circle", { cx: x(sample), cy: y(order), r: 2.5, fill: colour, "fill-opacity": 0.55 }));
    return [...dots, draw("line", { x1: x(middle), x2: x(middle), y1: top + 3, y2: top + height - 3, stroke: "var(--ink)", "stroke-width": 2 })];
  };
  rowsOnAxis(host, { label, rows, height, values, mark });
}
