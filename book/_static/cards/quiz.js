/* A quiz for a class: chapters, number of questions and seed stand in the address, so everybody who opens it gets the
   same cards, numbers and orders. Nothing of it is stored. What the address says is only ever text. */
(() => {
  "use strict";
  const { make, chapters: all, chance, card: cards } = globalThis.courseCards;
  const root = document.querySelector(".quiz");
  if (!root) return;
  const names = JSON.parse(root.dataset.chapters);
  const units = cards.units(root);
  const deck = [...root.querySelector("template.quiz-cards").content.querySelectorAll("article")].map(cards.read);
  const numberOf = (chapter) => chapter.split("_")[0];
  const available = all.map(({ id }) => id).filter((id) => names[id]);

  /* What the address asks for. Throws an Error that says what is allowed; null if it asks for no quiz. */
  function asked(address) {
    const given = new URLSearchParams(address);
    if (!given.has("seed") && !given.has("chapters")) return null;
    const numbers = given.getAll("chapters").join(",").split(",").filter(Boolean);
    const known = available.map(numberOf);
    const wrong = numbers.filter((number) => !known.includes(number));
    if (wrong.length) throw new Error(`chapters=${wrong.join(",")}: allowed are ${known.join(", ")}, with commas between.`);
    const chosen = numbers.length ? available.filter((id) => numbers.includes(numberOf(id))) : available;
    const from = deck.filter(({ chapter }) => chosen.includes(chapter));
    const text = given.get("n") ?? "10";
    const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
    if (count < 1 || count > from.length) {
      throw new Error(`n=${text}: allowed is 1 to ${from.length}, the number of cards to draw from.`);
    }
    const seed = given.get("seed") ?? "";
    const ids = chance.pick(from.map(({ id }) => id), count, seed);
    return { chosen, count, seed, drawn: ids.map((id) => from.find((one) => one.id === id)) };
  }

  function form(chosen, count, seed) {
    const boxes = available.map((id) => make("label", {},
      make("input", { type: "checkbox", value: numberOf(id), checked: chosen.includes(id) }), ` ${names[id]}`));
    const n = make("input", { type: "number", min: "1", max: String(deck.length), value: String(count), required: true });
    const word = make("input", { type: "text", value: seed, required: true, maxlength: "80", spellcheck: "false" });
    const made = make("form", { class: "quiz-form", autocomplete: "off" },
      make("fieldset", {}, make("legend", {}, "Chapters"), ...boxes),
      make("div", { class: "quiz-fields" }, make("label", {}, "Questions", n), make("label", {}, "Seed, any word", word),
        make("button", { type: "submit", class: "deck-main" }, "Make the quiz")));
    made.addEventListener("submit", (event) => {
      event.preventDefault();
      const picked = boxes.map((box) => box.firstChild).filter((box) => box.checked).map(({ value }) => value);
      const query = new URLSearchParams({ chapters: picked.join(","), n: n.value, seed: word.value.trim() });
      location.search = query.toString().replaceAll("%2C", ",");
    });
    return made;
  }

  /* One question with its controls; a recall card takes words, and its writer judges them. */
  function question(card, place, seed, changed) {
    const box = make("section", { class: "quiz-question", "aria-label": `Question ${place}` });
    const verdict = make("p", { role: "status", class: "ask-verdict" });
    const played = cards.play(card, {
      units, variantSeed: `${seed}:${card.id}`, seed: `${seed}:${card.id}`, say: (text) => { verdict.textContent = text; },
    });
    played.body.querySelector(".ask-kind").prepend(make("strong", {}, `Question ${place}. `));
    const words = card.kind === "recall"
      ? make("textarea", { rows: "3", "aria-labelledby": played.question.id, spellcheck: "false" }) : null;
    const explained = make("div", { class: "ask-explained" });
    box.append(played.body, ...(words ? [words] : []), verdict, explained);
    const one = { box, card, right: false, judged: true, played };
    /* What keeps the answer from being marked; an empty text if nothing does. */
    one.problem = () => (words ? (words.value.trim() ? "" : "Write an answer first.") : played.problem());
    one.warn = (problem) => { verdict.textContent = problem; };
    one.finish = (problem) => {
      if (!problem) one.result = played.check();
      if (words) {
        words.readOnly = true;
        one.judged = false;
        explained.before(judge(one, place, changed));
        verdict.textContent = "Judge your answer by this one.";
      } else {
        one.right = !problem && one.result.right;
        verdict.className = `ask-verdict ${one.right ? "right" : "wrong"}`;
        verdict.textContent = problem ? "Not answered." : one.right ? "Right." : "Not right.";
      }
      explained.append(...(one.result?.explained ?? key(card, played)));
      box.querySelectorAll("input, select, .ask-movable button").forEach((control) => {
        if (!control.closest(".quiz-judge")) control.disabled = true;
      });
    };
    return one;
  }

  /* What the folded answer of a card says, for one that was not answered and for the key on paper. */
  function key(card, played) {
    const solution = [".ask-reasons", ".ask-order", ".ask-pairs"].map((part) => card.article.querySelector(part));
    const explanation = played.variant.explanation;
    const source = card.article.querySelector(".ask-source");
    return [...solution.filter(Boolean), explanation, source].map((node) => node.cloneNode(true));
  }

  function judge(one, place, changed) {
    const option = (text, right) => {
      const radio = make("input", { type: "radio", name: `judge-${place}` });
      radio.addEventListener("change", () => {
        Object.assign(one, { right, judged: true });
        changed();
      });
      return make("label", {}, radio, ` ${text}`);
    };
    return make("div", { role: "radiogroup", "aria-label": `Question ${place}: your judgement`, class: "quiz-judge" },
      option("I had it", true), option("I did not", false));
  }

  function run({ chosen, count, seed, drawn }) {
    const link = make("input", { type: "text", class: "quiz-link", readonly: true, value: location.href, "aria-label": "The link to this quiz" });
    const heading = make("p", { class: "quiz-head" },
      `${count} ${count === 1 ? "question" : "questions"}, seed “${seed}”, chapters ${chosen.map(numberOf).join(", ")}`);
    const print = (text, keyed) => {
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => {
        document.documentElement.classList.toggle("quiz-keyed", keyed);
        globalThis.print();
      });
      return button;
    };
    const bar = make("div", { class: "quiz-bar" }, link,
      make("div", { class: "deck-buttons" }, print("Print", false), print("Print with answer key", true)));
    const score = make("p", { role: "status", class: "quiz-score", tabindex: "-1" });
    const finish = make("button", { type: "submit", class: "deck-main" }, "Finish");
    const sheet = make("form", { class: "quiz-sheet", autocomplete: "off", novalidate: true });
    const total = () => {
      const open = questions.filter((one) => !one.judged).length;
      const right = questions.filter((one) => one.judged && one.right).length;
      score.textContent = `${right} of ${questions.length} right${open ? `, ${open} for you to judge` : ""}.`;
    };
    const questions = drawn.map((card, place) => question(card, place + 1, seed, total));
    const answers = questions.map(({ card, played }) => make("li", {}, ...key(card, played)));
    const paper = make("section", { class: "quiz-key" }, make("h2", {}, "Answer key"), heading.cloneNode(true), make("ol", {}, ...answers));
    let warned = false;
    sheet.append(...questions.map(({ box }) => box), finish, score);
    sheet.addEventListener("submit", (event) => {
      event.preventDefault();
      const problems = questions.map((one) => one.problem());
      const open = problems.flatMap((problem, place) => (problem ? [place + 1] : []));
      if (open.length && !warned) {
        warned = true;
        questions.forEach((one, place) => one.warn(problems[place]));
        score.textContent = `Not answered: ${open.join(", ")}. Finish again to count ${open.length === 1 ? "it" : "them"} as not right.`;
        return;
      }
      questions.forEach((one, place) => one.finish(problems[place]));
      finish.remove();
      sheet.prepend(score);
      total();
      cards.typeset(sheet);
      score.focus();
    });
    root.append(heading, bar, sheet, paper);
    cards.typeset(root);
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
