"use strict";
// The flame graph, with the outermost function on top. Nodes are in preorder, with their depth.
(() => {
  const data = JSON.parse(document.querySelector("script#data").textContent);
  const canvas = document.querySelector("canvas[data-flame]");
  if (!canvas || !data.flame) return;
  const { total, frames, nodes } = data.flame;
  const ROW = 19, NARROWEST = 0.4, TEXT_FROM = 34;
  const frame = document.querySelector("[data-flame-frame]");
  const detail = document.querySelector("[data-flame-detail]");
  const search = document.querySelector("[data-flame-search]");
  const found = document.querySelector("[data-flame-found]");

  // Node 0 is all of the work; its children start where it starts, one after the other.
  const tree = [{ frame: null, depth: 0, ms: total, start: 0, parent: -1, children: [] }];
  const open = [{ number: 0, next: 0 }];
  for (const [number, depth, ms] of nodes) {
    open.length = depth + 1;
    const above = open[depth];
    const self = tree.length;
    tree.push({ frame: number, depth: depth + 1, ms, start: above.next, parent: above.number, children: [] });
    tree[above.number].children.push(self);
    open.push({ number: self, next: above.next });
    above.next += ms;
  }

  const name = (node) => (node.frame === null ? "all work" : node.frame < 0 ? "(smaller ones)" : frames[node.frame][0]);
  const place = (node) => (node.frame === null || node.frame < 0 ? "" : frames[node.frame][1]);
  // A function of the category "other" takes its caller's category.
  const category = (node) => {
    for (let at = node; at.frame !== null; at = tree[at.parent]) {
      if (at.frame >= 0 && frames[at.frame][2] !== "other") return frames[at.frame][2];
    }
    return node.frame === null ? "waiting" : "other";
  };
  const share = (ms) => `${((100 * ms) / total).toFixed(1)} %`;
  const describe = (node) =>
    `${name(node)}${place(node) ? ` (${place(node)})` : ""}: ${share(node.ms)} of the work, ${(node.ms / 1000).toFixed(2)} s` +
    (node.frame === null || node.frame < 0 ? "" : `; ${data.labels[category(node)]}`);

  let zoom = 0, selected = 0, wanted = "";
  let shown = [];

  const isMatch = (node) =>
    wanted !== "" && node.frame !== null && node.frame >= 0 && `${name(node)} ${place(node)}`.toLowerCase().includes(wanted);
  const isAbove = (number, other) => {
    for (let at = other; at >= 0; at = tree[at].parent) if (at === number) return true;
    return false;
  };

  const draw = () => {
    const width = frame.clientWidth;
    if (!width) return;
    const root = tree[zoom];
    const scale = width / root.ms;
    shown = [];
    // The callers of the zoomed node are as wide as the page too.
    for (let at = zoom; at >= 0; at = tree[at].parent) shown.push({ number: at, left: 0, wide: width });
    const todo = [...root.children];
    while (todo.length) {
      const number = todo.pop();
      const node = tree[number];
      const wide = node.ms * scale;
      if (wide < NARROWEST) continue;
      shown.push({ number, left: (node.start - root.start) * scale, wide });
      todo.push(...node.children);
    }
    const height = (Math.max(...shown.map((one) => tree[one.number].depth)) + 1) * ROW;
    const density = Math.min(Math.max(1, window.devicePixelRatio || 1), 16000 / height);
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    const context = canvas.getContext("2d");
    context.scale(density, density);
    const colours = getComputedStyle(document.documentElement);
    const colour = (one) => colours.getPropertyValue(`--${one}`).trim();
    const fonts = getComputedStyle(document.body).fontFamily;
    context.font = `12px ${fonts}`;
    context.textBaseline = "middle";
    for (const { number, left, wide } of shown) {
      const node = tree[number];
      const top = node.depth * ROW;
      context.globalAlpha = wanted !== "" && !isMatch(node) ? 0.28 : number !== zoom && isAbove(number, zoom) ? 0.6 : 1;
      context.fillStyle = colour(`c-${category(node)}`);
      context.fillRect(left, top, Math.max(NARROWEST, wide - 0.6), ROW - 1);
      context.globalAlpha = 1;
      if (wide >= TEXT_FROM) {
        context.save();
        context.beginPath();
        context.rect(left, top, wide - 3, ROW);
        context.clip();
        context.fillStyle = colour("on-c");
        if (number === 0 && colour("page") !== "#ffffff") context.fillStyle = colour("text");
        context.fillText(name(node), left + 4, top + ROW / 2);
        context.restore();
      }
      if (number === selected && document.activeElement === canvas) {
        context.strokeStyle = colour("text");
        context.lineWidth = 2;
        context.strokeRect(left + 1, top + 1, Math.max(2, wide - 2.6), ROW - 3);
      }
    }
    canvas.dataset.drawn = String(shown.length);
    canvas.dataset.zoom = name(root);
  };

  const select = (number) => {
    selected = number;
    detail.textContent = describe(tree[number]);
    draw();
    const top = tree[number].depth * ROW;
    if (top < frame.scrollTop || top + ROW > frame.scrollTop + frame.clientHeight) {
      frame.scrollTop = Math.max(0, top - frame.clientHeight / 2);
    }
  };
  const widen = (number) => {
    zoom = number;
    select(number);
  };
  const beside = (number, by) => {
    const parent = tree[number].parent;
    if (parent < 0) return number;
    const row = tree[parent].children;
    return row[Math.min(row.length - 1, Math.max(0, row.indexOf(number) + by))];
  };

  canvas.addEventListener("keydown", (event) => {
    const node = tree[selected];
    const moves = {
      ArrowDown: () => select(node.children.length ? node.children[0] : selected),
      ArrowUp: () => select(node.parent < 0 ? selected : node.parent),
      ArrowLeft: () => select(selected === zoom ? selected : beside(selected, -1)),
      ArrowRight: () => select(selected === zoom ? selected : beside(selected, 1)),
      Home: () => select(0),
      Enter: () => widen(selected),
      Escape: () => widen(zoom === 0 ? 0 : tree[zoom].parent),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  });
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const left = event.clientX - box.left;
    const depth = Math.floor((event.clientY - box.top) / ROW);
    // Take the last match: narrow nodes are drawn over their neighbours' edges.
    return shown.findLast((one) => tree[one.number].depth === depth && one.left <= left && left <= one.left + Math.max(1, one.wide));
  };
  canvas.addEventListener("click", (event) => {
    const hit = at(event);
    if (hit) widen(hit.number);
  });
  canvas.addEventListener("pointermove", (event) => {
    const hit = at(event);
    canvas.title = hit ? describe(tree[hit.number]) : "";
  });
  canvas.addEventListener("focus", () => select(selected));
  canvas.addEventListener("blur", draw);

  search.addEventListener("input", () => {
    wanted = search.value.trim().toLowerCase();
    // Count time once, for the outermost match.
    let ms = 0;
    tree.forEach((node) => {
      if (!isMatch(node)) return;
      for (let above = node.parent; above >= 0; above = tree[above].parent) if (isMatch(tree[above])) return;
      ms += node.ms;
    });
    found.textContent = wanted === "" ? "" : `on the stack for ${share(ms)} of the work`;
    draw();
  });
  document.querySelector("[data-flame-reset]").addEventListener("click", () => {
    search.value = "";
    wanted = "";
    found.textContent = "";
    widen(0);
  });
  document.querySelector("[data-flame-bar]").hidden = false;

  let wide = 0;
  new ResizeObserver(() => {
    if (frame.clientWidth === wide) return;
    wide = frame.clientWidth;
    draw();
  }).observe(frame);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", draw);
  addEventListener("afterprint", draw);
  detail.textContent = describe(tree[0]);
})();
