/* What reaches the instructor: the result as lines of text, to copy or to save. The last line is a checksum of the lines
   before it (FNV-1a), which finds a slip of copying and is no seal. `course quiz check` reads it:
   course_lib/course/cards/result.py. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { make, files, chance } = course;
  const HEAD = "Architecture, Measured: result of a quiz";

  const tidy = (text) => text.replace(/\s+/g, " ").trim();
  const verdict = (one) => {
    if (!one.answered) return "not answered";
    if (!one.judged) return `not judged (${one.told()})`;
    return `${one.right ? "right" : "not right"}${one.words ? ", judged by the writer" : ""} (${one.told()})`;
  };

  function text({ query, name, finished, questions }) {
    const right = questions.filter((one) => one.judged && one.right).length;
    const lines = [
      HEAD,
      `Name: ${tidy(name)}`,
      `Quiz: ${query}`,
      `Finished: ${finished}`,
      `Score: ${right} of ${questions.length} right`,
      ...questions.map((one, place) => `${place + 1}. ${one.card.id}: ${verdict(one)}`),
    ];
    return `${[...lines, `Check: ${check(lines)}`].join("\n")}\n`;
  }

  const check = (lines) => chance.hash(lines.join("\n")).toString(16).padStart(8, "0");

  /* The panel under a finished quiz. `facts()` says what the result is made of, `named` keeps the name. */
  function panel(facts, named) {
    const name = make("input", { type: "text", maxlength: "80", autocomplete: "name", spellcheck: "false", value: facts().name });
    const shown = make("pre", { class: "quiz-result", tabindex: "0", "aria-label": "Your result as text" });
    const refresh = () => { shown.textContent = text(facts()); };
    name.addEventListener("input", () => { named(name.value); refresh(); });
    const saved = make("button", { type: "button" }, "Save as a file");
    saved.addEventListener("click", () => files.save(text(facts()), "quiz-result.txt"));
    refresh();
    const box = make("section", { class: "quiz-handed", "aria-label": "Your result" },
      make("h2", {}, "Your result"),
      make("p", {}, "Nothing was sent anywhere. Copy these lines or save them, and give them to your instructor."),
      make("label", {}, "Your name ", name),
      make("div", { class: "deck-buttons" }, files.copyButton("Copy the result", () => text(facts())), saved),
      shown);
    return { box, refresh };
  }

  course.quiz.result = { text, check, panel };
})();
