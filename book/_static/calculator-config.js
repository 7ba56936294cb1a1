/* <course-config>: a pasted config.json, and what the model costs. What is pasted stays in the page, as text. */
(() => {
  "use strict";
  const { text, parse } = globalThis.calculatorWords;
  const { make } = globalThis.calculatorForm;
  const { read } = globalThis.calculatorReader;
  const { models } = globalThis.calculatorConfig;
  const START = "llama-3.1-8b";
  const NUMBERS = { tokens: "8192", bytes_per_element: "2" };
  const PARTS = {
    embedding: "words, positions, patches",
    attention: "attention",
    cross_attention: "attention to the encoder",
    state: "state spaces, time mixing",
    ffn: "FFN",
    experts: "routed experts",
    shared_experts: "shared experts",
    router: "routers",
    norm: "norms",
    head: "head",
    vision: "image tower",
  };

  const cell = (tag, content, attributes = {}) => make(tag, attributes, content);
  const table = (head, rows) => {
    const top = make("tr", {}, ...head.map((title) => cell("th", title, { scope: "col" })));
    const body = rows.map(([first, ...rest]) =>
      make("tr", {}, cell("th", first, { scope: "row" }), ...rest.map((content) => cell("td", content))),
    );
    const made = make("table", { class: "table" }, make("thead", {}, top), make("tbody", {}, ...body));
    return make("div", { class: "pst-scrollable-table-container", tabindex: "0" }, made);
  };
  const field = (label, box, ...below) =>
    make("div", { class: "calculator-field" }, make("label", { for: box.id }, label), box, ...below);
  const entry = (label, value) =>
    make("div", {}, make("dt", {}, label), make("dd", { class: "calculator-value" }, value));
  const count = (value) => text(value, "count");

  /* What stands beside a wrapper's language part: what is counted, and what is only named. */
  function besides(beside, total, whole) {
    const known = [...beside].filter(([, parameters]) => parameters);
    const unknown = [...beside].filter(([, parameters]) => !parameters).map(([name]) => name);
    const parts = known.map(([name, parameters]) => `${name} ${count(parameters)}`).join(" + ");
    const sum = `Language part ${count(total)} + ${parts} = ${count(whole)}.`;
    return [...(known.length ? [sum] : []), ...(unknown.length ? [`Not counted: ${unknown.join(", ")}.`] : [])];
  }

  /* How the weights lie in the file: bytes, bits of one on average, and the file's own words. */
  function stored({ quantisation, weight_bytes: bytes, bits_per_weight: bits }) {
    const average = `${text(bytes, "bytes")}, ${Number(bits.toPrecision(4))} bits a weight`;
    if (!quantisation) return `${average}: the config names no quantisation`;
    return `${average} on average: ${quantisation}`;
  }

  class CourseConfig extends HTMLElement {
    connectedCallback() {
      if (this.pasted) return;
      this.pasted = make("textarea", {
        id: "config-json",
        rows: "14",
        spellcheck: "false",
        autocomplete: "off",
        "aria-describedby": "config-message",
      });
      const options = Object.keys(models).map((name) => make("option", { value: name }, name));
      this.model = make("select", { id: "config-model" }, make("option", { value: "" }, "pasted"), ...options);
      this.boxes = Object.keys(NUMBERS).map((name) => this.number(name));
      this.message = make("div", {
        class: "calculator-answer",
        id: "config-message",
        role: "status",
        "aria-live": "polite",
      });
      this.facts = make("dl", { class: "calculator-facts" });
      this.detail = make("div", {});
      const reset = make("button", { type: "button" }, "Start again");
      reset.addEventListener("click", () => this.start());
      const tools = make("div", { class: "calculator-tools" }, reset);
      this.querySelector(".calculator-question").after(this.form(), this.message, this.facts, this.detail, tools);
      this.start();
    }

    form() {
      const numbers = this.boxes.map(({ made }) => made);
      const form = make(
        "form",
        { autocomplete: "off", novalidate: true, class: "calculator-config" },
        make("div", { class: "calculator-fields" }, field("Published config", this.model), ...numbers),
        field("config.json", this.pasted),
      );
      form.addEventListener("submit", (event) => event.preventDefault());
      form.addEventListener("input", (event) => this.typed(event.target));
      return form;
    }

    number(name) {
      const input = globalThis.calculatorData.inputs[name];
      const id = `config-${name}`;
      const box = make("input", { type: "text", inputmode: "decimal", id, "aria-describedby": `${id}-note` });
      const note = make("span", { class: "calculator-note", id: `${id}-note` }, input.hint);
      return { name, input, box, note, made: field(`${input.label} (${input.unit})`, box, note) };
    }

    start() {
      for (const { name, box } of this.boxes) box.value = NUMBERS[name];
      this.model.value = START;
      this.pasted.value = models[START];
      this.update();
    }

    typed(target) {
      if (target === this.model && target.value) this.pasted.value = models[target.value];
      if (target === this.pasted) {
        this.model.value = Object.keys(models).find((name) => models[name] === target.value) ?? "";
      }
      this.update();
    }

    /* The numbers beside the config, or the first of them that is not allowed, in words. */
    numbers() {
      const wrong = [];
      const values = this.boxes.map(({ input, box, note }) => {
        const value = parse(box.value, input);
        const fine = value >= input.least && value <= input.most && (!input.whole || Number.isInteger(value));
        box.setAttribute("aria-invalid", String(!fine));
        note.textContent = fine ? input.hint : `${input.label}: ${input.allowed} is allowed.`;
        note.classList.toggle("wrong", !fine);
        if (!fine) wrong.push(note.textContent);
        return value;
      });
      return { values, error: wrong[0] };
    }

    update() {
      const { values, error } = this.numbers();
      const found = error ? { error } : read(this.pasted.value, ...values);
      this.pasted.setAttribute("aria-invalid", String(Boolean(found.error && !error)));
      this.toggleAttribute("data-answered", !found.error);
      this.facts.hidden = this.detail.hidden = Boolean(found.error);
      if (found.error) {
        this.message.replaceChildren(make("p", { class: "calculator-wrong" }, `No answer. ${found.error}`));
        return;
      }
      this.answer(found, values[0]);
      this.list(found.summary, ...values);
      this.show(found);
    }

    answer({ summary, family }, tokens) {
      const { total, active, layers, context, counted, beside, whole } = summary;
      const working = active === total ? "all of them" : `${count(active)} of them`;
      const beyond = context && tokens > context;
      this.message.replaceChildren(
        make("p", { class: "calculator-number" }, `${text(total, "weights")} parameters`),
        make("p", {}, `${family}: ${count(total)} parameters in ${count(layers)} layers; ${working} work on a token.`),
        counted ? make("p", {}, `Counted as ${counted}.`) : "",
        ...besides(beside, total, whole).map((line) => make("p", {}, line)),
        beyond ? make("p", {}, `${count(tokens)} tokens are more than the model's own ${count(context)}.`) : "",
      );
    }

    /* A model that writes no text has no decoding and no cache. */
    list(summary, tokens, bytes) {
      const or = (value, unit) => (value === null ? "none: it writes no text" : text(Number(value), unit));
      this.facts.replaceChildren(
        entry("Active parameters", or(summary.active, "weights")),
        entry("Head", summary.tied ? "the word table (tied)" : "its own"),
        entry("Share of the embedding", or(summary.embedding_share, "share")),
        entry("Weights as the file stores them", stored(summary)),
        entry(`FLOPs a token, prompt of ${count(tokens)}`, or(summary.prefill_flops, "flops")),
        entry("of these, attention over pairs", or(summary.prefill_attention_share, "share")),
        entry(`FLOPs a token, decoding at ${count(tokens)}`, or(summary.decode_flops, "flops")),
        entry("Cache a token", or(summary.cache_bytes_per_token, "bytes")),
        entry(`Cache at ${count(tokens)} tokens, ${bytes} bytes a number`, or(summary.cache_bytes, "bytes")),
      );
    }

    show({ summary, read: fields, unread }) {
      const parts = [...summary.by_part].map(([part, value]) => [
        PARTS[part],
        count(value),
        text(value / summary.total, "share"),
      ]);
      const rows = fields.map(([name, value, given]) => [name, value, given ? "the config" : "the family's default"]);
      const left = unread.length ? `The family reads no ${unread.join(", ")}.` : "Every field was read.";
      this.detail.replaceChildren(
        table(["Part", "Parameters", "Share"], parts),
        make(
          "details",
          { open: Boolean(this.detail.querySelector("details[open]")) },
          make("summary", {}, `Fields read: ${fields.length}; not read: ${unread.length}`),
          table(["Field", "Value", "From"], rows),
          make("p", {}, left),
        ),
      );
    }
  }

  customElements.define("course-config", CourseConfig);
})();
