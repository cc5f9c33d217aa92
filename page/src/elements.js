"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en-US");

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

/** Fills a table, the first column of which stands to the left. */
function table(element, head, rows) {
  const line = (cell, cells) => make("tr", {}, ...cells.map((text) => make(cell, {}, String(text))));
  element.replaceChildren(make("thead", {}, line("th", head)), make("tbody", {}, ...rows.map((row) => line("td", row))));
}
