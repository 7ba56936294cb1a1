/* The six kinds of card: the controls to answer with, and how an answer is marked. Each kind is a function of a question
   that returns {controls, problem, check, given, give, told, key}. `problem` says what keeps the answer from being marked,
   or nothing. `check` locks the controls and returns whether the answer is right (null: the reader judges) and what
   explains it. `given` is the answer so far as JSON can hold it (null: none), `give` puts such an answer back, `told` says it
   in a line, and `key` is what a key on paper says, in the order and with the letters of the sheet. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  let numbered = 0;

  /* An element; text is text, never HTML. */
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  const name = (stem) => `ask-${stem}-${(numbered += 1)}`;
  const copy = (node, tag = "span") => make(tag, {}, ...[...node.childNodes].map((child) => child.cloneNode(true)));
  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const strong = (text) => make("p", { class: "ask-solution" }, make("strong", {}, text));
  const mark = (right) => make("span", { class: `ask-mark ${right ? "right" : "wrong"}` }, right ? "Right" : "Not right");

  function recall() {
    const nothing = { given: () => null, give: () => {}, told: () => "", key: () => [] };
    return { controls: null, problem: () => "", check: () => ({ right: null, said: [] }), ...nothing };
  }

  function choice({ article, seed, labelledby, lettered }) {
    const texts = [...article.querySelectorAll(".ask-reasons > li")];
    const group = name("choice");
    const radios = [];
    const shown = course.chance.shownOrder(texts.length, seed);
    const letter = (place) => LETTERS[shown.indexOf(place)];
    const rows = shown.map((place, number) => {
      const radio = make("input", { type: "radio", name: group, value: place });
      radios.push(radio);
      const key = make("kbd", { "aria-hidden": "true" }, lettered ? LETTERS[number] : String(number + 1));
      return make("label", { class: "ask-option" }, radio, key, copy(texts[place].querySelector(".ask-text")));
    });
    return {
      controls: make("div", { role: "radiogroup", "aria-labelledby": labelledby, class: "ask-rows" }, ...rows),
      keys(digit) {
        radios[digit - 1]?.focus();
        radios[digit - 1]?.click();
      },
      problem: () => (radios.some((radio) => radio.checked) ? "" : "Choose an option first."),
      given: () => radios.find((radio) => radio.checked)?.value ?? null,
      give(value) {
        for (const radio of radios) radio.checked = radio.value === value;
      },
      told: () => letter(Number(radios.find((radio) => radio.checked).value)),
      key() {
        const right = texts.findIndex((text) => text.classList.contains("right"));
        const reasons = shown.map((place) => texts[place].cloneNode(true));
        return [strong(letter(right)), make("ol", { type: "A", class: "ask-reasons" }, ...reasons)];
      },
      check() {
        const chosen = radios.find((radio) => radio.checked);
        const reason = texts[chosen.value];
        const answer = texts.find((text) => text.classList.contains("right"));
        for (const radio of radios) {
          radio.disabled = true;
          const right = texts[radio.value] === answer;
          radio.parentElement.classList.toggle("right", right);
          radio.parentElement.classList.toggle("wrong", radio.checked && !right);
          if (right || radio.checked) radio.parentElement.append(mark(right));
        }
        const why = (text) => copy(text.querySelector(".ask-because"), "p");
        if (reason === answer) return { right: true, said: [why(answer)] };
        const instead = make("p", {}, make("strong", {}, "The answer: "), copy(answer.querySelector(".ask-text")), ". ");
        instead.append(copy(answer.querySelector(".ask-because")));
        return { right: false, said: [why(reason), instead] };
      },
    };
  }

  function number({ variant, units, labelledby }) {
    const { answer, unit, tolerance } = variant;
    const unitName = name("unit");
    const input = make("input", {
      type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false", class: "ask-number-input",
      "aria-labelledby": `${labelledby} ${unitName}`,
    });
    const row = make("div", { class: "ask-number-row" }, input, make("span", { id: unitName }, unit || "(a number)"));
    return {
      controls: row,
      focus: () => input.focus(),
      given: () => input.value.trim() || null,
      give(value) {
        input.value = String(value);
      },
      told: () => `${input.value.trim()}${/\d$/.test(input.value.trim()) && unit ? ` ${unit}` : ""}`,
      key: () => [],
      problem() {
        if (!input.value.trim()) return `Type a number first${unit ? `, in ${unit}` : ""}.`;
        try {
          course.answers.read(input.value, unit, units);
        } catch (error) {
          return error.message;
        }
        return "";
      },
      check() {
        const given = course.answers.read(input.value, unit, units);
        const right = course.answers.isRight(given, answer, tolerance);
        input.readOnly = true;
        row.append(mark(right));
        return { right, said: [] };
      },
    };
  }

  function order({ article, seed, labelledby, say, lettered }) {
    const items = [...article.querySelectorAll(".ask-order > li")];
    const list = make("ol", { class: "ask-rows ask-movable", "aria-labelledby": labelledby });
    const move = (row, step) => {
      const rows = [...list.children];
      const place = rows.indexOf(row) + step;
      if (place < 0 || place >= rows.length) return;
      if (step < 0) rows[place].before(row);
      else rows[place].after(row);
      say(`Now ${place + 1} of ${rows.length}.`);
    };
    const shown = course.chance.shownOrder(items.length, seed);
    const letter = (place) => LETTERS[shown.indexOf(place)];
    const given = () => [...list.children].map((row) => Number(row.dataset.place));
    for (const place of shown) {
      const text = copy(items[place]);
      text.id = name("item");
      const row = make("li", { "data-place": place }, text);
      if (lettered) row.prepend(make("kbd", {}, letter(place)));
      for (const [label, arrow, step] of [["Move up", "↑", -1], ["Move down", "↓", 1]]) {
        const button = make("button", { type: "button", title: label, "aria-label": label, "aria-describedby": text.id }, arrow);
        button.addEventListener("click", () => {
          move(row, step);
          button.focus();
        });
        row.append(button);
      }
      row.addEventListener("keydown", (event) => {
        const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
        if (!step || list.classList.contains("locked")) return;
        event.preventDefault();
        const focused = document.activeElement;
        move(row, step);
        focused.focus();
      });
      list.append(row);
    }
    return {
      controls: list,
      problem: () => "",
      given: () => (given().join() === shown.join() ? null : given()),
      give: (places) => list.append(...places.map((place) => list.querySelector(`[data-place="${place}"]`))),
      told: () => given().map(letter).join(" "),
      key: () => [strong(items.map((_, place) => letter(place)).join(", ")), article.querySelector(".ask-order").cloneNode(true)],
      check() {
        const found = [...list.children].map((row, place) => Number(row.dataset.place) === place);
        list.classList.add("locked");
        [...list.children].forEach((row, place) => {
          row.querySelectorAll("button").forEach((button) => button.remove());
          row.append(mark(found[place]));
        });
        const right = found.every(Boolean);
        return { right, said: right ? [] : [article.querySelector(".ask-order").cloneNode(true)] };
      },
    };
  }

  function match({ article, seed, lettered }) {
    const pairs = [...article.querySelectorAll(".ask-pairs tr")];
    const lefts = pairs.map((row) => row.querySelector("th > *"));
    const rights = pairs.map((row) => row.querySelector("td > *"));
    const shown = course.chance.shownOrder(pairs.length, seed);
    const letter = (place) => String.fromCharCode(65 + shown.indexOf(place));
    const offered = make("ol", { type: "A", class: "ask-offered" }, ...shown.map((place) => copy(rights[place], "li")));
    const selects = [];
    const rows = lefts.map((left, place) => {
      const text = copy(left);
      text.id = name("left");
      const own = name("select");
      const named = { id: own, "aria-label": `Line ${place + 1}`, "aria-labelledby": `${own} ${text.id}` };
      const select = make("select", named, make("option", { value: "" }, "–"));
      for (const place of shown) select.append(make("option", { value: place }, letter(place)));
      selects.push(select);
      return make("li", {}, ...(lettered ? [make("kbd", {}, String(selects.length))] : []), text, select);
    });
    const told = (places) => places.map((place, line) => `${line + 1} ${place === "" ? "–" : letter(Number(place))}`).join(", ");
    return {
      given: () => (selects.some((select) => select.value) ? selects.map((select) => select.value) : null),
      give(values) {
        selects.forEach((select, line) => { select.value = values[line]; });
      },
      told: () => told(selects.map((select) => select.value)),
      key: () => [strong(told(lefts.map((_, place) => place))), article.querySelector(".ask-pairs").cloneNode(true)],
      controls: make("div", {}, offered, make("ul", { class: "ask-rows ask-matching" }, ...rows)),
      problem: () => (selects.every((select) => select.value) ? "" : "Choose a letter for every line first."),
      check() {
        const found = selects.map((select, place) => Number(select.value) === place);
        selects.forEach((select, place) => {
          select.disabled = true;
          select.after(mark(found[place]));
        });
        const right = found.every(Boolean);
        return { right, said: right ? [] : [article.querySelector(".ask-pairs").cloneNode(true)] };
      },
    };
  }

  course.kinds = { recall, choice, computed: number, predict: number, order, match };
  course.make = make;
})();
