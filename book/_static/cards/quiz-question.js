/* One question of a class quiz: its controls, what keeps it from being marked, what is said once the quiz is finished.
   A recall card takes words, and its writer judges them. Enter checks what was typed and moves on; it finishes nothing. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { make, card: cards } = course;

  function judge(place, judged) {
    const option = (text, right) => {
      const radio = make("input", { type: "radio", name: `judge-${place}`, value: String(right) });
      radio.addEventListener("change", () => judged(right));
      return make("label", {}, radio, ` ${text}`);
    };
    return make("div", { role: "radiogroup", "aria-label": `Question ${place}: your judgement`, class: "quiz-judge" },
      option("I had it", true), option("I did not", false));
  }

  /* `changed` is called when an answer or a judgement changes, `next` when Enter moves on. */
  function question(card, place, { seed, units, changed, next }) {
    const own = `${seed}:${card.id}`;
    const box = make("section", { class: "quiz-question", "aria-label": `Question ${place}` });
    const verdict = make("p", { role: "status", class: "ask-verdict" });
    const say = (text) => { verdict.textContent = text; };
    const played = cards.play(card, { units, variantSeed: own, seed: own, say, lettered: true });
    played.body.querySelector(".ask-kind").prepend(make("strong", {}, `Question ${place}. `));
    played.question.tabIndex = -1;
    const words = card.kind === "recall"
      ? make("textarea", { rows: "3", "aria-labelledby": played.question.id, spellcheck: "false" }) : null;
    const explained = make("div", { class: "ask-explained" });
    box.append(played.body, ...(words ? [words] : []), verdict, explained);
    const one = { box, card, played, right: false, judged: true, answered: false, words: words !== null };

    one.given = () => (words ? words.value.trim() || null : played.given());
    one.give = (value) => {
      if (value === null) return;
      if (words) words.value = String(value);
      else played.give(value);
    };
    /* An order that nobody touched counts as open: it stands as the quiz shuffled it. */
    one.open = () => one.given() === null;
    one.problem = () => (words ? (words.value.trim() ? "" : "Write an answer first.") : played.problem());
    one.told = () => (words ? words.value.trim().replace(/\s+/g, " ") : played.told());
    one.focus = () => {
      (box.querySelector("input, select, textarea, .ask-movable button") ?? played.question).focus();
      box.scrollIntoView({ block: "nearest" });
    };

    const setRight = (right) => {
      Object.assign(one, { right, judged: true });
      changed();
    };
    one.judge = (right) => {
      box.querySelector(`.quiz-judge [value="${right}"]`).checked = true;
      setRight(right);
    };
    one.finish = () => {
      const problem = one.problem();
      one.answered = !problem;
      const result = problem ? null : played.check();
      if (words) {
        words.readOnly = true;
        if (one.answered) {
          one.judged = false;
          explained.before(judge(place, setRight));
        }
      }
      one.right = !words && Boolean(result?.right);
      const marked = !one.answered || !words;
      verdict.className = `ask-verdict ${marked ? (one.right ? "right" : "wrong") : ""}`;
      verdict.textContent = !one.answered ? "Not answered." : words ? "Judge your answer by this one."
        : one.right ? "Right." : "Not right.";
      explained.append(...(result?.explained ?? played.key()));
      box.querySelectorAll("input, select, .ask-movable button").forEach((control) => {
        if (!control.closest(".quiz-judge")) control.disabled = true;
      });
    };

    box.addEventListener("input", () => { say(""); changed(); });
    box.addEventListener("click", (event) => { if (event.target.closest(".ask-movable button")) changed(); });
    box.addEventListener("keydown", (event) => {
      if (event.key.startsWith("Arrow")) changed();
      if (event.key !== "Enter" || !event.target.matches("input, select") || event.target.closest(".quiz-judge")) return;
      event.preventDefault();
      const problem = one.problem();
      if (event.target.type === "text" && problem) say(problem);
      else next();
    });
    return one;
  }

  course.quiz = { question };
})();
