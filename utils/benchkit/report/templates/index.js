"use strict";
(() => {
  // Makes the rows of older runs on demand, from the texts in the page's data.
  const { total, words, looks, older } = JSON.parse(document.querySelector("script#data").textContent);
  const table = document.querySelector("table#list");
  if (!table || older.length === 0) return;
  const body = table.tBodies[0];
  const buttons = [...document.querySelectorAll("button[data-older]")];
  const first = body.rows.length;
  let next = 0;

  const element = (name, attributes, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const breakable = (text) =>
    element("bdi", {}, ...text.split(/(?<=[_/])/).flatMap((part, place) => (place ? [element("wbr", {}), part] : [part])));

  // Each function takes the values for its cell from the row.
  const makers = {
    name: (take) => {
      const [name, report] = [take(), take()];
      const link = { href: `${encodeURIComponent(name)}/${report}` };
      return element("th", { scope: "row" }, report ? element("a", link, breakable(name)) : breakable(name));
    },
    badge: (take) => {
      const [word, tone] = [take(), take()];
      return element("td", {}, element("span", { class: `badge tone-${tone}` }, word));
    },
    moment: (take) => element("td", { class: "number" }, take()),
    text: (take) => element("td", {}, element("bdi", {}, take())),
    figure: (take, plainly) => {
      const text = take();
      return element("td", { class: "number", "data-value": plainly() ?? "" }, text);
    },
  };
  const row = (parts) => {
    let at = 0;
    const plainly = () => parts[at++];
    const take = () => {
      const part = plainly();
      return typeof part === "number" ? words[part] : part;
    };
    return element("tr", {}, ...looks.map((look) => makers[look](take, plainly)));
  };

  const show = (many) => {
    const made = older.slice(next, next + many).map(row);
    // If the table is sortable, its control adds the rows.
    if (table.dispatchEvent(new CustomEvent("addrows", { detail: made, cancelable: true }))) body.append(...made);
    next += made.length;
    const isAll = next === older.length;
    document.querySelector("#shown").textContent = isAll ? "All" : `The newest ${first + next} of ${total}`;
    buttons[0].parentElement.hidden = isAll;
  };
  for (const button of buttons) {
    button.addEventListener("click", () => show(button.dataset.older === "all" ? older.length : Number(button.dataset.older)));
  }
  buttons[0].parentElement.hidden = false;
})();
