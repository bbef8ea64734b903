"use strict";
(() => {
  if (typeof Chart !== "function") return;
  const data = JSON.parse(document.querySelector("script#data").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
  const line = data.kind === "history"; // settings have no order: bars

  const axis = (title, position) => ({
    position,
    beginAtZero: true,
    title: { display: true, text: title, color: colour("muted"), font },
    ticks: { color: colour("muted"), font, maxRotation: 60, autoSkip: false },
    grid: { color: colour("grid"), drawOnChartArea: position !== "right" },
  });

  const draw = (canvas, first, second, left, right) => {
    const existing = Chart.getChart(canvas);
    if (existing) existing.destroy();
    const look = (name) => ({ borderColor: colour(name), backgroundColor: colour(name), pointRadius: 4, spanGaps: false });
    return new Chart(canvas, {
      type: line ? "line" : "bar",
      data: {
        labels: data.labels,
        datasets: [
          { label: left, data: first, yAxisID: "y", ...look("curve") },
          { label: right, data: second, yAxisID: left === right ? "y" : "right", ...look("bar") },
        ],
      },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        plugins: { legend: { display: false } },
        scales: {
          x: { ...axis(line ? "release" : "setting"), beginAtZero: false },
          y: axis(left, "left"),
          ...(left === right ? {} : { right: axis(right, "right") }),
        },
      },
    });
  };

  const drawCase = (details) => {
    const one = data.cases[Number(details.dataset.case)];
    draw(details.querySelector("canvas"), one.p50, one.rate, "p50, ms", "req/s");
  };
  const drawAll = () => {
    const share = `% of ${data.labels[0]}`;
    draw(document.querySelector('canvas[data-chart="overall"]'), data.overall.p50_latency, data.overall.requests_per_sec, share, share);
    for (const details of document.querySelectorAll("details.case[open]")) drawCase(details);
  };

  for (const details of document.querySelectorAll("details.case")) {
    details.addEventListener("toggle", () => {
      if (details.open) drawCase(details);
    });
  }
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    drawAll();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
})();
