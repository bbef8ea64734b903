"use strict";
// Draws the plots that benchkit.report.charts describes with Chart.js. That module decides what a chart shows.
const chartOf = (() => {
  const BAR_PIXELS = 13;
  const LEFT_AXIS = 64; // width for plots over a run's time, so that their time axes line up
  const DOTS = { none: 0, small: 2.5, large: 4 };

  // A colour of the styles, or a hue with the lightness that the styles set.
  const colour = (name) => {
    const of = (one) => getComputedStyle(document.documentElement).getPropertyValue(`--${one}`).trim();
    return name.startsWith("hue-") ? `hsl(${name.slice(4)} 60% ${of("hue-lightness")})` : of(name);
  };
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };

  // Three significant digits, and all digits before the point; grouped from five digits on, as in the tables.
  const plain = (value) => {
    const size = Math.abs(value);
    const digits = size < 100 ? String(Number(size.toPrecision(3))) : size.toFixed(0);
    const grouped = size < 10000 ? digits : digits.replace(/\B(?=(\d{3})+$)/g, "\u202f");
    return value < 0 ? `\u2212${grouped}` : grouped;
  };
  const clock = (seconds) => {
    const two = (value) => String(value).padStart(2, "0");
    const whole = Math.round(seconds);
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };
  const shortened = (label, most) => (label.length > most ? `${label.slice(0, most - 1)}…` : label);

  // --- axes ---------------------------------------------------------------------------------------------------------

  const axis = (title, extra) => ({
    title: { display: Boolean(title), text: title, color: colour("muted"), font },
    border: { color: colour("line") },
    ...extra,
    grid: { color: colour("grid"), ...extra?.grid },
    ticks: { color: colour("muted"), font, maxRotation: 0, autoSkipPadding: 12, ...extra?.ticks },
  });

  // Ticks of a logarithmic axis: 1-2-5, or finer if the axis is too short for them.
  const roundNumbers = (low, high) => {
    for (const steps of [[1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        for (const step of steps) {
          const value = Number((step * 10 ** power).toPrecision(3));
          if (value >= low && value <= high) found.push(value);
        }
      }
      if (found.length > 3) return found;
    }
    return [0, 1, 2, 3, 4].map((part) => Number((low * (high / low) ** (part / 4)).toPrecision(3)));
  };
  // Labels of a percentile axis; its values are 1 / (1 - p).
  const percentiles = (high) =>
    (high <= 100 ? [50, 75, 90, 95, 99] : [50, 90, 99, 99.9])
      .map((percent) => Number((100 / (100 - percent)).toPrecision(6)))
      .filter((place) => place <= high);
  // At most eight ticks at round times.
  const moments = (high) => {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
    const step = steps.find((one) => high / one <= 8) ?? 28800;
    return Array.from({ length: Math.floor(high / step) + 1 }, (_, place) => place * step);
  };

  const SCALES = {
    linear: { type: "linear", text: plain },
    logarithmic: { type: "logarithmic", ticks: roundNumbers, text: plain },
    percentile: {
      type: "logarithmic",
      ticks: (_, high) => percentiles(high),
      text: (place) => `p${Number((100 - 100 / place).toFixed(2))}`,
    },
    clock: { type: "linear", ticks: (_, high) => moments(high), text: clock },
  };

  const numberAxis = ({ title, scale = "linear", low, high, reach, whole, from_zero = true, room = 0 }, extra) => {
    const { type, ticks, text } = SCALES[scale];
    return axis(title, {
      type,
      min: low,
      max: high,
      suggestedMax: reach,
      beginAtZero: from_zero,
      grace: `${room}%`,
      ...(ticks && {
        afterBuildTicks: (built) => {
          built.ticks = ticks(low, high).map((value) => ({ value }));
        },
      }),
      ...extra,
      ticks: { callback: text, autoSkip: scale !== "percentile", ...(whole && { precision: 0 }), ...extra?.ticks },
    });
  };

  // A value axis also covers the error bars of its series.
  const valueAxis = (plot, name, extra) => {
    const ends = plot.series
      .filter((one) => (one.axis ?? "y") === name)
      .flatMap((one) => (one.intervals ?? []).filter(Boolean).flat());
    const within = ends.length ? { suggestedMin: Math.min(...ends), suggestedMax: Math.max(...ends) } : {};
    return numberAxis(plot[name], { stacked: plot.stacked, ...within, ...extra });
  };

  const labelAxis = ({ kind, labels, horizontal, stacked, legend, x = {} }) => {
    const { title, every = 1 } = x;
    const text = (_, place) => (place % every ? null : labels[place]);
    const ticks = horizontal
      ? { autoSkip: false, crossAlign: "far", callback: (_, place) => shortened(labels[place], stacked ? 18 : 30) }
      : { autoSkip: every === 1, callback: text };
    const offset = kind === "bars" || legend === "inside";
    return axis(title, { type: "category", stacked, offset, grid: { display: false }, ticks });
  };

  const scalesOf = (plot) => {
    const right = plot.right && {
      right: valueAxis(plot, "right", { stacked: false, position: "right", grid: { drawOnChartArea: false } }),
    };
    if (plot.horizontal) return { x: valueAxis(plot, "y", { position: "bottom" }), y: labelAxis(plot) };
    const y = plot.timed
      ? valueAxis(plot, "y", {
          afterFit: (scale) => {
            scale.width = LEFT_AXIS;
          },
        })
      : valueAxis(plot, "y");
    return { x: plot.labels ? labelAxis(plot) : numberAxis(plot.x ?? {}, { beginAtZero: false }), y, ...right };
  };

  // --- marks, error bars and spans ---------------------------------------------------------------------------------

  // Vertical lines with a label; a label that would overlap another moves down a row.
  const marks = (chart, all) => {
    const { ctx, chartArea, scales } = chart;
    let end = -Infinity;
    let row = 0;
    ctx.font = `600 12px ${font.family}`;
    ctx.textBaseline = "top";
    ctx.lineWidth = 1.5;
    ctx.setLineDash([5, 3]);
    for (const one of all) {
      const x = scales.x.getPixelForValue(one.at);
      const width = ctx.measureText(one.label).width;
      const left = Math.max(chartArea.left, Math.min(x + 5, chartArea.right - width - 3));
      row = left < end ? row + 1 : 0;
      end = Math.max(end, left + width + 6);
      ctx.strokeStyle = colour(one.colour);
      ctx.beginPath();
      ctx.moveTo(x, chartArea.top);
      ctx.lineTo(x, chartArea.bottom);
      ctx.stroke();
      ctx.fillStyle = colour("page");
      ctx.fillRect(left - 2, chartArea.top + 1 + row * 17, width + 4, 16);
      ctx.fillStyle = colour(one.colour);
      ctx.fillText(one.label, left, chartArea.top + 3 + row * 17);
    }
  };

  // Error bars from low to high at each point that has an interval.
  const whiskers = (chart) => {
    const { ctx, scales } = chart;
    ctx.lineWidth = 1.5;
    chart.data.datasets.forEach((set, number) => {
      ctx.strokeStyle = set.type === "bar" ? colour("text") : set.borderColor;
      chart.getDatasetMeta(number).data.forEach((point, place) => {
        const ends = set.intervals?.[place];
        if (!ends || point.skip) return;
        const [low, high] = ends.map((value) => scales[set.yAxisID].getPixelForValue(value));
        ctx.beginPath();
        ctx.moveTo(point.x, low);
        ctx.lineTo(point.x, high);
        for (const y of [low, high]) {
          ctx.moveTo(point.x - 4, y);
          ctx.lineTo(point.x + 4, y);
        }
        ctx.stroke();
      });
    });
  };

  // A box between two x positions, with a narrow gap to the next box.
  const box = ({ ctx, scales, chartArea }, from, to, top = chartArea.top, floor = chartArea.bottom) => {
    const [left, right] = [from, to].map((value) => scales.x.getPixelForValue(value));
    const width = Math.max(right - left - Math.min(1, (right - left) / 4), 0.5);
    ctx.fillRect(left, top, width, floor - top);
    return { left, width };
  };

  const bins = (chart, { edges, series }) => {
    chart.ctx.fillStyle = colour("bar");
    series[0].values.forEach(([, height], bin) => {
      box(chart, edges[bin], edges[bin + 1], chart.scales.y.getPixelForValue(height));
    });
  };

  const shades = (chart, spans) => {
    chart.ctx.fillStyle = colour("shade");
    for (const { start, end } of spans) box(chart, start, end);
  };

  // Adjacent boxes of one scenario share its name above them; a case's own name is inside its box if it fits.
  const load = (chart, spans) => {
    const { ctx, chartArea, scales } = chart;
    const floor = scales.y.getPixelForValue(0);
    ctx.textBaseline = "middle";
    ctx.textAlign = "center";
    ctx.font = `11px ${font.family}`;
    for (const { start, end, rate, label } of spans) {
      const top = rate === null ? chartArea.top : scales.y.getPixelForValue(rate);
      ctx.fillStyle = colour(rate === null ? "shade" : "bar");
      const { left, width } = box(chart, start, end, top, floor);
      const above = floor - top < 18;
      if (ctx.measureText(label).width < width - 6) {
        ctx.fillStyle = colour(rate === null || above ? "text" : "page");
        ctx.fillText(label, left + width / 2, above ? top - 8 : floor - 9);
      }
    }
    ctx.font = `600 12px ${font.family}`;
    ctx.fillStyle = colour("muted");
    ctx.strokeStyle = colour("line");
    for (let first = 0; first < spans.length; ) {
      let next = first;
      while (next < spans.length && spans[next].scenario === spans[first].scenario) next += 1;
      const [left, right] = [spans[first].start, spans[next - 1].end].map((one) => scales.x.getPixelForValue(one));
      ctx.beginPath();
      ctx.moveTo(left, chartArea.top - 3);
      ctx.lineTo(right, chartArea.top - 3);
      ctx.stroke();
      if (ctx.measureText(spans[first].scenario).width < right - left) {
        ctx.fillText(spans[first].scenario, (left + right) / 2, chartArea.top - 12);
      }
      first = next;
    }
  };

  const hooked = (id, draw) => ({
    id,
    [id](chart) {
      chart.ctx.save();
      draw(chart);
      chart.ctx.restore();
    },
  });
  const pluginsOf = (plot, time) => [
    hooked("beforeDatasetsDraw", (chart) => {
      if (plot.kind === "distribution") bins(chart, plot);
      else if (plot.kind === "load") load(chart, time.spans);
      else if (plot.timed) shades(chart, time.spans);
    }),
    hooked("afterDatasetsDraw", (chart) => {
      whiskers(chart);
      marks(chart, plot.marks ?? []);
    }),
  ];

  // --- the chart ----------------------------------------------------------------------------------------------------

  const dataset = (plot, one, time) => {
    const type = one.kind || (plot.kind === "bars" ? "bar" : "line");
    const stroke = colour(one.colour);
    const axes = plot.horizontal ? {} : { yAxisID: one.axis ?? "y" };
    const shared = {
      type,
      label: one.label,
      ...axes,
      data:
        plot.timed && plot.kind === "lines"
          ? one.values.map((value, place) => ({ x: time.at[place], y: value }))
          : one.values,
      backgroundColor: one.hollow ? colour("page") : stroke,
      borderColor: one.colour === "machine" ? colour("muted") : stroke,
      intervals: one.intervals,
    };
    if (type === "bar") {
      const parted = plot.stacked && plot.horizontal ? { borderColor: colour("page"), borderWidth: { right: 1 } } : {};
      return {
        ...shared,
        ...parted,
        categoryPercentage: plot.stacked && !plot.horizontal ? 0.92 : 0.8,
        barPercentage: plot.stacked && !plot.horizontal ? 1 : 0.92,
        maxBarThickness: plot.horizontal ? 36 : 72,
        minBarLength: plot.stacked ? 0 : 1,
        order: 3,
      };
    }
    const { line = true, dots = "large", form = "circle", dash = [], width = 2 } = one;
    return {
      ...shared,
      showLine: line,
      spanGaps: dots === "none" && !plot.timed && !plot.stacked,
      fill: one.filled ? "origin" : false,
      stepped: one.stepped ? "before" : false,
      borderWidth: plot.timed && width === 2 && time.at.length > 300 ? 1.5 : width,
      borderDash: dash,
      pointRadius: DOTS[dots],
      pointStyle: form,
      pointHoverRadius: one.silent ? 0 : Math.max(4, DOTS[dots] + 1),
      tension: 0,
      order: one.filled || one.silent ? 3 : line ? 2 : 1,
    };
  };

  // The tooltip of a point: its heading, and a line for each series there.
  const tips = (plot, time) => {
    const texts = SCALES[plot.x?.scale ?? "linear"].text;
    const heading = ({ dataIndex, parsed }) => {
      if (plot.titles) return plot.titles[dataIndex];
      if (plot.kind === "load") return time.spans[dataIndex].title.split(", ");
      if (plot.timed) {
        const under = time.spans.find(({ start, end }) => start <= parsed.x && parsed.x <= end);
        return [clock(parsed.x), ...(under ? [under.title] : [])];
      }
      const x = plot.labels ? [plot.labels[dataIndex]].flat().join(", ") : texts(parsed.x);
      return (plot.point ?? "{x}").replace("{x}", () => x);
    };
    const label = ({ dataIndex, datasetIndex, parsed }) => {
      const { label: name, notes, unit = "", intervals } = plot.series[datasetIndex];
      const interval = intervals?.[dataIndex];
      const between = interval ? ` (${plain(Math.min(...interval))} to ${plain(Math.max(...interval))})` : "";
      const value = notes?.[dataIndex] ?? `${plain(plot.horizontal ? parsed.x : parsed.y)}${unit}${between}`;
      if (plot.kind === "load") {
        const { start, end } = time.spans[dataIndex];
        return `${clock(start)} – ${clock(end)}: ${value}`;
      }
      return name ? `${name}: ${value}` : value;
    };
    return {
      displayColors: plot.series.length > 1 && plot.legend !== "none",
      filter: ({ datasetIndex }) => !plot.series[datasetIndex].silent,
      callbacks: { title: ([item]) => (item ? heading(item) : ""), label },
    };
  };

  const settings = (plot, time) => {
    const along = plot.horizontal ? "y" : "x";
    const pointwise = plot.legend === "inside" || (plot.kind === "lines" && !plot.labels && !plot.timed && !plot.titles);
    return {
      type: plot.kind === "bars" ? "bar" : "line",
      data: { labels: plot.labels, datasets: plot.series.map((one) => dataset(plot, one, time)) },
      plugins: pluginsOf(plot, time),
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        indexAxis: along,
        interaction: pointwise ? { mode: "nearest", intersect: false } : { mode: "index", axis: along, intersect: false },
        layout: { padding: { top: plot.kind === "load" ? 24 : 0, right: plot.timed ? 8 : 0 } },
        scales: scalesOf(plot),
        plugins: {
          legend: {
            display: plot.legend === "inside",
            position: "bottom",
            labels: { color: colour("text"), font, usePointStyle: true, boxHeight: 7 },
          },
          tooltip: tips(plot, time),
        },
      },
    };
  };

  return (canvas, given, time) => {
    const [slots, step] = given.slots ?? [];
    const labels = given.labels ?? (slots && Array.from({ length: slots }, (_, slot) => plain(slot * step)));
    const plot = { ...given, labels };
    if (plot.horizontal && !plot.stacked) {
      const height = plot.labels.length * (plot.series.length * BAR_PIXELS + 8) + 60;
      canvas.parentElement.style.height = `${Math.max(height, 110)}px`;
    }
    return new Chart(canvas, settings(plot, time));
  };
})();
