/* A line plot as SVG: both axes by powers, or both linear; the present point and some limits are marked. */
globalThis.calculatorPlot = (() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const ROOM = { left: 74, right: 14, top: 14, bottom: 44 };

  function element(name, attributes, ...children) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /* Powers of `base` inside a range, thinned to at most `most`. */
  function powers(low, high, base, most) {
    const first = Math.ceil(Math.log(low) / Math.log(base) - 1e-9);
    const last = Math.floor(Math.log(high) / Math.log(base) + 1e-9);
    const step = Math.max(1, Math.ceil((last - first + 1) / most));
    const ticks = [];
    for (let power = first; power <= last; power += step) ticks.push(base ** power);
    return ticks;
  }

  /* Round numbers inside a linear range; steps of 1, 2 or 5, or of powers of two for bytes and tokens. */
  function steps(low, high, binary, most) {
    const base = binary ? 2 : 10;
    const rough = (high - low) / most;
    const power = base ** Math.floor(Math.log(rough) / Math.log(base));
    const step = (binary ? [1, 2] : [1, 2, 5, 10]).map((by) => by * power).find((by) => by >= rough);
    const ticks = [];
    for (let at = Math.ceil(low / step) * step; at <= high * (1 + 1e-9); at += step) ticks.push(at);
    return ticks;
  }

  const tokens = (value) => {
    if (value >= 1048576 && value % 1048576 === 0) return `${value / 1048576}M`;
    return value >= 1024 && value % 1024 === 0 ? `${value / 1024}K` : String(Math.round(value));
  };

  const plain = (value) => String(Number(value.toPrecision(3)));

  /* `plot`: x and y ranges, series [{label, points}], point [x, y], limits [{at, label}], labels and texts of ticks. */
  function draw(plot, width) {
    const height = Math.round(Math.min(340, Math.max(240, width * 0.5)));
    const [w, h] = [width - ROOM.left - ROOM.right, height - ROOM.top - ROOM.bottom];
    const flat = plot.linear || plot.y.flat;
    const place = ([low, high], length, scale) => (value) =>
      (length * (scale(value) - scale(low))) / (scale(high) - scale(low));
    const [same, powersOf] = [(value) => value, Math.log];
    const across = place(plot.x.range, w, plot.linear ? same : powersOf);
    const up = place(plot.y.range, h, flat ? same : powersOf);
    const x = (value) => ROOM.left + across(value);
    const y = (value) => ROOM.top + h - up(value);
    const narrow = width < 480;

    const xTicks = plot.linear
      ? steps(...plot.x.range, plot.x.tokens, narrow ? 4 : 8)
      : powers(...plot.x.range, plot.x.tokens ? 4 : 10, narrow ? 4 : 8);
    const binary = plot.y.unit === "bytes";
    const yTicks = flat
      ? steps(...plot.y.range, binary, 5)
      : powers(...plot.y.range, binary ? 4 : 10, 6);
    const parts = [];
    for (const tick of xTicks) {
      parts.push(
        element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: ROOM.top, y2: ROOM.top + h }),
        element("text", { x: x(tick), y: ROOM.top + h + 17, "text-anchor": "middle" }, plot.x.tokens ? tokens(tick) : plain(tick)),
      );
    }
    for (const tick of yTicks) {
      parts.push(
        element("line", { class: "grid", x1: ROOM.left, x2: ROOM.left + w, y1: y(tick), y2: y(tick) }),
        element("text", { x: ROOM.left - 6, y: y(tick) + 4, "text-anchor": "end" }, tick ? plot.y.text(tick) : "0"),
      );
    }
    parts.push(
      element("text", { class: "axis", x: ROOM.left + w / 2, y: height - 6, "text-anchor": "middle" }, plot.x.label),
    );
    plot.series.forEach(({ points }, number) => {
      let pen = "M";
      let path = "";
      for (const [at, value] of points) {
        if (value < plot.y.range[0] || value > plot.y.range[1] || (!flat && value <= 0)) {
          pen = "M";
          continue;
        }
        path += `${pen}${x(at).toFixed(1)},${y(value).toFixed(1)}`;
        pen = "L";
      }
      parts.push(element("path", { class: `line series-${number}`, d: path }));
    });
    /* Heights of the curves between two places across. */
    const between = (from, to) =>
      plot.series.flatMap(({ points }) =>
        points.flatMap(([at, value]) =>
          x(at) >= from - 6 && x(at) <= to + 6 && (flat || value > 0) ? [y(value)] : [],
        ),
      );
    /* A free line of text at either side of a limit, from the bottom up, clear of the curves and of other labels. */
    const taken = [];
    function free(at, label) {
      const wide = 7 * label.length;
      const sides = at > ROOM.left + w / 2 ? [-1, 1] : [1, -1];
      const places = sides.flatMap((side) => {
        const [from, to] = side > 0 ? [at + 5, at + 5 + wide] : [at - 5 - wide, at - 5];
        if (from < ROOM.left || to > ROOM.left + w) return [];
        const curves = between(from, to);
        const lines = Array.from({ length: Math.floor(h / 16) }, (_, line) => ROOM.top + h - 7 - 16 * line);
        return lines
          .filter((low) => !curves.some((one) => one > low - 15 && one < low + 6))
          .filter((low) => !taken.some((box) => box.from < to && from < box.to && Math.abs(box.low - low) < 14))
          .map((low) => ({ side, from, to, low }));
      });
      const place = places[0] ?? { side: sides[0], from: at, to: at, low: ROOM.top + h - 7 - 16 * taken.length };
      taken.push(place);
      return place;
    }
    const shown = plot.limits.filter(({ at }) => at >= plot.x.range[0] && at <= plot.x.range[1]);
    shown.forEach(({ at: value, label }) => {
      const at = x(value);
      const { side, low } = free(at, label);
      parts.push(
        element("line", { class: "limit", x1: at, x2: at, y1: ROOM.top, y2: ROOM.top + h }),
        element("text", { class: "limit", x: at + 5 * side, y: low, "text-anchor": side > 0 ? "start" : "end" }, label),
      );
    });
    const [px, py] = plot.point;
    if (px >= plot.x.range[0] && px <= plot.x.range[1] && py >= plot.y.range[0] && py <= plot.y.range[1]) {
      parts.push(element("circle", { class: "point", cx: x(px), cy: y(py), r: 5 }));
    }
    return element(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": plot.says },
      ...parts,
    );
  }

  /* A piece of the line of a series, for the legend: the very dashes of the plot. */
  const sample = (number) =>
    element(
      "svg",
      { class: "calculator-sample", viewBox: "0 0 34 8", width: 34, height: 8, "aria-hidden": "true" },
      element("path", { class: `line series-${number}`, d: "M0 4H34" }),
    );

  return { draw, sample };
})();
