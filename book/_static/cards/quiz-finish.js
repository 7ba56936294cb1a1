/* Before a quiz ends, its writer sees what is open and says that it is to end. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { make } = course;

  function button(text, act, main = false) {
    const made = make("button", { type: "button", class: main ? "deck-main" : null }, text);
    made.addEventListener("click", act);
    return made;
  }

  /* Ask; call `done` only if the answer is yes. */
  function ask(questions, done) {
    const open = questions.flatMap((one, place) => (one.open() || one.problem() ? [[one, place + 1]] : []));
    const answered = questions.length - open.length;
    const dialog = make("dialog", { class: "quiz-dialog", "aria-labelledby": "quiz-finish" });
    const close = () => dialog.close();
    const go = (one) => button(`Question ${one[1]}`, () => { close(); one[0].focus(); });
    dialog.append(make("h2", { id: "quiz-finish" }, "Finish the quiz?"),
      make("p", {}, `${answered} of ${questions.length} answered. After this no answer can be changed.`));
    if (open.length) {
      dialog.append(make("p", { class: "quiz-open" }, "Open questions count as not right:"),
        make("div", { class: "deck-buttons" }, ...open.map(go)));
    }
    const stay = button("Go on answering", close);
    dialog.append(make("div", { class: "deck-buttons quiz-decide" }, stay,
      button("Finish the quiz", () => { close(); done(); }, true)));
    dialog.addEventListener("close", () => dialog.remove());
    document.querySelector(".quiz").append(dialog);
    dialog.showModal();
    stay.focus();
  }

  course.quiz.finish = { ask, button };
})();
