/* A calculator without its page: what is entered, whether it is allowed, the answer, the curve, the sentences.
   calculator.js shows it; a test runs it under node. */
globalThis.calculatorCore = (() => {
  "use strict";
  const { winner, tie, reigns, sentence } = globalThis.calculatorChoice;
  const { whole, text, short, parse } = globalThis.calculatorWords;

  const KINDS = ["model", "machine", "split", "arithmetic"];

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
      this.model = this.machine = this.arithmetic = "";
      [this.split] = this.about.splits;
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
      if (kind === "machine" && !Object.hasOwn(this.peaks(), this.arithmetic)) this.arithmetic = "";
      const entries = kind === "machine" ? this.presets(kind)[name] : presets[name];
      for (const [input, value] of Object.entries(entries)) this.entered[input] = String(value);
      if (kind === "model" && this.entered.bytes_per_weight) {
        this.type("bytes_per_weight", String(this.data.models[name].bits));
      }
      return true;
    }

    /* Type a number; a peak that was not typed itself follows the bits of the weights. */
    type(name, value) {
      const follows = name === "bytes_per_weight" && this.machine && !this.changed("machine").includes("peak_flops");
      this.entered[name] = value;
      if (follows) this.entered.peak_flops = String(this.peaks()[this.computes()]);
      return follows;
    }

    presets(kind) {
      if (kind === "split") return Object.fromEntries(this.about.splits.map((split) => [split, {}]));
      if (kind === "arithmetic") {
        const peaks = { "": this.peaks()[this.computes("")], ...this.peaks() };
        return Object.fromEntries(Object.entries(peaks).map(([name, peak]) => [name, { peak_flops: peak }]));
      }
      if (kind === "machine") {
        const machines = Object.entries(this.data.machines).map(([name, values]) => {
          const peak = this.peaks(name)[this.computes(this.arithmetic, name)];
          return [name, { ...values, peak_flops: peak ?? values.peak_flops }];
        });
        return Object.fromEntries(machines);
      }
      const offered = new Set(this.about.variants.flatMap((variant) => variant.models));
      const models = Object.entries(this.data.models).filter(([name]) => offered.has(name));
      return Object.fromEntries(models.map(([name, model]) => [name, model.values]));
    }

    peaks(machine = this.machine) {
      return this.data.peaks[machine] ?? {};
    }

    /* The arithmetic that is done: the chosen one, or the fastest at the weights' bits, as
       course_lib.costs.hardware.fastest_arithmetic chooses it. */
    computes(arithmetic = this.arithmetic, machine = this.machine) {
      if (arithmetic) return arithmetic;
      const weight = this.data.inputs.bytes_per_weight;
      const typed = weight ? parse(this.entered.bytes_per_weight ?? "", weight) : NaN;
      const own = this.data.models[this.model];
      const multiplied = own && typed === own.bits ? own.multiplied_bits : typed; // an average is multiplied by nothing
      const bits = Math.min(Math.floor(Number.isFinite(multiplied) ? multiplied : 16), 16);
      const wide = Object.entries(this.peaks(machine)).filter(([name]) => this.data.arithmetic[name] >= bits);
      return wide.reduce((best, one) => (best && best[1] >= one[1] ? best : one), null)?.[0] ?? "16-bit";
    }

    get at() {
      const at = this.about.variants.findIndex(
        ({ models, split }) => models.includes(this.model) && split === this.split,
      );
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
        } else if (rule === "divides" && value % of !== 0 && of % value !== 0) {
          found[first] = `${label}: a divisor or a multiple of ${other.label} (${whole(of)}) is allowed.`;
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

    /* Every line's number, with the inputs; null where one is not finite that has to be. */
    results(values = this.values()) {
      const lines = this.data.functions[this.name][this.at](values);
      const fine = this.about.lines.every(({ name, none }) => none || Number.isFinite(lines[name]));
      return fine ? { ...values, ...lines } : null;
    }

    say(template, results, extra = {}) {
      return template.replace(/\{(\w+)\}/g, (_, name) => {
        if (name === "winner") return winner(this.about.choice, results).name;
        if (name === "arithmetic") return this.arithmeticText();
        if (name === "weight_bits") return short(8 * results.bytes_per_weight);
        if (name === "cache_bits") return short(8 * results.bytes_per_element);
        if (name === "devices") return results.devices === 1 ? "1 device" : `${whole(results.devices)} devices`;
        if (Object.hasOwn(extra, name)) return whole(extra[name]);
        return Object.hasOwn(this.units, name) ? text(results[name], this.units[name]) : whole(results[name]);
      });
    }

    arithmeticText() {
      const typed = !this.machine || this.changed("machine").includes("peak_flops");
      return typed ? "at the peak entered" : `in ${this.computes()} arithmetic`;
    }

    finding(results) {
      const applies = ({ a, b }) => !a || results[a] > results[b];
      return this.say(this.about.findings.find(applies).text, results);
    }

    /* What stands beside the answer: [label, text]. */
    facts(results) {
      const { choice, lines, answer } = this.about;
      if (choice) return this.options(results);
      const labelled = lines.filter((line) => line.label && line.name !== answer);
      return labelled.map((line) => [line.label, text(results[line.name], line.unit)]);
    }

    /* Each option: its value, and whether it wins, comes too late, or at which price it ties with the winner. */
    options(results) {
      const { choice } = this.about;
      const best = winner(choice, results);
      return choice.options.map((option) => {
        const value = text(results[option.value], this.units[option.value]);
        if (option === best) return [option.name, `${value}, ${choice.words.wins}`];
        if (results[option.kept] > results[choice.limit]) return [option.name, `${value}, ${choice.words.out}`];
        const price = tie(choice, results, option, best);
        const words = price === null ? choice.words.never : choice.words.ties;
        return [option.name, `${value}, ${words.replace("{at}", text(price, "USD"))}`];
      });
    }

    /* What is marked on the plot's axis, and the sentence that says it: {marks: [{at, label}], text}. */
    marks(results) {
      const { choice, plot } = this.about;
      if (choice) {
        const found = reigns(choice, results, (at) => this.results({ ...this.values(), [plot.x]: at }));
        const usd = (at) => text(at, "USD");
        const marks = found.slice(1).map(({ at }) => ({ at, label: usd(at) }));
        return { marks, text: sentence(choice, found, usd) };
      }
      const crossing = this.crossing(results);
      const marks = crossing?.at ? [{ at: crossing.at, label: plot.crossing.label }] : [];
      return { marks, text: crossing?.text ?? plot.caption };
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

    /* Points of every series, from `low` to `high` of the plot's input (whole values, where only these are). */
    curve(low, high, linear, points = 72) {
      const { x, series } = this.about.plot;
      const { whole: only } = this.data.inputs[x];
      const values = this.values();
      const places = new Set([values[x]]);
      for (let i = 0; i <= points; i += 1) {
        const part = i / points;
        const at = linear ? low + (high - low) * part : low * (high / low) ** part;
        places.add(only ? Math.round(at) : at);
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
      for (const kind of KINDS) {
        if (this[kind] !== start[kind]) parts[kind] = this[kind];
        if (this[kind]) start.choose(kind, this[kind]);
      }
      if (this.entered.bytes_per_weight) start.type("bytes_per_weight", this.entered.bytes_per_weight);
      const weights = new Calculation(this.name, this.data).entered.bytes_per_weight;
      if (this.entered.bytes_per_weight !== weights) parts.bytes_per_weight = this.entered.bytes_per_weight;
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
      for (const kind of KINDS) if (this[kind] !== undefined && given[kind]) this.choose(kind, given[kind]);
      const names = this.variant.inputs.filter((name) => Object.hasOwn(given, name));
      for (const name of names.sort((a) => (a === "bytes_per_weight" ? -1 : 1))) this.type(name, given[name]);
      return Object.keys(given).length > 0;
    }
  }

  return { Calculation, text, short, parse };
})();
