/* <course-calculator name="...">: inputs, answer and plot of one calculator, built around what the page brings
   (the formula, worked values). Without this script those are all there is. */
(() => {
  "use strict";
  const { Calculation, text } = globalThis.calculatorCore;
  const GROUPS = [
    ["request", "Request"],
    ["numbers", "Bytes"],
    ["model", "Model"],
    ["machine", "Machine"],
    ["choice", "Choice"],
  ];
  const PRESETS = { model: "Model", machine: "Device" };

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  const letter = ([base, small]) => make("i", {}, base, small ? make("sub", {}, small) : "");

  class CourseCalculator extends HTMLElement {
    connectedCallback() {
      if (this.calculation) return;
      this.calculation = new Calculation(this.getAttribute("name"));
      this.linear = false;
      this.restore();
      this.live = make("div", { class: "calculator-live" });
      this.querySelector(".calculator-question").after(this.live);
      this.build();
      this.update();
      new ResizeObserver(() => this.draw()).observe(this.picture);
    }

    restore() {
      const parts = new URLSearchParams(location.search);
      if (this.calculation.restore(parts)) this.given = true;
      this.linear = parts.get(`${this.calculation.name}.axes`) === "linear";
    }

    part(name) {
      return `${this.calculation.name}-${name}`;
    }

    build() {
      const open = new Set([...this.live.querySelectorAll("details[open]")].map((details) => details.dataset.group));
      this.fields = {};
      const groups = GROUPS.map(([group, title]) => this.group(group, title, open.has(group)));
      this.form = make("form", { autocomplete: "off", novalidate: true }, ...groups.filter(Boolean));
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.form.addEventListener("input", (event) => this.typed(event.target));
      this.answer = make("div", { class: "calculator-answer", role: "status", "aria-live": "polite" });
      this.facts = make("dl", { class: "calculator-facts" });
      this.picture = make("div", { class: "calculator-picture" });
      this.caption = make("p", { class: "calculator-caption" });
      this.legend = make("ul", { class: "calculator-legend", "aria-hidden": "true" });
      const axes = make("input", { type: "checkbox", id: this.part("axes") });
      axes.checked = this.linear;
      axes.addEventListener("change", () => {
        this.linear = axes.checked;
        this.draw();
      });
      this.share = make("button", { type: "button" }, "Copy link");
      this.share.addEventListener("click", () => this.copy());
      const reset = make("button", { type: "button" }, "Start again");
      reset.addEventListener("click", () => this.startAgain());
      this.shared = make("span", { class: "calculator-shared", role: "status" });
      this.plot = make("figure", { class: "calculator-plot" }, this.picture, this.legend, this.caption);
      this.live.replaceChildren(
        this.form,
        this.answer,
        this.facts,
        this.plot,
        make(
          "div",
          { class: "calculator-tools" },
          make("span", {}, axes, make("label", { for: this.part("axes") }, "Linear axes")),
          this.share,
          reset,
          this.shared,
        ),
      );
    }

    /* A fieldset of one group: its preset, and its numbers, folded where a preset fills them. */
    group(group, title, open) {
      const { calculation } = this;
      const inputs = calculation.inputs().filter((input) => input.group === group);
      const chosen = Object.hasOwn(PRESETS, group) && calculation.about[group];
      if (!inputs.length && !chosen) return null;
      const fields = inputs.map((input) => this.field(input));
      const fieldset = make("fieldset", { class: `calculator-${group}` }, make("legend", {}, title));
      if (!chosen) {
        fieldset.append(make("div", { class: "calculator-fields" }, ...fields));
        return fieldset;
      }
      const filled = new Set(Object.keys(calculation.presets(group)[calculation[group]]));
      const own = fields.filter((_, number) => !filled.has(inputs[number].name));
      const folded = fields.filter((_, number) => filled.has(inputs[number].name));
      fieldset.append(make("div", { class: "calculator-fields" }, this.select(group), ...own));
      if (folded.length) {
        this[`${group}Summary`] = make("summary", {});
        fieldset.append(
          make(
            "details",
            { "data-group": group, open },
            this[`${group}Summary`],
            make("div", { class: "calculator-fields" }, ...folded),
          ),
        );
      }
      return fieldset;
    }

    select(kind) {
      const { calculation } = this;
      const names = Object.keys(calculation.presets(kind));
      const family = (name) => (kind === "model" ? calculation.data.models[name].family : "");
      const families = [...new Set(names.map(family))];
      const options = (of) =>
        names.filter((name) => family(name) === of).map((name) => make("option", { value: name }, name));
      const select = make(
        "select",
        { id: this.part(kind), "data-kind": kind },
        ...families.flatMap((of) => (of ? [make("optgroup", { label: of }, ...options(of))] : options(of))),
      );
      select.value = calculation[kind];
      return make("div", { class: "calculator-field" }, make("label", { for: select.id }, PRESETS[kind]), select);
    }

    field(input) {
      const [id, note] = [this.part(input.name), this.part(`${input.name}-note`)];
      const box = make("input", {
        id,
        type: "text",
        inputmode: "decimal",
        "data-input": input.name,
        "aria-describedby": note,
      });
      box.value = this.calculation.entered[input.name] ?? "";
      const message = make("span", { class: "calculator-note", id: note }, input.hint);
      const unit = input.unit ? ` (${input.unit})` : "";
      this.fields[input.name] = { box, message, hint: input.hint };
      return make(
        "div",
        { class: "calculator-field" },
        make("label", { for: id }, `${input.label} `, letter(input.letter), unit),
        box,
        message,
      );
    }

    typed(target) {
      const { calculation } = this;
      if (target.dataset.kind) {
        const before = calculation.at;
        calculation.choose(target.dataset.kind, target.value);
        if (calculation.at !== before) {
          this.build();
          this.querySelector(`#${CSS.escape(target.id)}`).focus();
        } else {
          for (const [name, { box }] of Object.entries(this.fields)) box.value = calculation.entered[name] ?? "";
        }
      } else if (target.dataset.input) {
        calculation.entered[target.dataset.input] = target.value;
      }
      this.shared.textContent = "";
      this.update();
    }

    startAgain() {
      this.calculation.reset();
      this.linear = false;
      this.build();
      this.update();
      [...this.live.querySelectorAll("button")].at(-1).focus();
    }

    update() {
      const { calculation } = this;
      const problems = calculation.problems();
      for (const [name, { box, message, hint }] of Object.entries(this.fields)) {
        const wrong = problems[name];
        box.setAttribute("aria-invalid", String(Boolean(wrong)));
        message.textContent = wrong ?? hint;
        message.classList.toggle("wrong", Boolean(wrong));
        if (wrong) box.closest("details")?.setAttribute("open", "");
      }
      for (const kind of Object.keys(PRESETS)) this.summarise(kind);
      const results = Object.keys(problems).length ? null : calculation.results();
      this.toggleAttribute("data-answered", results !== null);
      this.plot.hidden = this.facts.hidden = results === null;
      this.results = results;
      if (results === null) {
        const why = Object.values(problems)[0] ?? "these numbers together are too large.";
        this.answer.replaceChildren(make("p", { class: "calculator-wrong" }, `No answer. ${why}`));
      } else {
        this.showAnswer(results);
        this.draw();
      }
      this.showFormula();
    }

    summarise(kind) {
      const summary = this[`${kind}Summary`];
      if (!summary) return;
      const changed = this.calculation.changed(kind);
      const names = changed.map((name) => this.calculation.data.inputs[name].label.toLowerCase());
      summary.textContent = changed.length ? `Its numbers, changed: ${names.join(", ")}` : "Its numbers";
    }

    showAnswer(results) {
      const { about, units } = this.calculation;
      this.answer.replaceChildren(
        make("p", { class: "calculator-number" }, text(results[about.answer], units[about.answer])),
        make("p", {}, this.calculation.finding(results)),
        ...this.beyond(),
      );
      const facts = about.lines.filter((line) => line.label && line.name !== about.answer);
      this.facts.replaceChildren(
        ...facts.map((line) =>
          make("div", {}, make("dt", {}, line.label), make("dd", { class: "calculator-value" }, text(results[line.name], line.unit))),
        ),
      );
    }

    /* A context beyond the one that the model was published for is said, not refused. */
    beyond() {
      const limit = this.calculation.data.models[this.calculation.model]?.context;
      const asked = ["tokens", "tokens_in", "tokens_out"]
        .filter((name) => this.calculation.variant.inputs.includes(name))
        .reduce((sum, name) => sum + this.calculation.number(name), 0);
      if (!limit || asked <= limit) return [];
      const [many, few] = [asked, limit].map((value) => text(value, "count"));
      return [make("p", { class: "calculator-note" }, `${many} tokens are more than the model's own ${few}.`)];
    }

    draw() {
      const { results, calculation } = this;
      if (!results || !this.picture.clientWidth) return;
      const { plot, answer } = calculation.about;
      const unit = calculation.units[answer];
      const x = calculation.data.inputs[plot.x];
      const at = results[plot.x];
      const high = this.linear ? Math.min(plot.high, Math.max(4 * at, 2 * plot.low)) : plot.high;
      const range = this.linear ? [0, high] : [plot.low, high];
      const series = calculation.curve(this.linear ? 1 : plot.low, high, this.linear);
      const all = series.flat().map(([, value]) => value).filter((value) => value > 0);
      const crossing = calculation.crossing(results);
      const finding = calculation.finding(results);
      if (!all.length) {
        this.picture.replaceChildren(make("p", {}, "The answer is zero everywhere in the range of the plot."));
      } else {
        const [least, most] = all.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, 0]);
        this.picture.replaceChildren(
          globalThis.calculatorPlot.draw(
            {
              x: { range, label: `${x.label}${x.unit ? ` (${x.unit})` : ""}`, tokens: x.unit === "tokens" },
              y: { range: this.linear ? [0, most * 1.05] : [least / 1.3, most * 1.3], unit, text: (value) => text(value, unit) },
              series: series.map((points) => ({ points })),
              point: [at, results[answer]],
              limit: crossing?.at ? { at: crossing.at, label: plot.crossing.label } : null,
              linear: this.linear,
              says: `${plot.caption}. ${finding} ${crossing?.text ?? ""}`.trim(),
            },
            this.picture.clientWidth,
          ),
        );
      }
      this.legend.replaceChildren(
        ...plot.series.map(({ label }, number) => make("li", { class: `series-${number}` }, label)),
        make("li", { class: "here" }, "your numbers"),
      );
      this.caption.textContent = crossing?.text ?? plot.caption;
    }

    /* The page brings the formula of one structure; another one is set by MathJax when it is needed. */
    showFormula() {
      const { variant, at } = this.calculation;
      const place = this.querySelector(".calculator-formula");
      if (!place || this.shown === at || (this.shown === undefined && at === 0)) {
        this.shown = at;
        return;
      }
      this.shown = at;
      const maths = make("div", { class: "math notranslate nohighlight" }, `\\[${variant.formula}\\]`);
      const typeset = () => {
        place.replaceChildren(maths);
        return globalThis.MathJax?.typesetPromise?.([maths]);
      };
      this.typesetting = Promise.resolve(globalThis.MathJax?.startup?.promise).then(typeset).catch(() => {});
    }

    address() {
      const parts = new URLSearchParams(
        [...new URLSearchParams(location.search)].filter(([name]) => !name.startsWith(`${this.calculation.name}.`)),
      );
      for (const [name, value] of this.calculation.query()) parts.set(name, value);
      if (this.linear) parts.set(`${this.calculation.name}.axes`, "linear");
      const query = parts.toString();
      return `${location.href.split(/[?#]/)[0]}${query ? `?${query}` : ""}#${this.id}`;
    }

    /* The link goes to the address bar, and to the clipboard where the browser lets it. */
    async copy() {
      const address = this.address();
      try {
        history.replaceState(null, "", address);
      } catch {
        /* A page from disk may not change its own address in every browser: the clipboard is enough. */
      }
      try {
        await navigator.clipboard.writeText(address);
        this.shared.textContent = "Link copied.";
      } catch {
        this.shared.textContent = "The link stands in the address bar.";
      }
    }
  }

  customElements.define("course-calculator", CourseCalculator);
})();
