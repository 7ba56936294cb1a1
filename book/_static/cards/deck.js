/* A deck: one card at a time, what is due first, then what is new. Without this script every card stands on the page as
   a question and a folded answer. */
(() => {
  "use strict";
  const { make, card: cards, store, today, day, schedule, settings, files, cardList, tools } = globalThis.courseCards;
  const root = document.querySelector(".cards-deck");
  if (!root) return;
  const RATINGS = [["Again", 1], ["Hard", 2], ["Good", 3], ["Easy", 4]];
  const MORE = 10;

  const units = cards.units(root);
  const articles = [...root.querySelectorAll("article")];
  const deck = articles.map(cards.read);
  const byId = new Map(deck.map((one) => [one.id, one]));
  const bar = make("div", { class: "deck-bar" });
  const status = make("p", { role: "status", class: "deck-status" });
  const notice = make("p", { role: "alert", class: "deck-notice" });
  const stage = make("div", { class: "deck-stage" });
  let shown = null; // what is asked, with `seen`, its last review when it was shown
  let answered = null;
  let chosen = deck;
  let last = null;
  let waiting = 0;

  const ids = () => chosen.map(({ id }) => id);
  const entryOf = (id) => store.load().cards.get(id);
  const newLeft = (stored, now) => Math.max(0, settings.allowed(day.number(now)) - today.introduced(stored, now));

  function count() {
    const [stored, now] = [store.load(), Date.now()];
    const { due, soon, fresh, later, suspended } = today.groups(stored, ids(), now);
    const left = Math.min(fresh.length, newLeft(stored, now));
    status.textContent = [
      `${due.length} due`,
      `${left} new today${fresh.length > left ? ` of ${fresh.length}` : ""}`,
      ...(soon.length ? [`${soon.length} in minutes`] : []),
      `${later.length} on later days`,
      ...(suspended.length ? [`${suspended.length} suspended`] : []),
    ].join(", ");
    undo.disabled = !store.canUndo();
    said(store.takeNotice());
  }

  function said(found) {
    if (!found) return;
    notice.replaceChildren(found.text);
    if (!found.damaged) return;
    const button = make("button", { type: "button" }, "Save the damaged text as a file");
    button.addEventListener("click", () => files.save(found.damaged, "damaged-progress.txt"));
    notice.append(" ", button);
  }

  /* Show the next card. The reader's place moves to it only if they were in the deck already. */
  function show({ focus = true, ahead = false, id = null } = {}) {
    if (shown) globalThis.MathJax?.typesetClear?.([stage]);
    clearTimeout(waiting);
    const [stored, now] = [store.load(), Date.now()];
    const one = byId.get(id ?? today.next(stored, ids(), now, { left: newLeft(stored, now), last, ahead }));
    if (!one) {
      finish(focus);
      return;
    }
    const seed = `${one.id}:${entryOf(one.id)?.reps ?? 0}`;
    answered = null;
    const verdict = make("p", { role: "status", class: "ask-verdict" });
    const check = make("button", { type: "submit", class: "deck-main" }, one.kind === "recall" ? "Show answer" : "Check");
    const explained = make("div", { class: "ask-explained", tabindex: "-1", hidden: true });
    const ratings = make("div", { role: "group", "aria-label": "When to ask again", class: "deck-ratings", hidden: true });
    shown = cards.play(one, { units, variantSeed: seed, seed, say: (text) => { verdict.textContent = text; } });
    shown.seen = entryOf(one.id)?.last_review ?? null;
    const form = make("form", { class: "ask-form", autocomplete: "off", novalidate: true },
      shown.body, check, verdict, explained, ratings);
    shown.question.tabIndex = -1;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!answered) mark(check, verdict, explained, ratings);
    });
    stage.replaceChildren(form);
    cards.typeset(form);
    suspend.disabled = false;
    count();
    if (focus) (shown.focus ?? (() => shown.question.focus()))();
  }

  function mark(check, verdict, explained, ratings) {
    const problem = shown.problem();
    if (problem) {
      verdict.textContent = problem;
      return;
    }
    const { right, explained: why } = shown.check();
    verdict.className = `ask-verdict ${right === null ? "" : right ? "right" : "wrong"}`;
    verdict.textContent = right === null ? "How well did you know it?" : right ? "Right." : "Not right.";
    explained.replaceChildren(...why);
    explained.hidden = false;
    check.remove();
    answered = { suggested: right === false ? 1 : 3, allowed: right === null ? [1, 2, 3, 4] : right ? [2, 3, 4] : [1] };
    const now = new Date();
    const before = entryOf(shown.card.id);
    ratings.append(...RATINGS.filter(([, rating]) => answered.allowed.includes(rating)).map(([name, rating]) => {
      const wait = schedule.waitInWords(schedule.next(before, rating, now), now.getTime());
      const button = make("button", { type: "button", class: rating === answered.suggested ? "deck-main" : null },
        make("kbd", { "aria-hidden": "true" }, String(rating)), ` ${name} `, make("span", {}, wait));
      button.addEventListener("click", () => rate(rating));
      return button;
    }));
    ratings.hidden = false;
    cards.typeset(explained);
    explained.focus();
  }

  function rate(rating) {
    last = shown.card.id;
    if (!store.review(last, rating, new Date(), shown.seen)) {
      notice.textContent = "This card was rated in another tab meanwhile. That rating counts, and yours was not added.";
    }
    show();
  }

  function finish(focus) {
    shown = null;
    answered = null;
    suspend.disabled = true;
    const [stored, now] = [store.load(), Date.now()];
    const { soon, fresh, later } = today.groups(stored, ids(), now);
    const waits = [...soon, ...later].map((id) => stored.cards.get(id)).sort((one, other) => (one.due < other.due ? -1 : 1));
    const lines = ["No card is due."];
    if (waits.length) lines.push(`The next is due in ${schedule.waitInWords(waits[0], now)}.`);
    if (fresh.length) lines.push(`Today's new cards are done; ${fresh.length} more wait for the days to come.`);
    const done = make("p", { tabindex: "-1", class: "deck-done" }, lines.join(" "));
    const buttons = make("div", { class: "deck-buttons" });
    if (fresh.length) {
      buttons.append(button(`${Math.min(MORE, fresh.length)} more new cards today`, () => {
        settings.allowMore(day.number(Date.now()), MORE);
        show();
      }));
    }
    if (waits.length) buttons.append(button("Go on before they are due", () => show({ ahead: true })));
    stage.replaceChildren(done, buttons);
    count();
    if (focus) done.focus();
    const until = Math.min(...soon.map((id) => Date.parse(stored.cards.get(id).due)), day.start(day.number(now) + 1).getTime());
    waiting = setTimeout(() => refresh(), Math.max(1000, until - now + 500));
  }

  /* What another tab, another day or a setting changed: count again, and leave a card that was rated elsewhere. */
  function refresh() {
    count();
    if (!shown) show({ focus: false });
    else if ((entryOf(shown.card.id)?.last_review ?? null) !== shown.seen || today.isSuspended(store.load(), shown.card.id)) {
      show({ focus: stage.contains(document.activeElement) });
    }
  }

  /* Number keys choose an option or a rating, Enter takes the suggested rating, u takes the last one back: only while the
     focus is in the card, and never while a reader types. */
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("select, textarea, input:not([type=radio])");
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : null;
    if (event.key === "u" && !typing && store.canUndo()) {
      takeBack();
      event.preventDefault();
    } else if (answered) {
      if (digit && answered.allowed.includes(digit)) rate(digit);
      else if (event.key === "Enter" && !event.target.closest("button, a, summary")) rate(answered.suggested);
      else return;
      event.preventDefault();
    } else if (shown && digit && !typing && shown.keys) {
      shown.keys(digit);
      event.preventDefault();
    } else if (event.key === "Enter" && event.target === shown?.question) {
      stage.querySelector("form").requestSubmit();
      event.preventDefault();
    }
  });

  function button(text, act) {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", () => act(made));
    return made;
  }

  function takeBack() {
    const id = store.undo();
    notice.textContent = id ? "The last rating was taken back." : "The last card was rated again elsewhere: nothing was taken back.";
    last = null;
    show({ id });
  }

  function chapterChoice() {
    const names = [...document.querySelectorAll("[data-count=due]")].map((cell) => {
      return [cell.dataset.chapter, cell.closest("tr").querySelector("th").textContent];
    });
    const select = make("select", { id: "deck-chapter", autocomplete: "off" }, make("option", { value: "" }, "All chapters"));
    select.append(...names.map(([id, name]) => make("option", { value: id }, name)));
    const choose = () => { chosen = deck.filter(({ chapter }) => !select.value || chapter === select.value); };
    const kept = settings.get().chapter;
    if (names.some(([id]) => id === kept)) select.value = kept;
    choose();
    select.addEventListener("change", () => {
      settings.set({ chapter: select.value });
      choose();
      last = null;
      list.close();
      show({ focus: false });
    });
    return [make("label", { for: "deck-chapter" }, "Chapter"), select];
  }

  for (const article of articles) article.remove();
  const undo = button("Undo the last rating", takeBack);
  const suspend = button("Suspend this card", () => {
    store.suspend(shown.card.id, true, new Date());
    notice.textContent = "Suspended: it is not asked until you bring it back, in the list.";
    show();
  });
  const list = cardList(root, () => chosen, (open) => {
    stage.hidden = open;
    suspend.hidden = open;
    undo.hidden = open;
    if (!open) refresh();
  });
  bar.append(status, ...(root.dataset.deck === "course" ? chapterChoice() : []), undo, suspend, list.toggle);
  root.append(bar, notice, stage, list.panel, tools(root, notice, () => { list.refresh(); show({ focus: false }); }));
  show({ focus: false });
  window.addEventListener("storage", refresh);
  window.addEventListener("focus", refresh);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
})();
