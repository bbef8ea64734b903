"use strict";
// The charts of a run's report: from the page's data to what Chart.js draws. Nothing here knows the page.
const reportCharts = (() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Three digits, and those before the point all; grouped from five on, as in the tables.
  const plain = (value) => {
    const size = Math.abs(value);
    const digits = size < 100 ? String(Number(size.toPrecision(3))) : size.toFixed(0);
    const grouped = size < 10000 ? digits : digits.replace(/\B(?=(\d{3})+$)/g, "\u202f");
    return value < 0 ? `\u2212${grouped}` : grouped;
  };
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
  const largest = (values) => values.reduce((most, value) => Math.max(most, value ?? 0), 0);

  const axis = (title, extra) => ({
    title: { display: true, text: title, color: colour("muted"), font },
    grid: { color: colour("grid") },
    border: { color: colour("line") },
    ...extra,
    ticks: { color: colour("muted"), font, maxRotation: 0, autoSkipPadding: 12, ...extra?.ticks },
  });

  const valueAxis = (title, extra) =>
    axis(title, { beginAtZero: true, ...extra, ticks: { callback: (value) => plain(value), ...extra?.ticks } });

  const common = () => ({
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    normalized: true,
    interaction: { mode: "index", intersect: false },
  });

  // A second axis, on the right, for latencies beside throughput.
  const latencyAxis = (most) =>
    valueAxis("ms", { position: "right", suggestedMax: most, grid: { drawOnChartArea: false } });

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

  // --- latency ------------------------------------------------------------------------------------------------------

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
            ticks: { callback: (value) => plain(value) },
          }),
          y: valueAxis("% per 10 % of latency", { grace: "12%" }),
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

  // Each further nine takes as much of the axis as the one before: x is 1 / (1 - p).
  const curve = ({ percent, pooled, iterations }) => {
    const place = (value) => Number((100 / (100 - value)).toPrecision(6));
    const points = (values) => values.map((value, at) => ({ x: place(percent[at]), y: value }));
    const end = place(percent[percent.length - 1]);
    const line = { pointRadius: 0, tension: 0 };
    return {
      type: "line",
      data: {
        datasets: [
          {
            ...line,
            data: points(pooled),
            borderColor: colour("bar"),
            backgroundColor: colour("bar"),
            borderWidth: 2.5,
            pointHoverRadius: 4,
            order: 0,
          },
          ...iterations
            .filter((values) => values.length)
            .map((values) => ({
              ...line,
              data: points(values),
              borderColor: colour("bar-soft"),
              borderWidth: 1,
              pointHoverRadius: 0,
              order: 1,
            })),
        ],
      },
      options: {
        ...common(),
        scales: {
          x: axis("percentile", {
            type: "logarithmic",
            min: 1,
            max: end,
            afterBuildTicks: (scale) => {
              const short = percent[percent.length - 1] <= 99;
              scale.ticks = (short ? [50, 75, 90, 95, 99] : [50, 90, 99, 99.9])
                .map((value) => ({ value: place(value) }))
                .filter(({ value }) => value <= end);
            },
            ticks: { autoSkip: false, callback: (value) => `p${Number((100 - 100 / value).toFixed(2))}` },
          }),
          y: valueAxis("latency, ms"),
        },
        plugins: {
          legend: { display: false },
          tooltip: {
            displayColors: false,
            filter: ({ datasetIndex }) => datasetIndex === 0,
            callbacks: {
              title: ([item]) => (item ? `p${percent[item.dataIndex]}` : ""),
              label: (item) => `${plain(item.parsed.y)} ms`,
            },
          },
        },
      },
    };
  };

  // --- over time ----------------------------------------------------------------------------------------------------

  // All iterations of a case have the same axes, so that they can be compared by eye.
  const course = (whole, place) => {
    const one = whole.iterations[place];
    const rates = whole.iterations.flatMap((each) => each.ok.map((ok, slot) => ok + (each.failed[slot] ?? 0)));
    const labels = Array.from({ length: whole.buckets }, (_, slot) => plain(slot * whole.bucket));
    const every = [1, 2, 5, 10, 20, 50].find((slots) => whole.buckets / slots <= 8) ?? 100;
    const bars = { type: "bar", stack: "requests", yAxisID: "y", barPercentage: 1, categoryPercentage: 0.92, order: 3 };
    const line = { type: "line", yAxisID: "latency", borderColor: colour("curve"), borderWidth: 2 };
    return {
      data: {
        labels,
        datasets: [
          { ...bars, label: "successes/s", data: one.ok, backgroundColor: colour("bar") },
          ...(one.failed.length
            ? [{ ...bars, label: "failures/s", data: one.failed, backgroundColor: colour("failed") }]
            : []),
          {
            ...line,
            label: "p95 ms",
            data: one.p95,
            backgroundColor: colour("curve"),
            pointRadius: 0,
            order: 2,
          },
          {
            ...line,
            label: "slowest ms",
            data: one.slowest,
            showLine: false,
            borderWidth: 1.5,
            backgroundColor: colour("page"),
            pointRadius: 2.5,
            order: 1,
          },
        ],
      },
      options: {
        ...common(),
        scales: {
          x: axis("seconds", {
            stacked: true,
            grid: { display: false },
            ticks: { autoSkip: false, callback: (_, slot) => (slot % every ? null : labels[slot]) },
          }),
          y: valueAxis("requests/s", { stacked: true, suggestedMax: largest(rates) }),
          latency: latencyAxis(largest(whole.iterations.flatMap((each) => each.slowest))),
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

  const rounds = ({ rate, p50, p95 }) => {
    const line = {
      type: "line",
      yAxisID: "latency",
      borderColor: colour("curve"),
      backgroundColor: colour("curve"),
      borderWidth: 2,
      pointRadius: 3,
    };
    return {
      data: {
        labels: rate.map((_, place) => String(place + 1)),
        datasets: [
          { ...line, label: "p95 ms", data: p95 },
          { ...line, label: "p50 ms", data: p50, borderDash: [5, 3] },
          {
            type: "bar",
            label: "req/s",
            data: rate,
            backgroundColor: colour("bar"),
            yAxisID: "y",
            categoryPercentage: 0.7,
            maxBarThickness: 56,
            order: 1,
          },
        ],
      },
      options: {
        ...common(),
        scales: {
          x: axis("iteration", { grid: { display: false } }),
          y: valueAxis("req/s"),
          latency: latencyAxis(0),
        },
        plugins: {
          legend: { display: false },
          tooltip: {
            callbacks: {
              title: ([item]) => `iteration ${item.label}`,
              label: (item) => `${item.dataset.label}: ${plain(item.parsed.y)}`,
            },
          },
        },
      },
    };
  };

  const errors = ({ kinds, numbers }) => ({
    type: "bar",
    data: {
      labels: kinds,
      datasets: numbers[0].map((_, iteration) => ({
        label: `iteration ${iteration + 1}`,
        data: numbers.map((one) => one[iteration]),
        backgroundColor: colour("failed"),
        borderColor: colour("page"),
        borderWidth: { right: 1 },
        maxBarThickness: 36,
      })),
    },
    options: {
      ...common(),
      indexAxis: "y",
      interaction: { mode: "index", axis: "y", intersect: false },
      scales: {
        x: valueAxis("requests that failed", { stacked: true, ticks: { precision: 0 } }),
        y: axis("", {
          stacked: true,
          title: { display: false },
          grid: { display: false },
          ticks: {
            autoSkip: false,
            callback: (_, place) => (kinds[place].length > 18 ? `${kinds[place].slice(0, 17)}…` : kinds[place]),
          },
        }),
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          displayColors: false,
          filter: (item) => item.parsed.x > 0,
          callbacks: { label: (item) => `${item.dataset.label}: ${item.parsed.x}` },
        },
      },
    },
  });

  // --- one case against another -------------------------------------------------------------------------------------

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
          y: valueAxis("added, ms"),
        },
        plugins: {
          legend: { display: false },
          tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${plain(item.parsed.y)} ms` } },
        },
      },
    };
  };

  // --- the system ---------------------------------------------------------------------------------------------------

  const DASHES = { server: [7, 3], database: [2, 2], cache: [9, 3, 2, 3], monitor: [1, 3] };

  const clock = (seconds) => {
    const two = (value) => String(value).padStart(2, "0");
    const whole = Math.round(seconds);
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  // At most eight ticks on round times.
  const timeStep = (seconds) =>
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400].find((step) => seconds / step <= 8) ?? 28800;

  // The left axes of all charts of the section are equally wide, so that a moment has one place in all of them.
  const systemScales = ({ seconds }, title, extra) => ({
    x: axis("minutes and seconds after the start", {
      type: "linear",
      min: 0,
      max: seconds,
      afterBuildTicks: (scale) => {
        const step = timeStep(seconds);
        scale.ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, place) => ({ value: place * step }));
      },
      ticks: { callback: (value) => clock(value) },
    }),
    y: valueAxis(title, {
      ...extra,
      afterFit: (scale) => {
        scale.width = 64;
      },
    }),
  });

  const loadAt = ({ load }, moment) => load.find(({ start, end }) => start <= moment && moment <= end);

  const shadePlugin = {
    id: "shade",
    beforeDatasetsDraw(chart, _, { load }) {
      const { ctx, chartArea, scales } = chart;
      ctx.save();
      ctx.fillStyle = colour("shade");
      for (const { start, end } of load) {
        const left = scales.x.getPixelForValue(start);
        const width = scales.x.getPixelForValue(end) - left;
        ctx.fillRect(left, chartArea.top, Math.max(width - Math.min(1, width / 4), 0.5), chartArea.bottom - chartArea.top);
      }
      ctx.restore();
    },
  };

  // Neighbours of one scenario share its name above them; a case's own name stands in its bar where it fits.
  const loadPlugin = {
    id: "load",
    beforeDatasetsDraw(chart, _, { load }) {
      const { ctx, chartArea, scales } = chart;
      const at = (moment) => scales.x.getPixelForValue(moment);
      const floor = scales.y.getPixelForValue(0);
      ctx.save();
      ctx.textBaseline = "middle";
      ctx.textAlign = "center";
      for (const { start, end, rate, label } of load) {
        const [left, right] = [at(start), at(end)];
        const width = Math.max(right - left - Math.min(1, (right - left) / 4), 0.5);
        const top = rate === null ? chartArea.top : scales.y.getPixelForValue(rate);
        ctx.fillStyle = colour(rate === null ? "shade" : "bar");
        ctx.fillRect(left, top, width, floor - top);
        ctx.font = `11px ${font.family}`;
        const above = floor - top < 18;
        if (ctx.measureText(label).width < width - 6) {
          ctx.fillStyle = colour(rate === null || above ? "text" : "page");
          ctx.fillText(label, left + width / 2, above ? top - 8 : floor - 9);
        }
      }
      ctx.font = `600 12px ${font.family}`;
      ctx.fillStyle = colour("muted");
      ctx.strokeStyle = colour("line");
      for (let first = 0; first < load.length; ) {
        let next = first;
        while (next < load.length && load[next].scenario === load[first].scenario) next += 1;
        const [left, right] = [at(load[first].start), at(load[next - 1].end)];
        ctx.beginPath();
        ctx.moveTo(left, chartArea.top - 3);
        ctx.lineTo(right, chartArea.top - 3);
        ctx.stroke();
        if (ctx.measureText(load[first].scenario).width < right - left) {
          ctx.fillText(load[first].scenario, (left + right) / 2, chartArea.top - 12);
        }
        first = next;
      }
      ctx.restore();
    },
  };

  const load = (system) => ({
    type: "line",
    data: {
      datasets: [
        {
          data: system.load.map(({ start, end, rate }) => ({ x: (start + end) / 2, y: rate ?? 0 })),
          borderWidth: 0,
          pointRadius: 0,
          pointHoverRadius: 4,
          pointHoverBackgroundColor: colour("text"),
        },
      ],
    },
    plugins: [loadPlugin],
    options: {
      ...common(),
      layout: { padding: { top: 24, right: 8 } },
      scales: systemScales(system, "req/s"),
      plugins: {
        legend: { display: false },
        load: { load: system.load },
        tooltip: {
          displayColors: false,
          callbacks: {
            title: ([item]) => system.load[item.dataIndex].title.split(", "),
            label: ({ dataIndex }) => {
              const { start, end, rate } = system.load[dataIndex];
              return `${clock(start)} – ${clock(end)}: ${rate === null ? "no figure stands" : `${plain(rate)} req/s`}`;
            },
          },
        },
      },
    },
  });

  const tracks = (system, lines, title, unit, extra) => ({
    type: "line",
    data: {
      datasets: lines.map((line) => ({
        borderWidth: system.at.length > 300 ? 1.5 : 2,
        pointRadius: 0,
        pointHoverRadius: 3,
        ...line,
        data: line.values.map((value, place) => ({ x: system.at[place], y: value })),
      })),
    },
    plugins: [shadePlugin],
    options: {
      ...common(),
      layout: { padding: { right: 8 } },
      scales: systemScales(system, title, extra),
      plugins: {
        legend: { display: false },
        shade: { load: system.load },
        tooltip: {
          callbacks: {
            title: ([item]) => {
              const under = loadAt(system, item.parsed.x);
              return [clock(item.parsed.x), ...(under ? [under.title] : [])];
            },
            label: (item) => `${item.dataset.label}: ${plain(item.parsed.y)}${unit}`,
          },
        },
      },
    },
  });

  const component = ({ kind, name, values }) => ({
    label: name,
    values,
    borderColor: colour(kind === "machine" ? "muted" : `component-${kind}`),
    backgroundColor: colour(kind === "machine" ? "machine" : `component-${kind}`),
    borderDash: DASHES[kind] ?? [],
    ...(kind === "machine" ? { fill: "origin", borderWidth: 1, order: 1 } : {}),
  });

  const cpu = (system) => {
    const machine = system.cpu.some(({ kind }) => kind === "machine");
    const top = machine ? { max: 100 * system.cores } : { suggestedMax: 100 };
    return tracks(system, system.cpu.map(component), "% of one core", " %", top);
  };

  const memory = (system) => tracks(system, system.memory.map(component), "MiB", " MiB");

  const DATABASES = 5; // so many colours; then they begin again
  const connections = (system) => {
    const names = [...new Set(system.connections.map(({ name }) => name))];
    const most = largest(system.connections.flatMap(({ values }) => values));
    const lines = system.connections.map(({ kind, name, values }) => ({
      label: `${name}, ${kind}`,
      values,
      borderColor: colour(`database-${names.indexOf(name) % DATABASES}`),
      backgroundColor: colour(`database-${names.indexOf(name) % DATABASES}`),
      borderDash: kind === "idle" ? [2, 3] : [],
      stepped: "before",
    }));
    // A limit that is far away would press everything else to the floor.
    if (system.limit !== null && most > system.limit / 2) {
      lines.push({
        label: "limit",
        values: system.at.map(() => system.limit),
        borderColor: colour("failed"),
        backgroundColor: colour("failed"),
        borderWidth: 1,
        borderDash: [8, 4],
      });
    }
    return tracks(system, lines, "connections", "", { ticks: { precision: 0 } });
  };

  return { distribution, curve, course, rounds, errors, differences, load, cpu, memory, connections };
})();
