/* How many cards are due: beside each chapter in the sidebar once you have begun its cards, and in the table of chapters. */
(() => {
  "use strict";
  const { chapters, progress, today } = globalThis.courseCards;
  const site = new URL("../../", document.currentScript.src);

  function badge(link) {
    const made = document.createElement("span");
    made.className = "cards-due";
    link.append(made);
    return made;
  }

  function show() {
    const stored = globalThis.courseCards.store?.load() ?? progress.peek() ?? progress.empty();
    for (const { id, page, cards } of chapters) {
      const groups = today.groups(stored, cards, Date.now());
      const [due, fresh] = [groups.due.length, groups.fresh.length];
      const address = new URL(page, site).href;
      for (const link of document.querySelectorAll(".bd-sidebar-primary nav a")) {
        if (link.href.split("#")[0] !== address) continue;
        const mark = link.querySelector(".cards-due") ?? (due ? badge(link) : null);
        if (!mark) continue;
        mark.hidden = due === 0;
        mark.textContent = String(due);
        mark.title = `${due} ${due === 1 ? "card" : "cards"} due`;
        mark.setAttribute("role", "img");
        mark.setAttribute("aria-label", mark.title);
      }
      for (const [name, count] of [["due", due], ["new", fresh]]) {
        const cell = document.querySelector(`[data-count="${name}"][data-chapter="${id}"]`);
        if (cell) cell.textContent = String(count);
      }
    }
  }

  document.addEventListener("DOMContentLoaded", show);
  document.addEventListener("cards:progress", show);
  window.addEventListener("storage", show);
  window.addEventListener("focus", show);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) show(); });
})();
