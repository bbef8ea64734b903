"use strict";
// The report over all profiles: a line for each case, over the profiles.
(() => {
  const data = JSON.parse(document.querySelector("script#data").textContent);
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

  // A logarithmic axis with some room around its points, and round numbers: 1-2-5, finer where that are too few.
  const logarithmic = (values) => {
    const low = Math.min(...values) / 1.25;
    const high = Math.max(...values) * 1.25;
    const ticks = [];
    for (const steps of [[1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]]) {
      if (ticks.length > 2) break;
      ticks.length = 0;
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        for (const step of steps) ticks.push(Number((step * 10 ** power).toPrecision(3)));
      }
      ticks.splice(0, ticks.length, ...ticks.filter((value) => value >= low && value <= high));
    }
    return {
      type: "logarithmic",
      min: low,
      max: high,
      afterBuildTicks: (scale) => {
        scale.ticks = ticks.map((value) => ({ value }));
      },
      ticks: { ...axis("").ticks, callback: plain },
    };
  };

  const draw = (canvas) => {
    const { cases } = data.scenarios[Number(canvas.dataset.scenario)];
    const { metric } = canvas.dataset;
    const values = cases.flatMap((one) => one[metric]).filter((value) => value > 0);
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
          y: values.length ? axis("", logarithmic(values)) : axis("", { beginAtZero: true }),
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

  livePage({ canvases: "canvas[data-scenario]", draw });
})();
