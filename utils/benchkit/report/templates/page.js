"use strict";
// What every page with charts does: it opens what its address names, draws each chart when it comes near the window,
// and shows all of itself on paper. The pages' own scripts call it: `draw` makes the chart of a canvas that `canvases`
// selects, `details` is what the buttons open and close.
const livePage = ({ canvases: selector, draw, details = "details" }) => {
  // --- what works without charts ------------------------------------------------------------------------------------

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
      for (const one of document.querySelectorAll(details)) one.open = button.dataset.open === "all";
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

  const canvases = [...document.querySelectorAll(selector)];
  const drawn = () => canvases.filter((canvas) => Chart.getChart(canvas));
  const redraw = (chosen) => {
    for (const canvas of chosen) {
      Chart.getChart(canvas)?.destroy();
      draw(canvas);
    }
  };

  // A chart is drawn when it comes near the window; in a closed <details> none does.
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
};
