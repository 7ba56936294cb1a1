/* <course-calculator name="...">: inputs, answer and plot of one calculator, built around what the page brings
   (the formula, worked values). Without this script those are all there is. */
(() => {
  "use strict";
  const { Calculation, text } = globalThis.calculatorCore;
  const { Form, make } = globalThis.calculatorForm;
  const { Picture } = globalThis.calculatorPicture;

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
      new ResizeObserver(() => this.draw()).observe(this.picture.place);
    }

    restore() {
      const parts = new URLSearchParams(location.search);
      this.calculation.restore(parts);
      this.linear = parts.get(`${this.calculation.name}.axes`) === "linear";
    }

    build() {
      const open = new Set([...this.live.querySelectorAll("details[open]")].map((details) => details.dataset.group));
      this.form = new Form(this.calculation, open);
      this.form.element.addEventListener("submit", (event) => event.preventDefault());
      this.form.element.addEventListener("input", (event) => this.typed(event.target));
      this.answer = make("div", { class: "calculator-answer", role: "status", "aria-live": "polite" });
      this.facts = make("dl", { class: "calculator-facts" });
      this.picture = new Picture(this.calculation);
      this.live.replaceChildren(this.form.element, this.answer, this.facts, this.picture.element, this.tools());
    }

    tools() {
      const axes = make("input", { type: "checkbox", id: this.form.part("axes") });
      axes.checked = this.linear;
      axes.addEventListener("change", () => {
        this.linear = axes.checked;
        this.draw();
      });
      const share = make("button", { type: "button" }, "Copy link");
      share.addEventListener("click", () => this.copy());
      const reset = make("button", { type: "button" }, "Start again");
      reset.addEventListener("click", () => this.startAgain());
      this.shared = make("span", { class: "calculator-shared", role: "status" });
      const box = make("span", {}, axes, make("label", { for: axes.id }, "Linear axes"));
      return make("div", { class: "calculator-tools" }, box, share, reset, this.shared);
    }

    typed(target) {
      const { calculation } = this;
      if (target.dataset.kind) {
        const before = calculation.at;
        calculation.choose(target.dataset.kind, target.value);
        if (calculation.at !== before || target.dataset.kind === "machine") {
          this.build();
          this.querySelector(`#${CSS.escape(target.id)}`).focus();
        } else {
          this.form.refill();
        }
      } else if (target.dataset.input) {
        if (calculation.type(target.dataset.input, target.value)) this.form.refill();
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
      this.form.mark(problems);
      const results = Object.keys(problems).length ? null : calculation.results();
      this.toggleAttribute("data-answered", results !== null);
      this.picture.element.hidden = this.facts.hidden = results === null;
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

    showAnswer(results) {
      const { about, units } = this.calculation;
      this.answer.replaceChildren(
        make("p", { class: "calculator-number" }, text(results[about.answer], units[about.answer])),
        make("p", {}, this.calculation.finding(results)),
        ...this.beyond(),
      );
      this.facts.replaceChildren(
        ...this.calculation
          .facts(results)
          .map(([label, value]) =>
            make("div", {}, make("dt", {}, label), make("dd", { class: "calculator-value" }, value)),
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
      this.picture.draw(this.results, this.linear);
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
