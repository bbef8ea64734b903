"use strict";
// Draws the charts of every page but the run report's: each <canvas data-plot="N"> shows data.plots[N], as
// benchkit.report.plots describes it. What a chart shows is decided there; here it is only placed.
(() => {
  const { plots } = JSON.parse(document.querySelector("script#data").textContent);

  const BAR_PIXELS = 13;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const plain = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };

  const axis = (title, extra) => ({
    title: { display: Boolean(title), text: title, color: colour("muted"), font },
    border: { color: colour("line") },
    ...extra,
    grid: { color: colour("grid"), ...extra?.grid },
    ticks: { color: colour("muted"), font, maxRotation: 0, autoSkipPadding: 12, ...extra?.ticks },
  });

  // Vertical lines with a label, for what happened at a place; a label steps down a row where it would lie on another.
  const marksPlugin = {
    id: "marks",
    afterDatasetsDraw(chart, _, { marks }) {
      const { ctx, chartArea, scales } = chart;
      let end = -Infinity;
      let row = 0;
      ctx.save();
      ctx.font = `600 12px ${font.family}`;
      ctx.textBaseline = "top";
      ctx.lineWidth = 1.5;
      ctx.setLineDash([5, 3]);
      for (const { at, label, tone } of marks) {
        const x = scales.x.getPixelForValue(at);
        const width = ctx.measureText(label).width;
        const left = Math.max(chartArea.left, Math.min(x + 5, chartArea.right - width - 3));
        row = left < end ? row + 1 : 0;
        end = Math.max(end, left + width + 6);
        ctx.strokeStyle = colour(tone);
        ctx.beginPath();
        ctx.moveTo(x, chartArea.top);
        ctx.lineTo(x, chartArea.bottom);
        ctx.stroke();
        ctx.fillStyle = colour("page");
        ctx.fillRect(left - 2, chartArea.top + 1 + row * 17, width + 4, 16);
        ctx.fillStyle = colour(tone);
        ctx.fillText(label, left, chartArea.top + 3 + row * 17);
      }
      ctx.restore();
    },
  };

  // Whiskers from low to high at each point that has an interval.
  const intervalsPlugin = {
    id: "intervals",
    afterDatasetsDraw(chart) {
      const { ctx, scales } = chart;
      chart.data.datasets.forEach((set, number) => {
        const scale = scales[set.yAxisID];
        ctx.save();
        ctx.strokeStyle = chart.config.type === "bar" ? colour("text") : set.borderColor;
        ctx.lineWidth = 1.5;
        chart.getDatasetMeta(number).data.forEach((point, place) => {
          const ends = set.intervals?.[place];
          if (!ends || point.skip) return;
          const [low, high] = ends.map((value) => scale.getPixelForValue(value));
          ctx.beginPath();
          ctx.moveTo(point.x, low);
          ctx.lineTo(point.x, high);
          for (const y of [low, high]) {
            ctx.moveTo(point.x - 4, y);
            ctx.lineTo(point.x + 4, y);
          }
          ctx.stroke();
        });
        ctx.restore();
      });
    },
  };

  const dataset = (plot, one) => {
    const stroke = colour(one.colour);
    const shared = {
      label: one.label,
      data: one.values,
      backgroundColor: stroke,
      borderColor: stroke,
      intervals: one.intervals,
    };
    if (plot.kind === "bars") {
      const value = plot.horizontal ? { xAxisID: "x", yAxisID: "y" } : { yAxisID: one.axis };
      return { ...shared, ...value, categoryPercentage: 0.8, barPercentage: 0.92, minBarLength: 1 };
    }
    return {
      ...shared,
      type: "line",
      yAxisID: one.axis,
      showLine: one.line,
      spanGaps: one.dots === "none",
      borderWidth: 2,
      borderDash: one.dashed ? [6, 4] : [],
      pointRadius: { none: 0, small: 2.5, large: 4 }[one.dots],
      pointStyle: one.hollow ? "rectRot" : "circle",
      pointHoverRadius: 5,
      tension: 0,
    };
  };

  const ends = (plot, name) =>
    plot.series
      .filter((one) => one.axis === name)
      .flatMap((one) => (one.intervals ?? []).filter(Boolean).flat());
  const valueAxis = (plot, name) => {
    const within = ends(plot, name);
    return {
      beginAtZero: plot.from_zero,
      grace: plot.from_zero ? 0 : "15%",
      ...(within.length ? { suggestedMin: Math.min(...within), suggestedMax: Math.max(...within) } : {}),
    };
  };

  const settings = (plot) => {
    const numbers = plot.labels === null; // then values are pairs
    const across = axis(plot.x, {
      type: numbers ? "linear" : "category",
      grid: { display: numbers },
      ticks: { autoSkip: plot.kind !== "bars" || !plot.horizontal },
    });
    if (numbers) across.ticks.callback = (value) => plain(value);
    const long = (label) => (label.length > 30 ? `${label.slice(0, 29)}…` : label);
    const scales = plot.horizontal
      ? {
          x: axis(plot.y, { ...valueAxis(plot, "y"), position: "bottom" }),
          y: axis("", {
            grid: { display: false },
            ticks: { autoSkip: false, crossAlign: "far", callback: (_, place) => long(plot.labels[place]) },
          }),
        }
      : { x: across, y: axis(plot.y, valueAxis(plot, "y")) };
    if (plot.right) scales.right = axis(plot.right, { ...valueAxis(plot, "right"), position: "right", grid: { drawOnChartArea: false } });
    return {
      type: plot.kind === "bars" ? "bar" : "line",
      data: { labels: plot.labels ?? undefined, datasets: plot.series.map((one) => dataset(plot, one)) },
      plugins: [intervalsPlugin, marksPlugin],
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        indexAxis: plot.horizontal ? "y" : "x",
        interaction: numbers ? { mode: "nearest", intersect: false } : { mode: "index", axis: plot.horizontal ? "y" : "x", intersect: false },
        scales,
        plugins: {
          legend: { display: false },
          marks: { marks: plot.marks },
          tooltip: {
            callbacks: {
              title: ([item]) => (numbers ? `${plot.x} ${plain(item.parsed.x)}` : plot.labels[item.dataIndex]),
              label: (item) => {
                const value = plain(plot.horizontal ? item.parsed.x : item.parsed.y);
                const interval = item.dataset.intervals?.[item.dataIndex];
                const between = interval ? ` (${plain(Math.min(...interval))} to ${plain(Math.max(...interval))})` : "";
                return `${item.dataset.label}: ${value}${between}`;
              },
            },
          },
        },
      },
    };
  };

  const draw = (canvas) => {
    const plot = plots[canvas.dataset.plot];
    if (plot.horizontal) {
      const height = plot.labels.length * (plot.series.length * BAR_PIXELS + 8) + 60;
      canvas.parentElement.style.height = `${Math.max(height, 110)}px`;
    }
    new Chart(canvas, settings(plot));
  };

  livePage({ canvases: "canvas[data-plot]", draw });
})();
