/* One card, made into a thing to answer: the question, the controls of its kind, and what is said after it. All HTML
   comes from the page as it was built; what is typed, stored or stands in the address is only ever text. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { make } = course;
  let numbered = 0;

  /* The card in an <article>, with the variants of its question. */
  function read(article) {
    const variant = (root, { answer, unit, tolerance }) => ({
      question: root.querySelector(".ask-question"),
      explanation: root.querySelector(".ask-explanation"),
      answer: Number(answer),
      unit,
      tolerance: Number(tolerance),
    });
    const others = [...article.querySelectorAll("template.ask-variant")];
    return {
      id: article.dataset.card,
      chapter: article.dataset.chapter,
      kind: article.dataset.kind,
      article,
      variants: [
        variant(article, article.dataset),
        ...others.map((template) => variant(template.content, template.dataset)),
      ],
    };
  }

  /* Show a card: its variant is drawn from one seed, the order of its options from another. */
  function play(card, { units, variantSeed, seed, say, lettered = false }) {
    const variant = card.variants[course.chance.choose(card.variants.length, variantSeed)];
    const question = variant.question.cloneNode(true);
    question.id = `ask-question-${(numbered += 1)}`;
    const kind = course.kinds[card.kind]({ ...card, variant, units, seed, say, lettered, labelledby: question.id });
    const body = make("div", { class: "ask-body" }, card.article.querySelector(".ask-kind").cloneNode(true), question);
    if (kind.controls) body.append(kind.controls);
    return {
      card,
      body,
      question,
      variant,
      keys: kind.keys,
      focus: kind.focus,
      problem: kind.problem,
      given: kind.given,
      give: kind.give,
      told: kind.told,
      /* What the folded answer of a card says, in the order in which this question shows it. */
      key: () => [...kind.key(), variant.explanation.cloneNode(true), card.article.querySelector(".ask-source").cloneNode(true)],
      /* Mark the answer. Returns whether it is right and what explains it. */
      check() {
        const { right, said } = kind.check();
        const source = card.article.querySelector(".ask-source").cloneNode(true);
        return { right, explained: [...said, variant.explanation.cloneNode(true), source] };
      },
    };
  }

  /* Set the formulas of what was just shown, one call after the other. */
  let setting = Promise.resolve();
  function typeset(shown) {
    const started = globalThis.MathJax?.startup?.promise;
    if (!started || !shown.querySelector(".math")) return setting;
    setting = setting
      .then(() => started)
      .then(() => shown.isConnected && shown.querySelector(".math:not(:has(mjx-container))")
        && globalThis.MathJax.typesetPromise([shown]));
    return setting;
  }

  const units = (root) => JSON.parse(root.querySelector("script.ask-units").textContent);

  course.card = { read, play, typeset, units };
})();
