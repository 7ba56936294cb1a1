/* The form of a calculator: a fieldset for each group of inputs, presets, and what is wrong with an entry. */
globalThis.calculatorForm = (() => {
  "use strict";
  const GROUPS = [
    ["prices", "Prices"],
    ["limits", "Limit"],
    ["request", "Request"],
    ["numbers", "Bits"],
    ["model", "Model"],
    ["layer", "Layer"],
    ["search", "Search"],
    ["machine", "Machine"],
    ["candidates", "Candidates"],
  ];
  const PRESETS = { model: "Model", machine: "Device" };
  const WORDS = {
    split: { label: "Devices split", heads: "the heads", requests: "the requests" },
    arithmetic: { label: "Arithmetic", "": "the fastest at these bits" },
  };

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  const letter = ([base, small]) => make("i", {}, base, small ? make("sub", {}, small) : "");
  const grid = (...fields) => make("div", { class: "calculator-fields" }, ...fields);

  /* `element` is the form; `fields` its boxes by input. `open` names the groups whose numbers are unfolded. */
  class Form {
    constructor(calculation, open) {
      this.calculation = calculation;
      this.fields = {};
      this.summaries = {};
      const groups = GROUPS.map(([group, title]) => this.group(group, title, open.has(group)));
      this.element = make("form", { autocomplete: "off", novalidate: true }, ...groups.filter(Boolean));
    }

    part(name) {
      return `${this.calculation.name}-${name}`;
    }

    /* A fieldset of one group: its preset, and its numbers, folded where a preset fills them. */
    group(group, title, open) {
      const { calculation } = this;
      const inputs = calculation.inputs().filter((input) => input.group === group);
      const chosen = Object.hasOwn(PRESETS, group) && calculation.about[group];
      if (!inputs.length && !chosen) return null;
      const fieldset = make("fieldset", { class: `calculator-${group}` }, make("legend", {}, title));
      if (group === "candidates") {
        fieldset.append(this.folded(group, open, ...calculation.about.choice.options.map((one) => this.option(one))));
        return fieldset;
      }
      const fields = inputs.map((input) => this.field(input));
      if (!chosen) {
        fieldset.append(grid(...fields));
        return fieldset;
      }
      const filled = new Set(Object.keys(calculation.presets(group)[calculation[group]]));
      const own = fields.filter((_, number) => !filled.has(inputs[number].name));
      const numbers = fields.filter((_, number) => filled.has(inputs[number].name));
      const choices = group === "machine" ? this.choices() : [];
      fieldset.append(grid(this.select(group), ...choices, ...own));
      if (numbers.length) fieldset.append(this.folded(group, open, grid(...numbers)));
      return fieldset;
    }

    folded(group, open, ...parts) {
      this.summaries[group] = make("summary", {}, "Their numbers");
      return make("details", { "data-group": group, open }, this.summaries[group], ...parts);
    }

    /* The numbers of one candidate. */
    option({ name, inputs }) {
      const fields = inputs.map((input) => this.field(this.calculation.data.inputs[input]));
      return make("fieldset", {}, make("legend", {}, name), grid(...fields));
    }

    /* What is chosen beside the device: what several devices split, and the arithmetic. */
    choices() {
      const { about } = this.calculation;
      const kinds = [about.splits.length > 1 ? "split" : "", about.arithmetic ? "arithmetic" : ""];
      return kinds.filter(Boolean).map((kind) => this.words(kind));
    }

    words(kind) {
      const { calculation } = this;
      const options = Object.keys(calculation.presets(kind)).map((name) =>
        make("option", { value: name }, WORDS[kind][name] ?? name),
      );
      const select = make("select", { id: this.part(kind), "data-kind": kind }, ...options);
      select.value = calculation[kind];
      return make("div", { class: "calculator-field" }, make("label", { for: select.id }, WORDS[kind].label), select);
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

    /* Write into the boxes what a preset has entered. */
    refill() {
      for (const [name, { box }] of Object.entries(this.fields)) box.value = this.calculation.entered[name] ?? "";
    }

    /* Say at each box what is wrong with it, and which numbers of a preset are changed. */
    mark(problems) {
      for (const [name, { box, message, hint }] of Object.entries(this.fields)) {
        const wrong = problems[name];
        box.setAttribute("aria-invalid", String(Boolean(wrong)));
        message.textContent = wrong ?? hint;
        message.classList.toggle("wrong", Boolean(wrong));
        if (wrong) box.closest("details")?.setAttribute("open", "");
      }
      for (const kind of Object.keys(PRESETS).filter((name) => this.summaries[name])) {
        const changed = this.calculation.changed(kind);
        const names = changed.map((name) => this.calculation.data.inputs[name].label.toLowerCase());
        this.summaries[kind].textContent = changed.length
          ? `Its numbers, changed: ${names.join(", ")}`
          : "Its numbers";
      }
    }
  }

  return { Form, make };
})();
