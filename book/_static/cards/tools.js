/* What a reader does with their progress as a whole: take it along as a file, bring it back, start anew. */
(() => {
  "use strict";
  const { make, store } = globalThis.courseCards;

  function button(text, act) {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", act);
    return made;
  }

  function save() {
    const address = URL.createObjectURL(new Blob([store.exported()], { type: "application/json" }));
    const link = make("a", { href: address, download: "architecture-measured-progress.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  globalThis.courseCards.tools = (root, notice, changed) => {
    const file = make("input", { type: "file", accept: ".json,application/json", id: "deck-import", class: "deck-file" });
    const say = (text) => { notice.textContent = text; };

    file.addEventListener("change", async () => {
      const [given] = file.files;
      file.value = "";
      if (!given) return;
      try {
        const count = store.imported(await given.text());
        say(`Imported: ${count} ${count === 1 ? "card" : "cards"} from “${given.name}”, together with what was here.`);
        changed();
      } catch (error) {
        say(`“${given.name}” was not imported: ${error.message}. Your progress is as it was.`);
      }
    });

    const ask = make("div", { class: "deck-confirm", hidden: true },
      make("p", { id: "deck-confirm" }, "Delete the progress of all chapters in this browser? Export it first to keep it."));
    const reset = button("Reset …", () => {
      ask.hidden = false;
      ask.querySelector("button").focus();
    });
    const answer = (act) => () => {
      ask.hidden = true;
      act();
      reset.focus();
    };
    const keep = button("Keep it", answer(() => {}));
    const remove = button("Delete it", answer(() => {
      store.reset();
      say("Your progress was deleted.");
      changed();
    }));
    for (const one of [keep, remove]) one.setAttribute("aria-describedby", "deck-confirm");
    ask.append(keep, remove);

    const keys = make("p", {}, "Keys, while the focus is in a card: ", make("kbd", {}, "1"), "–", make("kbd", {}, "9"),
      " choose an option, ", make("kbd", {}, "Enter"), " checks, ", make("kbd", {}, "↑"), " ", make("kbd", {}, "↓"),
      " move a line. After the answer: ", make("kbd", {}, "1"), "–", make("kbd", {}, "4"), " rate, ",
      make("kbd", {}, "Enter"), " takes the suggestion.");
    const where = make("p", {}, "Progress is kept in this browser. The exported file is the one that ",
      make("code", {}, "course quiz"), " reads and writes.");
    const row = make("div", { class: "deck-buttons" }, button("Export", save),
      make("label", { for: "deck-import", class: "deck-label" }, "Import"), file, reset);
    return make("details", { class: "deck-tools" }, make("summary", {}, "Keys and progress"), keys, where, row, ask);
  };
})();
