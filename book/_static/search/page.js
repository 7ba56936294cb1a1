/* The page of results. What is shown comes from the index that was made with the book, so nothing is fetched. */
(() => {
  "use strict";
  const { words, rank, index } = globalThis.courseSearch;
  const list = document.getElementById("search-results");
  const status = document.querySelector(".search-status");
  if (!list) return;
  const query = (new URLSearchParams(location.search).get("q") ?? "").trim();
  const root = document.documentElement.dataset.content_root ?? "./";
  const KINDS = { chapter: "", reference: "Reference", notation: "Notation", notebook: "Notebook", lab: "Lab", other: "", term: "Term" };
  const LENGTH = 220;

  function make(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /* A text with the words of the query marked. */
  function marked(text, asked) {
    const parts = [];
    let at = 0;
    for (const [start, end] of words.places(text, asked)) {
      parts.push(text.slice(at, start), make("mark", {}, text.slice(start, end)));
      at = end;
    }
    return [...parts, text.slice(at)];
  }

  /* The piece of a text that holds the most different words of the query. */
  function excerpt(text, asked) {
    const found = words.places(text, asked).map(([start, end]) => [start, words.stem(text.slice(start, end).toLowerCase())]);
    let best = [0, -1];
    found.forEach(([start], place) => {
      const near = found.slice(place).filter(([other]) => other < start + LENGTH - 40);
      const worth = new Set(near.map(([, word]) => word)).size + near.length / 100;
      if (worth > best[1]) best = [start, worth];
    });
    let from = Math.max(0, best[0] - 60);
    if (from) from = text.indexOf(" ", from) + 1;
    const piece = text.slice(from, from + LENGTH);
    const end = from + LENGTH < text.length ? piece.lastIndexOf(" ") : piece.length;
    return [from ? "… " : "", ...marked(piece.slice(0, end), asked), from + end < text.length ? " …" : ""];
  }

  function hit({ entry }, asked) {
    const { docname, title, kind, anchor, heading, text } = entry;
    const address = `${root}${docname}.html?find=${encodeURIComponent(query)}${anchor ? `#${anchor}` : ""}`;
    const where = [KINDS[kind], heading === title ? "" : title].filter(Boolean).join(": ");
    return make("li", {}, make("a", { href: address }, heading || title),
      ...(where ? [make("span", { class: "search-where" }, where)] : []), make("p", {}, ...excerpt(text, asked)));
  }

  for (const field of document.querySelectorAll("input[name=q]")) field.value = query;
  if (!query) {
    document.querySelector(".course-search input[name=q]")?.focus();
    return;
  }
  const asked = words.asked(query);
  const found = rank.find(query, rank.prepare(index));
  status.textContent = found.length
    ? `${found.length} ${found.length === 1 ? "place" : "places"} for “${query}”, the best first`
    : `Nothing was found for “${query}”. Try fewer words, or the field's name for it.`;
  list.append(...found.map((one) => hit(one, asked)));
})();
