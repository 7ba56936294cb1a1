/* The figure of a calculator: its plot, legend and caption, drawn anew for every answer. */
globalThis.calculatorPicture = (() => {
  "use strict";
  const { text } = globalThis.calculatorCore;
  const { make } = globalThis.calculatorForm;

  const plain = (value) => String(Number(value.toPrecision(3)));

  class Picture {
    constructor(calculation) {
      this.calculation = calculation;
      this.place = make("div", { class: "calculator-picture" });
      this.legend = make("ul", { class: "calculator-legend", "aria-hidden": "true" });
      this.caption = make("p", { class: "calculator-caption" });
      this.element = make("figure", { class: "calculator-plot" }, this.place, this.legend, this.caption);
    }

    draw(results, linear) {
      if (!results || !this.place.clientWidth) return;
      const { calculation } = this;
      const { plot } = calculation.about;
      const { marks, text: says } = calculation.marks(results);
      const drawn = this.curves(results, linear, marks);
      this.place.replaceChildren(
        drawn
          ? globalThis.calculatorPlot.draw({ ...drawn, says: this.says(results, says) }, this.place.clientWidth)
          : make("p", {}, "The answer is zero everywhere in the range of the plot."),
      );
      this.legend.replaceChildren(
        ...plot.series.map(({ label }, number) => make("li", {}, globalThis.calculatorPlot.sample(number), label)),
        make("li", { class: "here" }, "your numbers"),
      );
      this.caption.textContent = says;
    }

    says(results, marked) {
      const { plot } = this.calculation.about;
      return `${plot.caption}. ${this.calculation.finding(results)} ${marked === plot.caption ? "" : marked}`.trim();
    }

    /* What the point shows: the answer, or the first curve where the answer is a place on the other axis. */
    drawn() {
      const { about, units } = this.calculation;
      const [{ line }] = about.plot.series;
      if (about.plot.point) return about.plot.point;
      return units[about.answer] === units[line] ? about.answer : line;
    }

    /* The curves and the point on them; divided by one of the curves where the plot says so. */
    divided(series, results) {
      const { plot } = this.calculation.about;
      const drawn = this.drawn();
      if (!plot.over) return { series, point: results[drawn] };
      const base = series[plot.series.findIndex(({ line }) => line === plot.over)];
      const over = (points) =>
        points.map(([at, value], number) => [at, value / base[number][1]]).filter(([, value]) => Number.isFinite(value));
      return { series: series.map(over), point: results[drawn] / results[plot.over] };
    }

    /* What is drawn: ranges, points, marks; null where nothing is above zero. */
    curves(results, linear, marks) {
      const { calculation } = this;
      const { plot, choice } = calculation.about;
      const unit = calculation.units[this.drawn()];
      const x = calculation.data.inputs[plot.x];
      const at = results[plot.x];
      const far = choice ? marks.map((mark) => 1.5 * mark.at) : [];
      const high = linear ? Math.min(plot.high, Math.max(4 * at, 2 * plot.low, ...far)) : plot.high;
      const low = linear ? Number(x.whole) : plot.low;
      const { series, point } = this.divided(calculation.curve(low, high, linear), results);
      const all = series.flat().map(([, value]) => value).filter((value) => value > 0 && Number.isFinite(value));
      if (!all.length) return null;
      const [least, most] = all.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, 0]);
      return {
        x: { range: [linear ? 0 : low, high], label: `${x.label}${x.unit ? ` (${x.unit})` : ""}`, tokens: x.unit === "tokens" },
        y: plot.over
          ? { range: [Math.min(0.9, least / 1.05), Math.max(1.1, Math.min(2, most))], unit: "", flat: true, text: plain }
          : { range: linear ? [0, most * 1.05] : [least / 1.3, most * 1.3], unit, text: (value) => text(value, unit) },
        series: series.map((points) => ({ points })),
        point: [at, point],
        limits: marks,
        linear,
      };
    }
  }

  return { Picture };
})();
