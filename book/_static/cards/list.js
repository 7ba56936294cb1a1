/* Every card as a question and a folded answer, with a filter by words and by where it stands. A card is suspended and
   brought back here. */
(() => {
  "use strict";
  const { make, card: cards, store, today, schedule } = globalThis.courseCards;
  const STANDS = [["", "All cards"], ["due", "Due"], ["fresh", "New"], ["soon", "In minutes"], ["later", "On later days"],
    ["suspended", "Suspended"]];

  globalThis.courseCards.cardList = (root, chosen, switched) => {
    const find = make("input", { type: "search", id: "deck-find", autocomplete: "off", spellcheck: "false" });
    const stands = make("select", { id: "deck-stands", autocomplete: "off" },
      ...STANDS.map(([value, name]) => make("option", { value }, name)));
    const found = make("p", { role: "status", class: "deck-found" });
    const items = make("div", { class: "deck-items" });
    const panel = make("div", { class: "deck-list", hidden: true },
      make("div", { class: "deck-filter" }, make("span", {}, make("label", { for: "deck-find" }, "Find"), find),
        make("span", {}, make("label", { for: "deck-stands" }, "Which"), stands), found), items);
    const toggle = make("button", { type: "button", "aria-expanded": "false" }, "Show all as a list");
    let open = false;

    const wordsOf = (one) => `${one.id} ${one.article.textContent}`.toLowerCase();

    function standing(one, group) {
      const entry = store.load().cards.get(one.id);
      const said = { fresh: "New", due: "Due", suspended: "Suspended" }[group] ?? `Due in ${schedule.waitInWords(entry, Date.now())}`;
      const change = make("button", { type: "button" }, group === "suspended" ? "Bring back" : "Suspend");
      change.addEventListener("click", () => {
        store.suspend(one.id, group !== "suspended", new Date());
        const line = refreshOne(one);
        line.querySelector("button").focus();
      });
      return make("p", { class: "deck-standing" }, make("span", {}, said), change);
    }

    function refreshOne(one, groups = today.groups(store.load(), [one.id], Date.now())) {
      const group = Object.keys(groups).find((name) => groups[name].includes(one.id));
      one.article.querySelector(".deck-standing")?.remove();
      const line = standing(one, group);
      one.article.append(line);
      return line;
    }

    function refresh() {
      if (!open) return;
      const groups = today.groups(store.load(), chosen().map(({ id }) => id), Date.now());
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = chosen().filter((one) => (!stands.value || groups[stands.value].includes(one.id))
        && words.every((word) => wordsOf(one).includes(word)));
      for (const one of shown) refreshOne(one, groups);
      items.replaceChildren(...shown.map(({ article }) => article));
      found.textContent = `${shown.length} of ${chosen().length} cards`;
      cards.typeset(items);
    }

    function turn(on) {
      open = on;
      panel.hidden = !on;
      toggle.textContent = on ? "One at a time" : "Show all as a list";
      toggle.setAttribute("aria-expanded", String(on));
      if (!on) items.replaceChildren();
      refresh();
      switched(on);
    }

    toggle.addEventListener("click", () => turn(!open));
    find.addEventListener("input", refresh);
    stands.addEventListener("change", refresh);
    return { panel, toggle, refresh, close: () => { if (open) turn(false); } };
  };
})();
