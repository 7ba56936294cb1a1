/* Two models of the gallery, or one and a pasted config.json: what differs, in words and in the pictures.
   The differences are those of course_lib.course.gallery.differences, translated; they are loaded when first asked for. */
globalThis.courseGalleryPair = (() => {
  "use strict";
  const NEEDED = ["words", "maths", "values", "repr", "python", "json"].map((part) => `../calculator-${part}.js`);
  const UNITS = { parameters: "weights" };
  const OWN = "config.json";

  const make = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const table = (head, rows) => {
    const top = make("tr", {}, ...head.map((title) => make("th", { scope: "col" }, title)));
    const body = rows.map(([first, ...rest]) =>
      make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((text) => make("td", {}, text))),
    );
    const made = make("table", { class: "table" }, make("thead", {}, top), make("tbody", {}, ...body));
    return make("div", { class: "pst-scrollable-table-container", tabindex: "0" }, made);
  };

  class NotThere extends Error {}
  const loaded = new Map();
  function load(address) {
    if (!loaded.has(address)) {
      loaded.set(
        address,
        new Promise((done, failed) => {
          const script = make("script", { src: address });
          script.onload = done;
          script.onerror = () => failed(new NotThere(`${address} cannot be loaded.`));
          document.head.append(script);
        }),
      );
    }
    return loaded.get(address);
  }
  /* One after the other: each stands on those before it. */
  async function describing(base) {
    for (const name of [...NEEDED, "describe.js"]) await load(base + name);
    return globalThis.courseGallery;
  }

  /* A model of the gallery by its name, or what is pasted; throws with the library's words. */
  async function viewed(base, name, pasted) {
    const { spec, describe, configs } = await describing(base);
    const fields = globalThis.calculatorJson.parse(name === OWN ? pasted : configs[name]);
    return describe(spec(fields));
  }

  function amountText({ value, unit }) {
    const known = UNITS[unit] ?? "bytes";
    return globalThis.calculatorWords.text(Number(value), known) + unit.replace(/^(parameters|bytes)/, "");
  }

  /* Marks of one side: a full key, and its sign. */
  function marksOf(found, side) {
    const pairs = found.flatMap(({ keys }) => [...keys].map((pair) => [...pair]));
    return pairs.filter((pair) => pair[side]).map((pair) => [pair[side], pair[1 - side] ? "≠ " : "+ "]);
  }

  /* Mark a fact in a picture; one that is drawn with an earlier layer marks the part which says so. */
  function mark(picture, key, sign) {
    const at = (name) => picture.querySelector(`text[data-k="${CSS.escape(name)}"]`);
    const text = at(key) ?? at(key.replace(/[^/]*$/, "kind"));
    if (!text || text.classList.contains("gallery-marked")) return;
    text.classList.add("gallery-marked", "B");
    text.classList.remove("m");
    text.textContent = sign + text.textContent;
    const svg = text.ownerSVGElement;
    let box = text.getBBox();
    if (box.x + box.width > svg.viewBox.baseVal.width - 4) {
      text.classList.remove("B");
      box = text.getBBox();
    }
    const ground = document.createElementNS(svg.namespaceURI, "g");
    const places = [
      ["x diff", box.x - 4, box.width + 8, 2],
      ["p diff", box.x - 6, 3, 0],
    ];
    for (const [classes, x, width, rx] of places) {
      const rect = document.createElementNS(svg.namespaceURI, "rect");
      const values = { class: classes, x, width, y: box.y - 0.5, height: box.height + 1, rx };
      for (const [name, value] of Object.entries(values)) rect.setAttribute(name, value);
      ground.append(rect);
    }
    text.before(ground);
  }

  function side(title, html, marks, nth) {
    const holder = make("div", { class: "gallery-side" });
    holder.innerHTML = html.replaceAll(/"g-|( )g-/g, (start) => `${start[0]}pair${nth}-`);
    for (const svg of holder.querySelectorAll("svg")) svg.dataset.side = title;
    return { holder, marks };
  }

  function differing(found, names) {
    const rows = found.map(({ label, left, right, where }) => [label, left, right, [...where].join(", ")]);
    return table(["Fact", ...names, "Where"], rows);
  }

  /* The last stacks are each other's, and the others go by their names, as in course_lib.course.gallery.matching. */
  function lineUp(holders, views) {
    const { lineUp } = globalThis.courseGalleryLining;
    const of = new Map([...globalThis.courseGallery.counterparts(...views)]);
    const [mine, other] = holders.map((holder, nth) => {
      const stacks = [...views[nth].stacks].map((stack) => stack.key);
      const svgs = [...holder.querySelectorAll("svg")];
      return svgs.map((svg, at) => [at === svgs.length - 1 ? "last" : stacks[at], svg]);
    });
    const theirs = new Map(other);
    for (const [key, svg] of mine) if (theirs.has(key)) lineUp(svg, theirs.get(key), of);
  }

  /* What stands under the form: a sentence, the table, the pictures. `pictures` are of the published models alone. */
  function answer(into, names, views, found, pictures, facts) {
    const [left, right] = names;
    const count = found.length === 1 ? "1 fact differs" : `${found.length} facts differ`;
    const said = found.length ? `${left} and ${right}: ${count}.` : `${left} and ${right} have the same architecture.`;
    const parts = [make("p", { class: "gallery-said" }, said)];
    if (found.length) parts.push(differing(found, names));
    const sides = pictures.map((html, nth) => html && side(names[nth], html, marksOf(found, nth), nth));
    const shown = sides.filter(Boolean);
    parts.push(make("div", { class: "gallery-two" }, ...shown.map(({ holder }) => holder)));
    into.replaceChildren(...parts, ...facts);
    if (shown.length === 2) lineUp(shown.map(({ holder }) => holder), views);
    for (const { holder, marks } of shown) for (const [key, sign] of marks) mark(holder, key, sign);
  }

  function ownFacts(view) {
    const rows = [...globalThis.courseGallery.facts(view)].map(([key, { label, text }]) => [label, text, key]);
    const amounts = [...view.amounts].map((one) => [one.label, amountText(one)]);
    return [
      make("h3", {}, "Your model"),
      table(["Amount", "Value"], amounts),
      make("details", {}, make("summary", {}, `All ${rows.length} facts`), table(["Fact", "Value", "Where"], rows)),
      make("p", {}, "Its picture comes from the command line: ", make("code", {}, "course draw config.json"), "."),
    ];
  }

  /* Why there is no answer: in the words of the library or of what could not be loaded. */
  function why(error) {
    const known = [globalThis.calculatorPython?.ValueError, globalThis.calculatorJson?.NotJson, NotThere];
    return known.some((kind) => kind && error instanceof kind) ? error.message : "This config cannot be read.";
  }

  return { OWN, NotThere, make, viewed, answer, ownFacts, why };
})();
