/* The quiz on paper: a line for name and date, the sheet, and a key with the sheet's letters in the sheet's order. The
   fonts of formulas are loaded before the page is printed, those of the key too, which no screen has shown. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { make } = course;

  const header = () => make("p", { class: "quiz-name" },
    make("span", {}, "Name ", make("span", { class: "quiz-filled" })), make("span", {}, "Date ", make("span", { class: "quiz-filled" })));

  function key(questions, heading) {
    const answers = questions.map(({ played }) => make("li", {}, ...played.key()));
    return make("section", { class: "quiz-key" }, make("h2", {}, "Answer key"), heading.cloneNode(true), make("ol", {}, ...answers));
  }

  /* A font that a stylesheet names is forgotten when the page turns from screen to print. Loaded here and added by hand,
     those of the formulas stay. */
  const added = new Map();
  async function fonts() {
    await globalThis.MathJax?.startup?.promise;
    const rules = [...(document.getElementById("MJX-CHTML-styles")?.sheet?.cssRules ?? [])];
    const named = rules.filter((rule) => rule instanceof CSSFontFaceRule).map(({ style }) => style);
    for (const style of named) {
      const [family, source] = [style.getPropertyValue("font-family").replaceAll('"', ""), style.getPropertyValue("src")];
      if (!added.has(family)) added.set(family, new FontFace(family, source).load().then((font) => document.fonts.add(font)));
    }
    await Promise.allSettled([...added.values()]);
  }

  function button(text, keyed) {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", async () => {
      document.documentElement.classList.toggle("quiz-keyed", keyed);
      await course.card.typeset(document.querySelector(".quiz")); // a formula that is set later would unload the fonts
      await fonts();
      globalThis.print();
    });
    return made;
  }

  course.quiz.paper = { header, key, fonts, button };
})();
