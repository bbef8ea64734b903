"use strict";
(() => {
  const data = JSON.parse(document.querySelector("script#data").textContent);
  const cases = [...document.querySelectorAll("details.case")];

  // --- what works without charts ------------------------------------------------------------------------------------

  const openLinked = () => {
    let id = location.hash.slice(1);
    try {
      id = decodeURIComponent(id);
    } catch {
      return; // not an address of this page
    }
    const target = document.getElementById(id);
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", openLinked);
  openLinked();

  for (const button of document.querySelectorAll("button[data-open]")) {
    button.parentElement.hidden = false;
    button.addEventListener("click", () => {
      for (const one of cases) one.open = button.dataset.open === "all";
    });
  }

  let closed = [];
  const openForPaper = () => {
    document.documentElement.classList.add("paper");
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  };
  const closeAfterPaper = () => {
    document.documentElement.classList.remove("paper");
    for (const one of closed) one.open = false;
    closed = [];
  };

  // --- charts -------------------------------------------------------------------------------------------------------

  if (typeof Chart !== "function") {
    addEventListener("beforeprint", openForPaper);
    addEventListener("afterprint", closeAfterPaper);
    return;
  }

  const canvases = [...document.querySelectorAll("canvas[data-chart]")];
  const draw = (canvas) => {
    if (Chart.getChart(canvas)) return;
    const { chart, case: index, place } = canvas.dataset;
    // A case's charts have its own series; the others are named like theirs, or are the system's.
    const series = index === undefined ? (data[chart] ?? data.system) : data.cases[index][chart];
    new Chart(canvas, reportCharts[chart](series, place));
  };
  const redraw = (chosen) => {
    for (const canvas of chosen) {
      Chart.getChart(canvas)?.destroy();
      draw(canvas);
    }
  };
  const drawn = () => canvases.filter((canvas) => Chart.getChart(canvas));

  // A chart is drawn when it comes near the window; in a closed <details> none does.
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) {
          watcher.unobserve(target);
          draw(target);
        }
      }
    },
    { rootMargin: "200px" },
  );
  for (const canvas of canvases) watcher.observe(canvas);

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw(drawn()));

  let before = [];
  addEventListener("beforeprint", () => {
    before = drawn();
    openForPaper();
    redraw(canvases);
  });
  addEventListener("afterprint", () => {
    closeAfterPaper();
    for (const canvas of canvases) {
      if (!before.includes(canvas)) {
        Chart.getChart(canvas)?.destroy();
        watcher.observe(canvas);
      }
    }
    redraw(before);
  });
})();
