"use strict";
// The run report: each canvas shows the one of reportCharts that its data-chart names.
(() => {
  const data = JSON.parse(document.querySelector("script#data").textContent);
  livePage({
    canvases: "canvas[data-chart]",
    details: "details.case",
    draw: (canvas) => {
      const { chart, case: index, place } = canvas.dataset;
      // A case's charts have its own series; the others are named like theirs, or are the system's.
      const series = index === undefined ? (data[chart] ?? data.system) : data.cases[index][chart];
      new Chart(canvas, reportCharts[chart](series, place));
    },
  });
})();
