/* A quiz for a class: chapters, number of questions and seed stand in the address, so everybody who opens it gets the
   same cards, numbers and orders. What the address says is only ever text. */
(() => {
  "use strict";
  const { make, chapters: all, chance, card: cards, quiz: parts, files } = globalThis.courseCards;
  const root = document.querySelector(".quiz");
  if (!root) return;
  const names = JSON.parse(root.dataset.chapters);
  const units = cards.units(root);
  const deck = [...root.querySelector("template.quiz-cards").content.querySelectorAll("article")].map(cards.read);
  const numberOf = (chapter) => chapter.split("_")[0];
  const available = all.map(({ id }) => id).filter((id) => names[id]);
  const named = (text) => available.find((id) => id === text || (/^\d+$/.test(text) && Number(numberOf(id)) === Number(text)));

  /* The address of a quiz, after the question mark, always spelled the same. */
  const queryOf = (chosen, count, seed) =>
    new URLSearchParams({ chapters: chosen.map(numberOf).join(","), n: String(count), seed }).toString().replaceAll("%2C", ",");

  /* What the address asks for. Throws an Error that says what is allowed; null if it asks for no quiz. */
  function asked(address) {
    const given = new URLSearchParams(address);
    if (!given.has("seed") && !given.has("chapters")) return null;
    const numbers = given.getAll("chapters").join(",").split(",").map((text) => text.trim()).filter(Boolean);
    const wrong = numbers.filter((text) => !named(text));
    if (wrong.length) {
      throw new Error(`chapters=${wrong.join(",")}: allowed are ${available.map(numberOf).join(", ")}, with commas between.`);
    }
    const wanted = numbers.map(named);
    const chosen = numbers.length ? available.filter((id) => wanted.includes(id)) : available;
    const from = deck.filter(({ chapter }) => chosen.includes(chapter));
    const text = given.get("n") ?? "10";
    const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    if (count < 1 || count > from.length) {
      throw new Error(`n=${text}: allowed is 1 to ${from.length}, the number of cards to draw from.`);
    }
    const seed = given.get("seed") ?? "";
    const ids = chance.pick(from.map(({ id }) => id), count, seed);
    return { chosen, count, seed, query: queryOf(chosen, count, seed), drawn: ids.map((id) => from.find((one) => one.id === id)) };
  }

  function form(chosen, count, seed) {
    const boxes = available.map((id) => make("label", {},
      make("input", { type: "checkbox", value: id, checked: chosen.includes(id) }), ` ${names[id]}`));
    const n = make("input", { type: "number", min: "1", max: String(deck.length), value: String(count), required: true });
    const word = make("input", { type: "text", value: seed, required: true, maxlength: "80", spellcheck: "false" });
    const made = make("form", { class: "quiz-form", autocomplete: "off" },
      make("fieldset", {}, make("legend", {}, "Chapters"), ...boxes),
      make("div", { class: "quiz-fields" }, make("label", {}, "Questions", n), make("label", {}, "Seed, any word", word),
        make("button", { type: "submit", class: "deck-main" }, "Make the quiz")));
    made.addEventListener("submit", (event) => {
      event.preventDefault();
      const picked = boxes.map((box) => box.firstChild).filter((box) => box.checked).map(({ value }) => value);
      location.search = queryOf(picked, n.value, word.value.trim());
    });
    return made;
  }

  /* The link to give away. Opened from a folder the page has no address that others could use: then only its end is shown. */
  function links(query) {
    const fromFolder = location.protocol === "file:";
    const page = location.pathname.split("/").pop();
    const address = fromFolder ? `${page}?${query}` : `${location.origin}${location.pathname}?${query}`;
    const link = make("input", { type: "text", class: "quiz-link", readonly: true, value: address, "aria-label": "The link to this quiz" });
    const row = make("div", { class: "quiz-share" }, link, files.copyButton("Copy the link", () => address));
    if (!fromFolder) return [row];
    return [row, make("p", { class: "quiz-hint" }, "This page was opened from a folder. Put the address of your site, or the path on "
      + "your learners’ machines, before these words.")];
  }

  function run({ chosen, count, seed, query, drawn }) {
    const heading = make("p", { class: "quiz-head" },
      `${count} ${count === 1 ? "question" : "questions"}, seed “${seed}”, chapters ${chosen.map(numberOf).join(", ")}`);
    const score = make("p", { role: "status", class: "quiz-score", tabindex: "-1" });
    const restored = make("p", { role: "status", class: "quiz-restored" });
    const sheet = make("div", { class: "quiz-sheet" });
    const state = { name: "", finished: null, panel: null };
    let ready = false;

    const total = () => {
      const open = questions.filter((one) => !one.judged).length;
      const right = questions.filter((one) => one.judged && one.right).length;
      score.textContent = `${right} of ${count} right${open ? `, ${open} for you to judge` : ""}.`;
    };
    const keep = () => {
      if (!ready) return;
      const answers = questions.map((one) => one.given());
      const judged = questions.map((one) => (state.finished && one.words && one.judged && one.answered ? one.right : null));
      parts.kept.write(query, { answers, judged, finished: state.finished, name: state.name });
    };
    const changed = () => {
      if (state.finished) {
        total();
        state.panel?.refresh();
      }
      keep();
    };
    const questions = drawn.map((card, place) => parts.question(card, place + 1, {
      seed, units, changed, next: () => (questions[place + 1] ?? { focus: () => finish.focus() }).focus(),
    }));

    function end(when) {
      state.finished = when;
      questions.forEach((one) => one.finish());
      finish.remove();
      sheet.prepend(score);
      total();
      const facts = () => ({ query, name: state.name, finished: state.finished, questions });
      state.panel = parts.result.panel(facts, (name) => { state.name = name; keep(); });
      sheet.append(state.panel.box);
      cards.typeset(sheet);
    }
    const finish = parts.finish.button("Finish", () => parts.finish.ask(questions, () => {
      end(new Date().toISOString());
      keep();
      score.focus();
    }), true);
    const again = () => {
      parts.kept.forget(query);
      ready = false;
      location.reload();
    };

    sheet.append(...questions.map(({ box }) => box), finish);
    const paper = parts.paper.key(questions, heading);
    const bar = make("div", { class: "quiz-bar" }, ...links(query),
      make("div", { class: "deck-buttons" }, parts.paper.button("Print", false), parts.paper.button("Print with answer key", true)));
    root.append(heading, bar, restored, parts.paper.header(), sheet, paper);

    const kept = parts.kept.read(query, count);
    if (kept) {
      kept.answers.forEach((answer, place) => questions[place].give(answer));
      state.name = kept.name;
      if (kept.finished) end(kept.finished);
      kept.judged.forEach((right, place) => { if (kept.finished && typeof right === "boolean") questions[place].judge(right); });
      restored.append("Your answers are as you left them. ", parts.finish.button("Start again", again));
    }
    ready = true;
    window.addEventListener("pagehide", keep);
    window.addEventListener("beforeunload", (event) => {
      if (ready && !state.finished && questions.some((one) => !one.open())) event.preventDefault();
    });
    cards.typeset(root);
    window.addEventListener("load", parts.paper.fonts); // for a reader who prints without our button
  }

  let quiz = null;
  const problem = make("p", { role: "alert", class: "deck-notice" });
  try {
    quiz = asked(location.search);
  } catch (error) {
    problem.textContent = error.message;
  }
  root.append(problem, form(quiz?.chosen ?? available, quiz?.count ?? 10, quiz?.seed ?? ""));
  if (quiz) run(quiz);
})();
