/* The text under the model: where it is typed, continued, and shown byte by byte with its loss. */
globalThis.liveText = (() => {
  "use strict";
  const { make, panel, field, slider } = globalThis.liveParts;
  const { byteName, quoted, byteMark, bytesOf, textOf, counted, nats, change, partName, listed } = globalThis.liveWords;
  const HIGHEST = 6; // nats, of a full bar

  class Text {
    /* `on`: what to do when the text, the window, the chosen byte changed, and for the buttons. */
    constructor(texts, spec, on) {
      this.texts = texts;
      this.box = make("textarea", { rows: 4, maxlength: spec.limit, spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
      this.box.value = Object.values(texts)[0];
      this.examples = make("select", {}, ...Object.keys(texts).map((name) => make("option", {}, name)));
      this.examples.addEventListener("change", () => {
        this.box.value = texts[this.examples.value];
        on.typed();
      });
      this.box.addEventListener("input", on.typed);
      this.warmth = slider(0, 1.5, 0.1, 0.7);
      this.degree = make("output", { for: "live-temperature" });
      this.warmth.addEventListener("input", () => this.warm());
      this.one = this.button("Add a byte", on.step);
      this.run = this.button("Generate", on.run);
      this.window = make("input", { type: "checkbox", checked: true, id: "live-window" });
      this.window.addEventListener("change", on.windowed);
      const window = make("label", { for: "live-window" }, ` Window of ${spec.window} bytes`);
      this.at = slider(1, 1, 1, 1);
      this.at.addEventListener("input", () => on.looked(Number(this.at.value) - 1));
      this.strip = make("div", { class: "live-strip", "aria-hidden": "true" });
      this.strip.addEventListener("click", ({ target }) => {
        const byte = target.closest("[data-at]");
        if (byte) on.looked(Number(byte.dataset.at));
      });
      this.looked = field("live-at", "", this.at);
      this.loss = make("p", { class: "live-said" });
      this.change = make("p", { class: "live-said live-change" });
      const controls = make("div", { class: "live-controls" }, field("live-example", "Start from", this.examples));
      controls.append(field("live-temperature", "Temperature ", this.warmth, this.degree), this.one, this.run);
      controls.append(make("div", { class: "live-field live-check" }, this.window, window));
      const note = `Each byte with its loss as a bar beneath it; a full bar is ${HIGHEST} nats. The first byte has none.`;
      this.element = panel(
        "text",
        "Text",
        field("live-box", `At most ${spec.limit} bytes are read; Python code is what it was trained on`, this.box),
        controls,
        this.strip,
        make("p", { class: "live-note" }, note),
        this.looked,
        this.loss,
        this.change,
      );
      this.warm();
    }

    button(words, action) {
      const made = make("button", { type: "button" }, words);
      made.addEventListener("click", action);
      return made;
    }

    get temperature() {
      return Number(this.warmth.value);
    }

    warm() {
      this.degree.textContent = this.temperature ? this.temperature.toFixed(1) : "0: greedy";
      this.warmth.setAttribute("aria-valuetext", this.degree.textContent);
    }

    /* The bytes of the box. Those that the model wrote stay as they are, also where they are no UTF-8. */
    bytes() {
      return this.written && textOf(this.written) === this.box.value ? this.written : bytesOf(this.box.value);
    }

    write(bytes) {
      this.written = [...bytes];
      this.box.value = textOf(bytes);
      this.box.scrollTop = this.box.scrollHeight;
    }

    running(yes) {
      this.run.textContent = yes ? "Stop" : "Generate";
      this.one.disabled = yes;
    }

    show(session, whole, at) {
      const losses = session.losses();
      const marks = session.bytes.map((byte, place) => {
        const bar = make("span", { class: "live-loss" });
        bar.style.blockSize = `${100 * Math.min(1, (losses[place - 1] ?? 0) / HIGHEST)}%`;
        const title = place ? `${byteName(byte)}: ${nats(losses[place - 1])} nats` : byteName(byte);
        const kind = `live-byte${place === at ? " live-here" : ""}`;
        const mark = make("span", { class: kind, "data-at": place, title }, byteMark(byte), make("span", { class: "live-well" }, bar));
        return byte === 10 ? [mark, make("br")] : [mark];
      });
      this.strip.replaceChildren(...marks.flat());
      Object.assign(this.at, { max: session.bytes.length, value: at + 1 });
      this.at.setAttribute("aria-valuetext", `${at + 1}, ${quoted(session.bytes[at])}`);
      this.looked.firstChild.textContent = `Look at byte ${at + 1} of ${session.bytes.length}, ${quoted(session.bytes[at])}`;
      [this.loss.textContent, this.change.textContent] = this.said(session, whole);
    }

    /* The loss in words, and what it is beside that of the whole model. */
    said(session, whole) {
      const loss = session.loss();
      if (loss === null) return ["A loss needs two bytes.", ""];
      const first = `Loss of this text: ${nats(loss)} nats per byte over ${counted(session.bytes.length - 1)}.`;
      const parts = [...session.off].map(partName);
      if (!parts.length) return [first, "Every part is in the model."];
      return [first, `Without ${listed(parts)}: ${change(whole.loss(), loss)} than the ${nats(whole.loss())} of the whole model.`];
    }
  }

  return { Text };
})();
