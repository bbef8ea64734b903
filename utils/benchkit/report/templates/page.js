"use strict";
// The script of every page: it opens the element that the address names, draws each chart when it comes near the
// window, and opens and draws everything for printing. A canvas with data-plot="N" shows plots[N] of the page's data.
(() => {
  const openLinked = () => {
    let id = location.hash.slice(1);
    try {
      id = decodeURIComponent(id);
    } catch {
      return; // not an address of this page
    }
    const target = id && document.getElementById(id);
    const around = target && target.closest("details");
    if (around) {
      around.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", openLinked);
  openLinked();

  for (const button of document.querySelectorAll("button[data-open]")) {
    button.parentElement.hidden = false;
    button.addEventListener("click", () => {
      for (const one of button.closest("section").querySelectorAll("details")) one.open = button.dataset.open === "all";
    });
  }

  const { plots, time } = JSON.parse(document.querySelector("script#data").textContent);
  const canvases = typeof Chart === "function" ? [...document.querySelectorAll("canvas[data-plot]")] : [];
  const drawn = () => canvases.filter((canvas) => Chart.getChart(canvas));
  const draw = (canvas) => {
    Chart.getChart(canvas)?.destroy();
    chartOf(canvas, plots[canvas.dataset.plot], time);
  };

  // Draw a chart when it comes near the window; a chart in a closed <details> never does.
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) {
          watcher.unobserve(target);
          if (!Chart.getChart(target)) draw(target);
        }
      }
    },
    { rootMargin: "200px" },
  );
  for (const canvas of canvases) watcher.observe(canvas);

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn().forEach(draw));

  let closed = [];
  let before = [];
  addEventListener("beforeprint", () => {
    before = drawn();
    document.documentElement.classList.add("paper");
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
    canvases.forEach(draw);
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    for (const one of closed) one.open = false;
    closed = [];
    for (const canvas of canvases) {
      if (!before.includes(canvas)) {
        Chart.getChart(canvas)?.destroy();
        watcher.observe(canvas);
      }
    }
    before.forEach(draw);
  });
})();
