"use strict";
// Sorting, filtering and copying for every <table data-tools>. It is self-contained: a page only has to include it and
// tools.css. Without JavaScript the table is static.
//
// A cell's value is its data-value if it has one, else the number or text that it shows. Columns named Validity,
// Verdict, State or Finding get a menu of their words. Sorting by a column hides the group rows (tr.group) and puts the
// group's name before each row's name; the third click restores the page's order. The state of all tables is in the
// address as #?TABLE.q=words&…, which cannot be confused with a link to a case (#scenario/case).
(() => {
  const CHOICES = new Set(["validity", "verdict", "state", "finding"]);
  const FEW = 6; // so few rows need no filter
  const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;
  const NOT_SHOWN_IN_COPIES = ".hidden, .description, .of-group";

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const tidy = (text) => text.replace(/\s+/g, " ").trim();

  // Text with a space between blocks and elements: "44.2" and "regression" are two words.
  const words = (node, without) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.nodeType !== Node.ELEMENT_NODE || (without && node.matches(without))) return "";
    const apart = node.matches(".change, .estimate, .description, .badge, .amount, p, li");
    const inner = [...node.childNodes].map((child) => words(child, without)).join("");
    return apart ? ` ${inner} ` : inner;
  };
  const isAbsent = (cell) => cell.dataset.value === "" || Boolean(cell.querySelector(":scope > .absent"));
  const shown = (cell) => (isAbsent(cell) ? "" : tidy(words(cell, NOT_SHOWN_IN_COPIES)));
  const figure = (cell) => tidy(words(cell, `${NOT_SHOWN_IN_COPIES}, .mark, .change, .estimate`));
  const asNumber = (text) => {
    const plain = text.replace(/[\s\u202f]/g, "").replace(/\u2212/g, "-").replace(/^[<~≈]/, "").replace(/%$/, "");
    return NUMBER.test(plain) ? Number(plain) : NaN;
  };
  const valueOf = (cell) => {
    if (!cell || isAbsent(cell)) return null;
    const text = cell.dataset.value ?? figure(cell);
    const number = asNumber(text);
    return Number.isNaN(number) ? text || null : number;
  };

  // The last row of the head has the column names; in copies, a name above several columns is put before theirs.
  const columnsOf = (table) => {
    const columns = [];
    const free = []; // by column: how many more head rows a cell from above covers
    const rows = [...(table.tHead?.rows ?? [])];
    rows.forEach((row, level) => {
      let place = 0;
      for (const cell of row.cells) {
        while ((free[place] ?? 0) > level) place += 1;
        for (let end = place + cell.colSpan; place < end; place += 1) {
          const column = (columns[place] ??= { above: [], head: null });
          free[place] = level + cell.rowSpan;
          if (level + cell.rowSpan >= rows.length && cell.colSpan === 1) column.head = cell;
          else column.above.push(tidy(words(cell)));
        }
      }
    });
    return columns.map(({ above, head }) => {
      const name = head ? tidy(words(head)) : "";
      return { head, name, whole: [...above, name].filter(Boolean).join(" · ") };
    });
  };

  const rowsOf = (table) => {
    const rows = [];
    for (const body of table.tBodies) {
      let group = null;
      for (const row of [...body.rows]) {
        if (row.classList.contains("group")) group = { row, name: tidy(words(row)), rows: [] };
        else if (row.cells.length > 1) {
          rows.push({ row, body, group, text: tidy(`${group?.name ?? ""} ${words(row)}`).toLowerCase() });
          if (!group) continue;
          group.rows.push(row);
          row.cells[0].prepend(element("span", { className: "of-group" }, element("bdi", {}, group.name), "/"));
        }
      }
    }
    return rows;
  };

  // --- copying ------------------------------------------------------------------------------------------------------

  // Spreadsheets read text that begins with these as a formula; an apostrophe prevents that (OWASP: CSV injection).
  const csvCell = (value) => {
    let text = String(value);
    if (/^[=+\-@\t\r]/.test(text) && !NUMBER.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const asCsv = (lines) => lines.map((line) => `${line.map(csvCell).join(",")}\r\n`).join("");
  const asMarkdown = (heads, lines, numeric) => {
    const escaped = (text) => (text || "–").replace(/[\\|`*_<>[\]]/g, "\\$&");
    const line = (cells) => `| ${cells.join(" | ")} |\n`;
    return (
      line(heads.map((head) => escaped(head || " "))) +
      line(numeric.map((one) => (one ? "---:" : "---"))) +
      lines.map((cells) => line(cells.map(escaped))).join("")
    );
  };

  const copyBySelection = (area) => {
    area.focus();
    area.select();
    try {
      return document.execCommand("copy");
    } catch {
      return false;
    }
  };

  // A page opened as a file may have no clipboard; then copy a selection, or leave it for the reader to copy.
  const copy = async (text, tools) => {
    tools.querySelector("textarea")?.remove();
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const before = document.activeElement;
      const area = element("textarea", { value: text, readOnly: true, rows: 6 });
      area.setAttribute("aria-label", "The text to copy");
      tools.append(area);
      if (!copyBySelection(area)) return false;
      area.remove();
      before?.focus();
      return true;
    }
  };

  // --- one table ----------------------------------------------------------------------------------------------------

  const states = new Map(); // table's name → its control
  let writing = false;

  const furnish = (table, number) => {
    const name = table.id || `table${number}`;
    const columns = columnsOf(table);
    const rows = rowsOf(table);
    const groups = [...new Set(rows.map(({ group }) => group).filter(Boolean))];
    const sorted = element("tbody", { hidden: true });
    if (rows.length < 2) return;

    const cellOf = ({ row }, place) => row.cells[place];
    const wordOf = (one, place) => {
      const cell = cellOf(one, place);
      return cell ? tidy(words(cell.querySelector(".badge") ?? cell, ".hidden")) : "";
    };
    const state = { query: "", chosen: {}, column: -1, descending: false };
    const matches = (one) =>
      state.query
        .toLowerCase()
        .split(/\s+/)
        .every((word) => one.text.includes(word)) &&
      choices.every(({ key, places }) => {
        const wanted = state.chosen[key];
        return !wanted || places.some((place) => wordOf(one, place) === wanted);
      });

    // Absent values sort last in both directions; equal values keep the order of the page.
    const inOrder = () => {
      if (state.column < 0) return rows;
      const keyed = rows.map((one) => ({ one, value: valueOf(cellOf(one, state.column)) }));
      const sign = state.descending ? -1 : 1;
      return keyed
        .sort((left, right) => {
          if (left.value === null || right.value === null) return (left.value === null) - (right.value === null);
          if (typeof left.value === "number" && typeof right.value === "number") return sign * (left.value - right.value);
          if (typeof left.value !== typeof right.value) return typeof left.value === "number" ? -1 : 1;
          return sign * left.value.localeCompare(right.value, undefined, { numeric: true });
        })
        .map(({ one }) => one);
    };

    const status = element("p", { className: "shown" });
    status.setAttribute("role", "status");
    status.setAttribute("aria-live", "polite");
    const say = (text) => {
      status.textContent = text;
    };
    const visible = () => inOrder().filter(matches);

    const apply = () => {
      const flat = state.column >= 0;
      table.classList.toggle("flat", flat);
      const order = inOrder();
      for (const one of order) one.row.hidden = !matches(one);
      if (flat) {
        sorted.hidden = false;
        if (!sorted.isConnected) table.append(sorted);
        sorted.append(...order.map(({ row }) => row));
      } else {
        // Move rows back into their bodies, after their group's row.
        for (const body of new Set(rows.map((one) => one.body))) {
          body.append(
            ...rows
              .filter((one) => one.body === body)
              .flatMap(({ row, group }) => (group && group.rows[0] === row ? [group.row, row] : [row])),
          );
        }
        sorted.remove();
      }
      for (const group of groups) {
        group.row.classList.toggle("away", flat || group.rows.every((row) => row.hidden));
      }
      columns.forEach(({ head }, place) => {
        if (!head?.querySelector("button.sort")) return;
        const direction = state.descending ? "descending" : "ascending";
        head.setAttribute("aria-sort", place === state.column ? direction : "none");
      });
      input.value = state.query;
      for (const { key, select } of choices) select.value = state.chosen[key] ?? "";
      const count = rows.filter(({ row }) => !row.hidden).length;
      say(`${count} of ${rows.length} shown`);
      reset.hidden = !state.query && !Object.values(state.chosen).some(Boolean) && state.column < 0;
    };

    // --- the controls

    const input = element("input", { type: "search", autocomplete: "off", spellcheck: false, dir: "auto" });
    const choices = [];
    columns.forEach((column, place) => {
      const key = column.name.toLowerCase();
      if (!CHOICES.has(key)) return;
      const known = choices.find((one) => one.key === key);
      if (known) known.places.push(place);
      else choices.push({ key, label: column.name, places: [place] });
    });
    const offer = ({ places, select }) => {
      const known = new Set([...select.options].map(({ value }) => value));
      const found = new Set(rows.flatMap((one) => places.map((place) => wordOf(one, place))).filter(Boolean));
      const fresh = [...found].filter((word) => !known.has(word)).sort();
      select.append(...fresh.map((word) => element("option", { value: word }, word)));
    };
    for (const choice of choices) {
      choice.select = element("select", {}, element("option", { value: "" }, "any"));
      offer(choice);
      choice.select.addEventListener("change", () => {
        state.chosen[choice.key] = choice.select.value;
        apply();
        writeAddress();
      });
    }
    input.addEventListener("input", () => {
      state.query = input.value;
      apply();
      writeAddress();
    });
    const reset = element("button", { type: "button", hidden: true }, "Show all");
    reset.addEventListener("click", () => {
      clear();
      apply();
      writeAddress();
      input.focus();
    });
    const clear = () => Object.assign(state, { query: "", chosen: {}, column: -1, descending: false });

    columns.forEach(({ head }, place) => {
      if (!head || !tidy(words(head))) return;
      const button = element("button", { type: "button", className: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        if (state.column !== place) Object.assign(state, { column: place, descending: false });
        else if (!state.descending) state.descending = true;
        else Object.assign(state, { column: -1, descending: false });
        apply();
        writeAddress();
      });
    });

    const nameOf = (one, place) => {
      const prefix = place === 0 && one.group ? `${one.group.name}/` : "";
      return prefix + shown(cellOf(one, place));
    };
    const numeric = columns.map((_, place) => rows.every((one) => typeof (valueOf(cellOf(one, place)) ?? 0) === "number"));
    const markdown = () =>
      asMarkdown(
        columns.map(({ whole }) => whole),
        visible().map((one) => columns.map((_, place) => nameOf(one, place))),
        numeric,
      );
    // Numbers are copied as numbers; other text in the cell (a change, advisory) gets its own column.
    const csv = () => {
      const chosen = visible();
      const beside = (cell) => {
        const rest = [...(cell?.querySelectorAll(".change, .estimate") ?? [])].map((part) => tidy(words(part, ".hidden")));
        return [...(cell?.querySelector(".mark") ? ["advisory"] : []), ...rest].join("; ");
      };
      const notes = columns.map((_, place) => chosen.map((one) => beside(cellOf(one, place))));
      const isNoted = columns.map((_, place) => numeric[place] && notes[place].some(Boolean));
      const heads = columns.flatMap(({ whole }, place) => (isNoted[place] ? [whole, `${whole} note`] : [whole]));
      const lines = chosen.map((one, line) =>
        columns.flatMap((_, place) => {
          const value = numeric[place] ? (valueOf(cellOf(one, place)) ?? "") : nameOf(one, place);
          return isNoted[place] ? [value, notes[place][line]] : [value];
        }),
      );
      return asCsv([heads, ...lines]);
    };
    const copyButton = (label, make) => {
      const button = element("button", { type: "button" }, `Copy as ${label}`);
      button.addEventListener("click", async () => {
        const count = visible().length;
        const done = await copy(make(), tools);
        say(done ? `${count} of ${rows.length} copied as ${label}` : "The text is selected: copy it with Ctrl+C or ⌘C");
      });
      return button;
    };

    const filters = () => [
      element("label", {}, element("span", {}, "Filter"), input),
      ...choices.map(({ label, select }) => element("label", {}, element("span", {}, label), select)),
    ];
    const tools = element(
      "div",
      { className: "tools" },
      ...(rows.length < FEW ? [] : filters()),
      reset,
      status,
      element("span", { className: "copies" }, copyButton("Markdown", markdown), copyButton("CSV", csv)),
    );
    const title = table.closest("[aria-label]")?.getAttribute("aria-label") ?? tidy(words(table.caption ?? status));
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", `Tools of the table: ${title}`);
    (table.closest(".scroll") ?? table).before(tools);

    // A page that creates more rows passes them to the table, which appends them and applies its order.
    table.addEventListener("addrows", (event) => {
      event.preventDefault();
      const before = { ...state, chosen: { ...state.chosen } };
      clear();
      apply();
      table.tBodies[0].append(...event.detail);
      rows.push(...rowsOf(table).slice(rows.length));
      choices.forEach(offer);
      Object.assign(state, before);
      apply();
    });

    states.set(name, {
      rows,
      reset: () => {
        clear();
        apply();
      },
      write: (parameters) => {
        if (state.query) parameters.set(`${name}.q`, state.query);
        for (const [key, word] of Object.entries(state.chosen)) if (word) parameters.set(`${name}.${key}`, word);
        if (state.column >= 0) parameters.set(`${name}.sort`, `${state.column}${state.descending ? "d" : ""}`);
      },
      read: (parameters) => {
        clear();
        state.query = parameters.get(`${name}.q`) ?? "";
        for (const { key, select } of choices) {
          const word = parameters.get(`${name}.${key}`) ?? "";
          if ([...select.options].some((option) => option.value === word)) state.chosen[key] = word;
        }
        const [, place, down] = /^(\d+)(d?)$/.exec(parameters.get(`${name}.sort`) ?? "") ?? [];
        if (place !== undefined && columns[place]?.head) Object.assign(state, { column: Number(place), descending: Boolean(down) });
        apply();
      },
    });
    apply();
  };

  // --- the address --------------------------------------------------------------------------------------------------

  const writeAddress = () => {
    const parameters = new URLSearchParams();
    for (const control of states.values()) control.write(parameters);
    const text = parameters.toString();
    if (!text && !location.hash.startsWith("#?")) return;
    writing = true;
    try {
      history.replaceState(null, "", text ? `#?${text}` : location.href.split("#")[0]);
    } catch {
      // Some browsers forbid this for files; the filter still works.
    }
    writing = false;
  };

  const readAddress = () => {
    if (writing) return;
    if (location.hash.startsWith("#?")) {
      const parameters = new URLSearchParams(location.hash.slice(2));
      for (const control of states.values()) control.read(parameters);
      return;
    }
    let id = location.hash.slice(1);
    try {
      id = decodeURIComponent(id);
    } catch {
      return; // not an address of this page
    }
    const target = id && document.getElementById(id);
    if (!target) return;
    // A link to a row overrides a filter that hides it.
    for (const control of states.values()) {
      if (control.rows.some(({ row }) => row.hidden && row.contains(target))) {
        control.reset();
        target.scrollIntoView();
      }
    }
  };

  [...document.querySelectorAll("table[data-tools]")].forEach(furnish);
  addEventListener("hashchange", readAddress);
  readAddress();
})();
