/* A calculator without its page: what is entered, whether it is allowed, the answer, the curve, the sentences.
   calculator.js shows it; a test runs it under node. */
globalThis.calculatorCore = (() => {
  "use strict";

  /* Numbers in words, as course_lib.kit.units writes them. */
  const grouped = (value, options) =>
    new Intl.NumberFormat("en-US", { roundingMode: "halfEven", ...options }).format(value);
  const whole = (value) => grouped(value, { maximumFractionDigits: 0 });
  function short(value) {
    if (value >= 100) return whole(value);
    if (value < 1) return grouped(value, { maximumSignificantDigits: 3 });
    return grouped(value, { maximumFractionDigits: value >= 10 ? 1 : 2 });
  }
  function inUnits(value, units, step) {
    let size = 1;
    let at = 0;
    while (at < units.length - 1 && value >= size * step) {
      size *= step;
      at += 1;
    }
    return `${short(value / size)} ${units[at]}`;
  }
  const TEXT = {
    bytes: (value) => inUnits(value, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 1024),
    seconds: (value) =>
      value >= 1 ? `${short(value)} s` : value >= 1e-3 ? `${short(value / 1e-3)} ms` : `${short(value / 1e-6)} µs`,
    count: whole,
    share: (value) => `${short(100 * value)} %`,
    "per second": (value) => `${short(value)} per second`,
    flops: (value) => inUnits(value, ["FLOPs", "kFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs", "EFLOPs"], 1000),
    weights: (value) => inUnits(value, ["", "k", "M", "B", "T"], 1000).trim(),
  };
  const text = (value, unit) => TEXT[unit](value);

  /* "32,768", "1.5e3", and for tokens "32K" (1,024 each) and "1M"; NaN for anything else. */
  function parse(typed, input) {
    const found = /^\s*([+-]?(?:\d[\d,_ ]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([KkMm]?)\s*$/.exec(typed);
    if (!found || (found[2] && input.unit !== "tokens")) return NaN;
    const unit = { "": 1, k: 1024, m: 1024 * 1024 }[found[2].toLowerCase()];
    return Number(found[1].replace(/[,_ ]/g, "")) * unit;
  }

  class Calculation {
    constructor(name, data = globalThis.calculatorData) {
      this.name = name;
      this.data = data;
      this.about = data.calculators[name];
      this.units = Object.fromEntries(this.about.lines.map((line) => [line.name, line.unit]));
      this.reset();
    }

    reset() {
      this.entered = {};
      this.model = this.machine = "";
      const names = new Set(this.about.variants.flatMap((variant) => variant.inputs));
      for (const name of names) {
        const start = this.about.defaults[name] ?? this.data.inputs[name].default;
        if (start !== null && start !== undefined) this.entered[name] = String(start);
      }
      if (this.about.model) this.choose("model", this.about.model);
      if (this.about.machine) this.choose("machine", this.about.machine);
    }

    /* Take a preset's numbers; "" keeps what is entered. */
    choose(kind, name) {
      const presets = this.presets(kind);
      if (!Object.hasOwn(presets, name)) return false;
      this[kind] = name;
      for (const [input, value] of Object.entries(presets[name])) this.entered[input] = String(value);
      return true;
    }

    presets(kind) {
      if (kind === "machine") return this.data.machines;
      return Object.fromEntries(Object.entries(this.data.models).map(([name, model]) => [name, model.values]));
    }

    get at() {
      const at = this.about.variants.findIndex((variant) => variant.models.includes(this.model));
      return Math.max(at, 0);
    }

    get variant() {
      return this.about.variants[this.at];
    }

    inputs() {
      return this.variant.inputs.map((name) => this.data.inputs[name]);
    }

    /* The inputs that a preset filled and the reader changed. */
    changed(kind) {
      const values = this[kind] ? this.presets(kind)[this[kind]] : {};
      return this.variant.inputs.filter(
        (name) => Object.hasOwn(values, name) && parse(this.entered[name], this.data.inputs[name]) !== values[name],
      );
    }

    number(name) {
      return parse(this.entered[name] ?? "", this.data.inputs[name]);
    }

    /* What is not allowed, by input: a sentence that says what is. */
    problems() {
      const found = {};
      for (const input of this.inputs()) {
        const value = this.number(input.name);
        const allowed = value >= input.least && value <= input.most && (!input.whole || Number.isInteger(value));
        if (!allowed) found[input.name] = `${input.label}: ${input.allowed} is allowed.`;
      }
      for (const [rule, first, ...others] of this.variant.rules) {
        const label = this.data.inputs[first].label;
        const value = this.number(first);
        if (found[first] || others.some((name) => found[name])) continue;
        const [other, of] = [this.data.inputs[others[0]], this.number(others[0])];
        if (rule === "multiple" && value % of !== 0) {
          found[first] = `${label}: a multiple of ${other.label} (${whole(of)}) is allowed.`;
        } else if (rule === "at most" && value > of) {
          found[first] = `${label}: at most ${other.label} (${whole(of)}) is allowed.`;
        } else if (rule === "some" && value + others.reduce((sum, name) => sum + this.number(name), 0) === 0) {
          found[first] = `${label}: at least one layer of some kind is needed.`;
        }
      }
      return found;
    }

    values() {
      return Object.fromEntries(this.inputs().map((input) => [input.name, this.number(input.name) * input.factor]));
    }

    /* Every line's number, with the inputs; null where one is not finite. */
    results(values = this.values()) {
      const lines = this.data.functions[this.name][this.at](values);
      return Object.values(lines).every(Number.isFinite) ? { ...values, ...lines } : null;
    }

    say(template, results, extra = {}) {
      return template.replace(/\{(\w+)\}/g, (_, name) => {
        if (Object.hasOwn(extra, name)) return whole(extra[name]);
        return Object.hasOwn(this.units, name) ? text(results[name], this.units[name]) : whole(results[name]);
      });
    }

    finding(results) {
      const applies = ({ a, b }) => !a || results[a] > results[b];
      return this.say(this.about.findings.find(applies).text, results);
    }

    /* The plot's input at its first whole value where line a is above line b, by halving. */
    crossing(results) {
      const { x, low, high, crossing } = this.about.plot;
      if (!crossing) return null;
      const above = (at) => {
        const there = this.results({ ...this.values(), [x]: at });
        return there !== null && there[crossing.a] > there[crossing.b];
      };
      const say = (template, at) => this.say(template, results, { x: at, low, high });
      if (above(low)) return { at: null, text: say(crossing.always, low) };
      if (!above(high)) return { at: null, text: say(crossing.never, high) };
      let [under, over] = [low, high];
      while (over - under > 1) {
        const middle = Math.floor((under + over) / 2);
        if (above(middle)) over = middle;
        else under = middle;
      }
      return { at: over, text: say(crossing.found, over) };
    }

    /* Points of every series: whole values of the plot's input from `low` to `high`. */
    curve(low, high, linear, points = 72) {
      const { x, series } = this.about.plot;
      const values = this.values();
      const places = new Set([values[x]]);
      for (let i = 0; i <= points; i += 1) {
        const part = i / points;
        places.add(Math.round(linear ? low + (high - low) * part : low * (high / low) ** part));
      }
      const rows = [...places]
        .filter((at) => at >= low && at <= high)
        .sort((a, b) => a - b)
        .map((at) => [at, this.results({ ...values, [x]: at })])
        .filter(([, there]) => there !== null);
      return series.map(({ line }) => rows.map(([at, there]) => [at, there[line]]));
    }

    /* The setting as parts of a query: presets, and what differs from them. */
    query() {
      const start = new Calculation(this.name, this.data);
      const parts = {};
      for (const kind of ["model", "machine"]) {
        if (this[kind] !== start[kind]) parts[kind] = this[kind];
        if (this[kind]) start.choose(kind, this[kind]);
      }
      for (const name of this.variant.inputs) {
        if (this.entered[name] !== start.entered[name]) parts[name] = this.entered[name];
      }
      return Object.entries(parts).map(([name, value]) => [`${this.name}.${name}`, value]);
    }

    /* Take a setting from a query's parts; what it does not know, it leaves. */
    restore(parts) {
      const given = Object.fromEntries(
        [...parts]
          .filter(([name]) => name.startsWith(`${this.name}.`))
          .map(([name, value]) => [name.slice(this.name.length + 1), value]),
      );
      for (const kind of ["model", "machine"]) if (this.about[kind] && given[kind]) this.choose(kind, given[kind]);
      for (const name of this.variant.inputs) if (Object.hasOwn(given, name)) this.entered[name] = given[name];
      return Object.keys(given).length > 0;
    }
  }

  return { Calculation, text, short, parse };
})();
