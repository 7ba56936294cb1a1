/* What a reader does with their progress as a whole: how many new cards a day, take it along as a file, bring it back,
   start anew, and take that back. */
(() => {
  "use strict";
  const { make, store, settings, files, sound } = globalThis.courseCards;

  function button(text, act) {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", act);
    return made;
  }

  const cardsOf = (count) => `${count} ${count === 1 ? "card" : "cards"}`;

  function limit(changed) {
    const input = make("input", {
      type: "number", id: "deck-new", min: "0", max: String(settings.MOST), value: String(settings.get().newADay), autocomplete: "off",
    });
    input.addEventListener("change", () => {
      const given = Number(input.value);
      if (input.value.trim() && settings.isCount(given)) settings.set({ newADay: given });
      input.value = String(settings.get().newADay);
      changed();
    });
    return make("p", { class: "deck-limit" }, make("label", { for: "deck-new" }, "New cards a day"), " ", input);
  }

  globalThis.courseCards.tools = (root, notice, changed) => {
    const file = make("input", { type: "file", accept: ".json,application/json", id: "deck-import", class: "deck-file" });
    const say = (...parts) => { notice.replaceChildren(...parts); };

    file.addEventListener("change", async () => {
      const [given] = file.files;
      file.value = "";
      if (!given) return;
      try {
        const { cards, left } = store.imported(await given.text());
        const out = left.length ? ` Left out: ${sound.inWords(left)}.` : "";
        say(`Imported: ${cardsOf(cards)} from “${given.name}”, together with what was here.${out}`);
        changed();
      } catch (error) {
        say(`“${given.name}” was not imported: ${error.message}. Your progress is as it was.`);
      }
    });

    const ask = make("div", { class: "deck-confirm", hidden: true },
      make("p", { id: "deck-confirm" }, "Delete the progress of all chapters in this browser? You can take it back until you close this tab."));
    const reset = button("Reset …", () => {
      ask.hidden = false;
      ask.querySelector("button").focus();
    });
    const answer = (act) => () => {
      ask.hidden = true;
      act();
      (document.activeElement === document.body ? reset : document.activeElement).focus();
    };
    const restore = button("Undo the reset", () => {
      store.restore();
      restore.hidden = true;
      say("Your progress is back.");
      changed();
      reset.focus();
    });
    restore.hidden = !store.canRestore();
    const keep = button("Keep it", answer(() => reset.focus()));
    const remove = button("Delete it", answer(() => {
      store.reset();
      restore.hidden = false;
      say("Your progress was deleted.");
      changed();
      restore.focus();
    }));
    for (const one of [keep, remove]) one.setAttribute("aria-describedby", "deck-confirm");
    ask.append(keep, remove);

    const keys = make("p", {}, "Keys, while the focus is in a card: ", make("kbd", {}, "1"), "–", make("kbd", {}, "9"),
      " choose an option, ", make("kbd", {}, "Enter"), " checks, ", make("kbd", {}, "↑"), " ", make("kbd", {}, "↓"),
      " move a line. After the answer: ", make("kbd", {}, "1"), "–", make("kbd", {}, "4"), " rate, ",
      make("kbd", {}, "Enter"), " takes the suggestion, ", make("kbd", {}, "u"), " takes the last rating back.");
    const where = make("p", {}, "Progress is kept in this browser. The exported file is the one that ",
      make("code", {}, "course quiz"), " reads and writes. A day begins at 4:00.");
    const row = make("div", { class: "deck-buttons" },
      button("Export", () => files.save(store.exported(), "architecture-measured-progress.json", "application/json")),
      make("label", { for: "deck-import", class: "deck-label" }, "Import"), file, reset, restore);
    return make("details", { class: "deck-tools" }, make("summary", {}, "Keys and progress"), limit(changed), keys, where, row, ask);
  };
})();
