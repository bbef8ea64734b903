"use strict";
(() => {
  if (typeof Chart !== "function") return;
  const data = JSON.parse(document.querySelector("script#data").textContent);
  const canvases = [...document.querySelectorAll("canvas[data-scenario]")];
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
  const plain = (value) => (value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => dark.matches && !root.classList.contains("paper");

  // A line is told by its colour and by the form of its points.
  const forms = ["circle", "rect", "triangle", "rectRot", "cross", "star", "crossRot"];
  const look = (place, total) => {
    const stroke = `hsl(${Math.round((360 * place) / total + 210) % 360} 60% ${isDark() ? 65 : 38}%)`;
    return { borderColor: stroke, backgroundColor: stroke, pointStyle: forms[place % forms.length] };
  };

  const axis = (title, extra) => ({
    title: { display: title !== "", text: title, color: colour("muted"), font },
    ticks: { color: colour("muted"), font, maxRotation: 0 },
    grid: { color: colour("grid") },
    border: { color: colour("line") },
    ...extra,
  });

  // Of a logarithmic axis only 1, 2 and 5 and their tens are labelled.
  const label = (value) => ([1, 2, 5].includes(Number(value.toExponential().split("e")[0])) ? plain(value) : "");

  const draw = (canvas) => {
    if (Chart.getChart(canvas)) return;
    const { cases } = data.scenarios[Number(canvas.dataset.scenario)];
    const { metric } = canvas.dataset;
    new Chart(canvas, {
      type: "line",
      data: {
        labels: data.labels,
        datasets: cases.map((one, place) => ({
          label: one.case.slice(one.case.indexOf("/") + 1),
          data: one[metric],
          spanGaps: false,
          borderWidth: 2,
          pointRadius: 5,
          ...look(place, cases.length),
        })),
      },
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        interaction: { mode: "nearest", intersect: false },
        scales: {
          x: axis("", { offset: true }),
          y: axis("", { type: "logarithmic", ticks: { ...axis("").ticks, callback: label }, grace: "5%" }),
        },
        plugins: {
          legend: { position: "bottom", labels: { color: colour("text"), font, usePointStyle: true, boxHeight: 7 } },
          tooltip: {
            callbacks: {
              title: ([item]) => data.labels[item.dataIndex].join(", "),
              label: (item) => `${item.dataset.label}: ${plain(item.parsed.y)} ${metric === "p95_latency" ? "ms" : "req/s"}`,
            },
          },
        },
      },
    });
  };
  const redraw = () => {
    for (const canvas of canvases) {
      Chart.getChart(canvas)?.destroy();
      draw(canvas);
    }
  };

  for (const canvas of canvases) draw(canvas);
  dark.addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    root.classList.add("paper");
    redraw();
  });
  addEventListener("afterprint", () => {
    root.classList.remove("paper");
    redraw();
  });
})();
