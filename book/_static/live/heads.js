/* The attention of every head as a small map, one of them enlarged, and switches that take heads and FFNs out. */
globalThis.liveHeads = (() => {
  "use strict";
  const { make, panel, field, slider, shades } = globalThis.liveParts;
  const { quoted, largest, nats } = globalThis.liveWords;

  /* Rows are queries, columns keys; the root of a weight is shown, so that small ones are seen too. */
  function draw(canvas, steps, block, head) {
    const rows = steps.map((step) => step.blocks[block]);
    shades(canvas, steps.length, steps.length, (key, query) => {
      const { weights, first } = rows[query];
      return key >= first && key <= query ? Math.sqrt(weights[head][key - first]) : 0;
    });
  }

  class Heads {
    /* `changed` is called with the keys of the parts that are off; `chosen` when another head is looked at. */
    constructor({ blocks, heads }, changed, chosen) {
      Object.assign(this, { blocks, heads, changed, chosen, maps: [], switches: [] });
      this.block = this.head = 0;
      const columns = [...Array.from({ length: heads }, (_, head) => `Head ${head + 1}`), "FFN"];
      const top = make("tr", {}, make("td"), ...columns.map((name) => make("th", { scope: "col" }, name)));
      const rows = Array.from({ length: blocks }, (_, block) => this.row(block));
      const all = make("button", { type: "button" }, "Put every part back");
      all.addEventListener("click", () => this.putBack());
      const note =
        "Choose a map to enlarge it. A box without its tick takes the part out of the model: what it adds is then zero.";
      this.element = panel(
        "heads",
        "Heads and FFNs",
        make("p", { class: "live-note" }, note),
        make("table", { class: "live-parts" }, make("thead", {}, top), make("tbody", {}, ...rows)),
        all,
      );
      this.large = new Large();
    }

    row(block) {
      const cells = Array.from({ length: this.heads }, (_, head) => {
        const where = `head ${head + 1} of block ${block + 1}`;
        const radio = make("input", { type: "radio", name: "live-head", "aria-label": `Enlarge ${where}`, checked: block + head === 0 });
        radio.addEventListener("change", () => {
          Object.assign(this, { block, head });
          this.chosen();
        });
        const map = make("canvas", { class: "live-map", "aria-hidden": "true" });
        this.maps.push({ map, block, head });
        return make("td", {}, make("label", { class: "live-choice" }, radio, map), this.toggle(`${block}.${head}`, where));
      });
      const ffn = make("td", {}, this.toggle(`${block}.ffn`, `the FFN of block ${block + 1}`));
      return make("tr", {}, make("th", { scope: "row" }, `Block ${block + 1}`), ...cells, ffn);
    }

    toggle(key, where) {
      const box = make("input", { type: "checkbox", checked: true, "data-part": key, "aria-label": `Keep ${where}` });
      box.addEventListener("change", () => this.changed(this.off()));
      this.switches.push(box);
      return make("label", { class: "live-switch" }, box, make("span", { "aria-hidden": "true" }));
    }

    off() {
      return this.switches.filter((box) => !box.checked).map((box) => box.dataset.part);
    }

    putBack() {
      for (const box of this.switches) box.checked = true;
      this.changed([]);
    }

    show(session, at) {
      for (const { map, block, head } of this.maps) draw(map, session.steps, block, head);
      for (const box of this.switches) {
        box.closest("td").classList.toggle("live-out", !box.checked);
        box.nextSibling.textContent = box.checked ? "in" : "out";
      }
      this.large.show(session, at, this.block, this.head);
    }
  }

  /* One map, large: the chosen byte's row is framed, and a key is pointed at or chosen. */
  class Large {
    constructor() {
      this.map = make("canvas", { class: "live-map", "aria-hidden": "true" });
      this.row = make("span", { class: "live-row", "aria-hidden": "true" });
      this.cell = make("span", { class: "live-cell", "aria-hidden": "true" });
      this.frame = make("div", { class: "live-frame" }, this.map, this.row, this.cell);
      this.frame.addEventListener("pointermove", (event) => this.pointed(event));
      this.frame.addEventListener("pointerleave", () => this.say());
      this.key = slider(1, 1, 1, 1);
      this.key.addEventListener("input", () => this.say());
      this.title = make("p", { class: "live-note" });
      this.words = make("p", { class: "live-said" });
      this.most = make("p", { class: "live-note" });
      const scale = make("p", { class: "live-scale" }, "weight 0 ", make("span", { class: "live-ramp", "aria-hidden": "true" }), " 1; the middle is 0.25");
      const axes = make("p", { class: "live-note" }, "Rows: the byte that attends. Columns: the byte attended to. The chosen byte's row is framed.");
      const keys = field("live-key", "Byte attended to", this.key);
      this.element = panel("large", "One head, enlarged", this.title, this.frame, scale, keys, this.words, this.most, axes);
    }

    show(session, at, block, head) {
      Object.assign(this, { session, at, block, head });
      draw(this.map, session.steps, block, head);
      const { weights, first } = session.steps[at].blocks[block];
      const cells = session.steps.length;
      this.title.textContent = `Head ${head + 1} of block ${block + 1}`;
      this.row.style.insetBlockStart = `${(100 * at) / cells}%`;
      this.row.style.blockSize = this.cell.style.blockSize = this.cell.style.inlineSize = `${100 / cells}%`;
      Object.assign(this.key, { min: first + 1, max: at + 1 });
      const top = largest(weights[head], 3);
      this.key.value = top[0].place + first + 1;
      const said = top.map(({ place, share }) => `byte ${place + first + 1}, ${quoted(session.bytes[place + first])}: ${nats(share)}`);
      this.most.textContent = `Most of it goes to ${said.join("; ")}.`;
      this.say();
    }

    /* Say how much `query` attends to `key`, both from 0; those chosen when left out. */
    say(query = this.at, key = Number(this.key.value) - 1) {
      const { weights, first } = this.session.steps[query].blocks[this.block];
      const weight = key >= first && key <= query ? weights[this.head][key - first] : 0;
      const name = (at) => `byte ${at + 1}, ${quoted(this.session.bytes[at])}`;
      this.words.textContent = `From ${name(query)} to ${name(key)}: weight ${weight.toFixed(3)}`;
      this.key.setAttribute("aria-valuetext", `${name(key)}, weight ${weight.toFixed(3)}`);
      const cells = this.session.steps.length;
      this.cell.style.insetBlockStart = `${(100 * query) / cells}%`;
      this.cell.style.insetInlineStart = `${(100 * key) / cells}%`;
    }

    pointed(event) {
      const { left, top, width, height } = this.map.getBoundingClientRect();
      const cells = this.session.steps.length;
      const place = (part) => Math.min(cells - 1, Math.max(0, Math.floor(cells * part)));
      const [key, query] = [place((event.clientX - left) / width), place((event.clientY - top) / height)];
      if (key <= query) this.say(query, key);
    }
  }

  return { Heads };
})();
