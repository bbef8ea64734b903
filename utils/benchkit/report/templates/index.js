"use strict";
(() => {
  // Rows of older runs, made when they are asked for; each has the cells that index.html gives to the newest.
  const { words, rows } = JSON.parse(document.querySelector("script#data").textContent);
  const table = document.querySelector("table#list");
  if (!table || rows.length === 0) return;
  const body = table.tBodies[0];
  const buttons = [...document.querySelectorAll("button[data-older]")];
  const total = body.rows.length + rows.length;
  const absent = "\u2013";
  let next = 0;

  const count = (value) => (value >= 10000 ? String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f") : String(value));
  const significant = (value, decimals) =>
    value === 0 ? (0).toFixed(decimals) : value.toFixed(Math.max(0, Math.min(decimals, 2 - Math.floor(Math.log10(value)))));
  const seconds = (value) => {
    if (value < 1) return `${significant(value * 1000, 1).replace(/\.0$/, "")} ms`;
    if (value < 60) return `${significant(value, 1)} s`;
    const minutes = Math.floor(Math.round(value) / 60);
    if (minutes < 60) return `${minutes} min ${Math.round(value) % 60} s`;
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };
  const number = (text, value) => {
    const cell = element("td", "number", text);
    if (value !== undefined) cell.dataset.value = value ?? "";
    return cell;
  };
  const isolated = (text) => element("bdi", "", text);
  const breakable = (text) => {
    const made = element("bdi", "");
    text.split(/(?<=[_/])/).forEach((part, place) => {
      if (place > 0) made.append(document.createElement("wbr"));
      made.append(part);
    });
    return made;
  };

  const row = ([name, report, when, profile, kind, release, word, tone, valid, measured, sent, took, exit]) => {
    const head = element("th", "", breakable(name));
    head.scope = "row";
    if (words[report]) {
      const link = element("a", "", head.firstChild);
      link.href = `${encodeURIComponent(name)}/${words[report]}`;
      head.append(link);
    }
    return element(
      "tr",
      "",
      head,
      element("td", "", element("span", `badge tone-${words[tone]}`, words[word])),
      number(when),
      element("td", "", isolated(words[profile])),
      element("td", "", words[kind]),
      element("td", "", isolated(words[release])),
      number(measured === null ? absent : `${valid} of ${measured}`, valid),
      number(sent ? count(sent) : absent, sent),
      number(took === null ? absent : seconds(took), took),
      number(exit === null ? absent : String(exit)),
    );
  };

  const show = (many) => {
    const upTo = Math.min(rows.length, next + many);
    const made = rows.slice(next, upTo).map(row);
    // Where the table can be sorted, it takes the rows itself.
    if (table.dispatchEvent(new CustomEvent("addrows", { detail: made, cancelable: true }))) body.append(...made);
    next = upTo;
    const left = rows.length - next;
    document.querySelector("#shown").textContent =
      left === 0 ? "All" : `The newest ${count(total - left)} of ${count(total)}`;
    buttons[0].parentElement.hidden = left === 0;
  };
  for (const button of buttons) {
    button.addEventListener("click", () => show(button.dataset.older === "all" ? rows.length : Number(button.dataset.older)));
  }
  buttons[0].parentElement.hidden = false;
})();
