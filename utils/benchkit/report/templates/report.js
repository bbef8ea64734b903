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
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const plain = (value) => (value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };

  const axis = (title, extra) => ({
    title: { display: true, text: title, color: colour("muted"), font },
    ticks: { color: colour("muted"), font, maxRotation: 0, autoSkipPadding: 12 },
    grid: { color: colour("grid") },
    border: { color: colour("line") },
    ...extra,
  });

  const common = () => ({
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    normalized: true,
    interaction: { mode: "index", intersect: false },
  });

  // Round numbers for a logarithmic axis: 1-2-5, finer where the axis spans less than that shows.
  const logarithmicTicks = (low, high) => {
    for (const steps of [[1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        for (const step of steps) {
          const value = Number((step * 10 ** power).toPrecision(3));
          if (value >= low && value <= high) found.push({ value });
        }
      }
      if (found.length > 3) return found;
    }
    return [0, 1, 2, 3, 4].map((part) => ({ value: Number((low * (high / low) ** (part / 4)).toPrecision(3)) }));
  };

  // Vertical lines with a name, for percentiles; a label steps down a row where it would lie on the one before.
  const marksPlugin = {
    id: "marks",
    afterDatasetsDraw(chart, _, { marks }) {
      const { ctx, chartArea, scales } = chart;
      let end = -Infinity;
      let row = 0;
      ctx.save();
      ctx.font = `600 12px ${font.family}`;
      ctx.textBaseline = "top";
      for (const [label, value] of marks) {
        const x = scales.x.getPixelForValue(value);
        const width = ctx.measureText(label).width;
        const left = Math.min(x + 4, chartArea.right - width);
        row = left < end ? row + 1 : 0;
        end = left + width + 4;
        ctx.strokeStyle = colour("curve");
        ctx.lineWidth = 1.5;
        ctx.setLineDash([4, 3]);
        ctx.beginPath();
        ctx.moveTo(x, chartArea.top);
        ctx.lineTo(x, chartArea.bottom);
        ctx.stroke();
        ctx.fillStyle = colour("page");
        ctx.fillRect(left - 2, chartArea.top + 2 + row * 16, width + 4, 15);
        ctx.fillStyle = colour("curve");
        ctx.fillText(label, left, chartArea.top + 4 + row * 16);
      }
      ctx.restore();
    },
  };

  // Bars whose sides lie at the bins' edges, on the logarithmic axis.
  const binsPlugin = {
    id: "bins",
    beforeDatasetsDraw(chart, _, { edges, heights }) {
      const { ctx, scales } = chart;
      const floor = scales.y.getPixelForValue(0);
      ctx.save();
      ctx.fillStyle = colour("bar");
      heights.forEach((height, bin) => {
        const left = scales.x.getPixelForValue(edges[bin]);
        const width = scales.x.getPixelForValue(edges[bin + 1]) - left;
        const top = scales.y.getPixelForValue(height);
        ctx.fillRect(left, top, Math.max(width - Math.min(1, width / 4), 0.5), floor - top);
      });
      ctx.restore();
    },
  };

  const distribution = ({ edges, counts, heights, marks }) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const low = edges[0];
    const high = edges[edges.length - 1];
    return {
      type: "line",
      // The points carry the tooltips; the bins themselves are drawn by the plugin.
      data: {
        datasets: [
          {
            data: heights.map((height, bin) => ({ x: Math.sqrt(edges[bin] * edges[bin + 1]), y: height })),
            borderWidth: 0,
            pointRadius: 0,
            pointHoverRadius: 4,
            pointHoverBackgroundColor: colour("text"),
          },
        ],
      },
      plugins: [binsPlugin, marksPlugin],
      options: {
        ...common(),
        scales: {
          x: axis("latency, ms", {
            type: "logarithmic",
            min: low,
            max: high,
            afterBuildTicks: (scale) => {
              scale.ticks = logarithmicTicks(low, high);
            },
            ticks: { ...axis("").ticks, callback: (value) => plain(value) },
          }),
          y: axis("% per 10 % of latency", { beginAtZero: true, grace: "12%" }),
        },
        plugins: {
          legend: { display: false },
          bins: { edges, heights },
          marks: { marks },
          tooltip: {
            displayColors: false,
            callbacks: {
              title: ([item]) => `${plain(edges[item.dataIndex])} – ${plain(edges[item.dataIndex + 1])} ms`,
              label: ({ dataIndex }) =>
                `${counts[dataIndex]} of ${total} successes (${plain((100 * counts[dataIndex]) / total)} %)`,
            },
          },
        },
      },
    };
  };

  // All iterations of a case have the same axes, so that they can be compared by eye.
  const course = (whole, place) => {
    const one = whole.iterations[place];
    const rates = whole.iterations.flatMap((each) => each.ok.map((ok, slot) => ok + each.failed[slot]));
    const slowest = Math.max(0, ...whole.iterations.flatMap((each) => each.p95.filter((value) => value !== null)));
    const labels = Array.from({ length: whole.buckets }, (_, slot) => plain(slot * whole.bucket));
    const bars = { type: "bar", stack: "requests", yAxisID: "y", barPercentage: 1, categoryPercentage: 0.92, order: 2 };
    return {
      data: {
        labels,
        datasets: [
          { ...bars, label: "successes/s", data: one.ok, backgroundColor: colour("bar") },
          { ...bars, label: "failures/s", data: one.failed, backgroundColor: colour("failed") },
          {
            type: "line",
            label: "p95 ms",
            data: one.p95,
            yAxisID: "latency",
            borderColor: colour("curve"),
            backgroundColor: colour("curve"),
            borderWidth: 2,
            pointRadius: one.p95.length > 60 ? 0 : 2,
            order: 1,
          },
        ],
      },
      options: {
        ...common(),
        scales: {
          x: axis("seconds", { stacked: true, grid: { display: false } }),
          y: axis("requests/s", { stacked: true, beginAtZero: true, suggestedMax: Math.max(...rates) }),
          latency: axis("p95, ms", {
            position: "right",
            beginAtZero: true,
            suggestedMax: slowest,
            grid: { drawOnChartArea: false },
          }),
        },
        plugins: {
          legend: { display: false },
          tooltip: {
            callbacks: {
              title: ([item]) => `from ${item.label} s on`,
              label: (item) => `${item.dataset.label}: ${plain(item.parsed.y)}`,
            },
          },
        },
      },
    };
  };

  const differences = ({ labels, series }) => {
    const colours = ["bar-soft", "bar", "curve"];
    return {
      type: "bar",
      data: {
        labels,
        datasets: series.map(([label, values], place) => ({
          label,
          data: values,
          backgroundColor: colour(colours[place]),
          categoryPercentage: 0.6,
          barPercentage: 0.95,
        })),
      },
      options: {
        ...common(),
        scales: {
          x: axis("", { title: { display: false }, grid: { display: false } }),
          y: axis("added, ms", { beginAtZero: true }),
        },
        plugins: {
          legend: { display: false },
          tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${plain(item.parsed.y)} ms` } },
        },
      },
    };
  };

  const draw = (canvas) => {
    if (Chart.getChart(canvas)) return;
    const { chart, case: index, place } = canvas.dataset;
    const make = {
      distribution: () => distribution(data.cases[index].distribution),
      course: () => course(data.cases[index].course, place),
      differences: () => differences(data.differences),
    };
    new Chart(canvas, make[chart]());
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
