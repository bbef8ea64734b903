"use strict";
// Draws the rounds over time: the latency of every request, and below it, on the same axis, what the gateway did.
(() => {
  const data = JSON.parse(document.querySelector("script#data").textContent);
  const style = () => getComputedStyle(document.documentElement);
  const LEFT = 62, RIGHT = 8, TOP = 8, BOTTOM = 26, GAP = 14;

  const steps = (largest, most) => {
    const rough = largest / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  };

  const draw = (canvas) => {
    const round = data.rounds[Number(canvas.dataset.course)];
    const width = canvas.parentElement.clientWidth, height = canvas.parentElement.clientHeight || 272;
    const scale = Math.max(1, window.devicePixelRatio || 1);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const colours = style();
    const colour = (name) => colours.getPropertyValue(`--${name}`).trim();
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;

    const plotWidth = width - LEFT - RIGHT;
    const upper = Math.round((height - TOP - BOTTOM - GAP) * 0.6);
    const lowerTop = TOP + upper + GAP, lower = height - BOTTOM - lowerTop;
    const buckets = round.shares.length ? round.shares[0][1].length : 1;
    const end = Math.max(buckets * round.bucket, ...round.points.map((point) => point[0] + point[1] / 1000));
    const slowest = Math.max(1, ...round.points.map((point) => point[1]));
    const x = (seconds) => LEFT + (seconds / end) * plotWidth;
    const y = (ms) => TOP + upper - (ms / slowest) * upper;

    context.fillStyle = colour("warn-back");
    for (const [at, ms] of round.stalls) {
      context.fillRect(x(at), TOP, Math.max(1, x(at + ms / 1000) - x(at)), height - TOP - BOTTOM);
    }

    context.fillStyle = colour("muted");
    context.textBaseline = "middle";
    context.textAlign = "right";
    const msStep = steps(slowest, 4);
    for (let ms = 0; ms <= slowest; ms += msStep) {
      context.fillStyle = colour("grid");
      context.fillRect(LEFT, Math.round(y(ms)), plotWidth, 1);
      context.fillStyle = colour("muted");
      context.fillText(`${Number(ms.toPrecision(3))}`, LEFT - 6, y(ms));
    }
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillText("ms", 4, TOP);
    context.textAlign = "center";
    const secondStep = steps(end, Math.max(2, Math.floor(plotWidth / 90)));
    for (let second = 0; second <= end; second += secondStep) {
      context.fillText(`${Number(second.toPrecision(4))} s`, Math.min(x(second), width - 22), height - BOTTOM + 8);
    }

    // A fully busy thread fills half of the height; more than two at once are cut off.
    const most = 2 * round.bucket;
    const full = lowerTop + lower / 2;
    context.fillStyle = colour("grid");
    context.fillRect(LEFT, full, plotWidth, 1);
    context.fillStyle = colour("muted");
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText("1 thread", LEFT - 6, full);
    const base = new Float64Array(buckets);
    for (const [category, row] of round.shares) {
      context.fillStyle = colour(`c-${category}`);
      row.forEach((seconds, number) => {
        if (!seconds) return;
        const tall = Math.min((seconds / most) * lower, lower - base[number]);
        const from = x(number * round.bucket), to = x(Math.min(end, (number + 1) * round.bucket));
        context.fillRect(from, lowerTop + lower - base[number] - tall, Math.max(0.5, to - from + 0.3), tall);
        base[number] += tall;
      });
    }
    context.fillStyle = colour("muted");
    context.fillRect(LEFT, lowerTop + lower, plotWidth, 0.75);

    for (const slow of [0, 1]) {
      context.fillStyle = slow ? colour("failed") : colour("bar-soft");
      for (const [at, ms, kind] of round.points) {
        if (kind !== slow) continue;
        context.beginPath();
        context.arc(x(at), y(ms), slow ? 3.2 : 1.8, 0, 7);
        context.fill();
      }
    }
    canvas.dataset.drawn = String(round.points.length);
  };

  const canvases = [...document.querySelectorAll("canvas[data-course]")];
  const drawAll = () => canvases.forEach(draw);
  let wide = 0;
  new ResizeObserver(() => {
    if (document.documentElement.clientWidth === wide) return;
    wide = document.documentElement.clientWidth;
    drawAll();
  }).observe(document.documentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  for (const moment of ["beforeprint", "afterprint"]) addEventListener(moment, drawAll);
})();
