/* A deck: one card at a time, what is due first, then what is new. Without this script every card stands on the page as
   a question and a folded answer. */
(() => {
  "use strict";
  const { make, card: cards, store, progress, schedule } = globalThis.courseCards;
  const root = document.querySelector(".cards-deck");
  if (!root) return;
  const RATINGS = [["Again", 1], ["Hard", 2], ["Good", 3], ["Easy", 4]];
  const AHEAD = 20 * 60_000; // a learning step this near is taken now, not waited for

  const units = cards.units(root);
  const articles = [...root.querySelectorAll("article")];
  const deck = articles.map(cards.read);
  const bar = make("div", { class: "deck-bar" });
  const status = make("p", { role: "status", class: "deck-status" });
  const notice = make("p", { role: "alert", class: "deck-notice" });
  const stage = make("div", { class: "deck-stage" });
  let shown = null;
  let answered = null;
  let chosen = deck;
  let last = null;
  let listed = false;

  const entryOf = (one) => store.load().cards.get(one.id);

  /* Due first, the longest waiting first; then new ones in their order; then learning steps that are near. */
  function nextCard(ahead = false) {
    const stored = store.load().cards;
    const now = Date.now();
    const known = chosen.filter(({ id }) => stored.has(id));
    const wait = ({ id }) => Date.parse(stored.get(id).due) - now;
    const waiting = known.sort((one, other) => wait(one) - wait(other));
    const due = waiting.filter((one) => wait(one) <= 0);
    const fresh = chosen.filter(({ id }) => !stored.has(id));
    const near = waiting.filter((one) => wait(one) > 0 && (ahead || (wait(one) <= AHEAD && stored.get(one.id).state !== 2)));
    const queue = [...due, ...fresh, ...near];
    return queue.find((one) => one !== last) ?? queue[0] ?? null;
  }

  function count() {
    const stored = store.load();
    const { due, fresh } = progress.counts(stored, chosen.map(({ id }) => id), new Date());
    status.textContent = `${due} due, ${fresh} new, ${chosen.length - due - fresh} later`;
    const said = store.takeNotice();
    if (said) notice.textContent = said;
  }

  /* Show the next card. The reader's place moves to it only if they were in the deck already. */
  function show({ focus = true, ahead = false } = {}) {
    if (shown) globalThis.MathJax?.typesetClear?.([stage]);
    const one = nextCard(ahead);
    if (!one) {
      finish(focus);
      return;
    }
    const reps = entryOf(one)?.reps ?? 0;
    const seed = `${one.id}:${reps}`;
    answered = null;
    const verdict = make("p", { role: "status", class: "ask-verdict" });
    const check = make("button", { type: "submit", class: "deck-main" }, one.kind === "recall" ? "Show answer" : "Check");
    const explained = make("div", { class: "ask-explained", tabindex: "-1", hidden: true });
    const ratings = make("div", { role: "group", "aria-label": "When to ask again", class: "deck-ratings", hidden: true });
    shown = cards.play(one, { units, variantSeed: seed, seed, say: (text) => { verdict.textContent = text; } });
    const form = make("form", { class: "ask-form", autocomplete: "off", novalidate: true },
      shown.body, check, verdict, explained, ratings);
    shown.question.tabIndex = -1;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!answered) mark(check, verdict, explained, ratings);
    });
    stage.replaceChildren(form);
    cards.typeset(form);
    count();
    if (focus) (shown.focus ?? (() => shown.question.focus()))();
  }

  function mark(check, verdict, explained, ratings) {
    const problem = shown.problem();
    if (problem) {
      verdict.textContent = problem;
      return;
    }
    const { right, explained: said } = shown.check();
    verdict.className = `ask-verdict ${right === null ? "" : right ? "right" : "wrong"}`;
    verdict.textContent = right === null ? "How well did you know it?" : right ? "Right." : "Not right.";
    explained.replaceChildren(...said);
    explained.hidden = false;
    check.remove();
    answered = { suggested: right === false ? 1 : 3, allowed: right === null ? [1, 2, 3, 4] : right ? [2, 3, 4] : [1] };
    const now = new Date();
    const before = entryOf(shown.card);
    ratings.append(...RATINGS.filter(([, rating]) => answered.allowed.includes(rating)).map(([name, rating]) => {
      const wait = Date.parse(schedule.next(before, rating, now).due) - now.getTime();
      const button = make("button", { type: "button", class: rating === answered.suggested ? "deck-main" : null },
        make("kbd", { "aria-hidden": "true" }, String(rating)), ` ${name} `, make("span", {}, schedule.inWords(wait)));
      button.addEventListener("click", () => rate(rating));
      return button;
    }));
    ratings.hidden = false;
    cards.typeset(explained);
    explained.focus();
  }

  function rate(rating) {
    last = shown.card;
    store.review(last.id, rating, new Date());
    show();
  }

  function finish(focus) {
    shown = null;
    answered = null;
    const waits = chosen.map(entryOf).filter(Boolean).map(({ due }) => Date.parse(due) - Date.now());
    const soonest = waits.length ? ` The next is due in ${schedule.inWords(Math.max(0, Math.min(...waits)))}.` : "";
    const done = make("p", { tabindex: "-1", class: "deck-done" }, `No card is due.${soonest}`);
    const ahead = make("button", { type: "button" }, "Go on anyway");
    ahead.addEventListener("click", () => show({ ahead: true }));
    stage.replaceChildren(done, ahead);
    count();
    if (focus) done.focus();
  }

  /* Number keys choose an option or a rating, Enter takes the suggested rating: only while the focus is in the card, and
     never while a reader types. */
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !shown) return;
    const typing = event.target.matches("select, textarea, input:not([type=radio])");
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : null;
    if (answered) {
      if (digit && answered.allowed.includes(digit)) rate(digit);
      else if (event.key === "Enter" && !event.target.closest("button, a, summary")) rate(answered.suggested);
      else return;
      event.preventDefault();
    } else if (digit && !typing && shown.keys) {
      shown.keys(digit);
      event.preventDefault();
    } else if (event.key === "Enter" && event.target === shown.question) {
      stage.querySelector("form").requestSubmit();
      event.preventDefault();
    }
  });

  function button(text, act) {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", () => act(made));
    return made;
  }

  /* Every card as a question and a folded answer, and back. */
  function list(pressed) {
    listed = !listed;
    pressed.textContent = listed ? "One at a time" : "Show all as a list";
    stage.hidden = listed;
    for (const { article } of deck) {
      if (listed && chosen.some((one) => one.article === article)) root.append(article);
      else article.remove();
    }
    if (listed) cards.typeset(root);
  }

  function chapterChoice() {
    const names = [...document.querySelectorAll("[data-count=due]")].map((cell) => {
      return [cell.dataset.chapter, cell.closest("tr").querySelector("th").textContent];
    });
    const select = make("select", { id: "deck-chapter", autocomplete: "off" }, make("option", { value: "" }, "All chapters"));
    select.append(...names.map(([id, name]) => make("option", { value: id }, name)));
    select.addEventListener("change", () => {
      chosen = deck.filter(({ chapter }) => !select.value || chapter === select.value);
      last = null;
      if (listed) list(toggle);
      show({ focus: false });
    });
    return [make("label", { for: "deck-chapter" }, "Chapter"), select];
  }

  const toggle = button("Show all as a list", list);
  for (const article of articles) article.remove();
  bar.append(status, ...(root.dataset.deck === "course" ? chapterChoice() : []), toggle);
  root.append(bar, notice, stage, globalThis.courseCards.tools(root, notice, () => show({ focus: false })));
  show({ focus: false });
  window.addEventListener("storage", count);
})();
