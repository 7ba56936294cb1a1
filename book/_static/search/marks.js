/* On the page that a search led to: the words are marked, the first one is shown, and a small bar steps through them.
   Escape takes the marks away. */
(() => {
  "use strict";
  const query = (new URLSearchParams(location.search).get("find") ?? "").slice(0, 200).trim();
  const article = document.querySelector(".bd-article");
  if (!query || !article) return;
  const MOST = 400;
  const SKIP = ".math, mjx-container, script, style, svg, button, select, textarea, template, .headerlink, [hidden]";
  const EMPTY = /^(a|an|and|are|as|at|be|by|do|does|for|from|how|i|in|is|it|its|my|of|on|or|that|the|to|was|what|when|where|which|who|why|with)$/;
  const marks = [];
  let current = -1;

  /* The words as one pattern: together where they stand together, else each with a few letters more. */
  function pattern() {
    const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    const telling = words.filter((word) => !EMPTY.test(word));
    const stems = (telling.length ? telling : words).map((word) => (word.length > 4 ? word.replace(/(ings?|ed|es?|s)$/, "") : word.replace(/s$/, "")));
    if (!stems.length) return null;
    const each = stems.map((stem) => `${stem}(?:s|e|es|ed|ing|ings)?`);
    const joined = each.join("[\\s\\-–/]+");
    return new RegExp(`(?<![\\p{L}\\p{N}])(?:${[...new Set([joined, ...each])].join("|")})(?![\\p{L}\\p{N}])`, "giu");
  }

  function mark(node, wanted) {
    const found = [...node.data.matchAll(wanted)].slice(0, MOST - marks.length);
    for (const one of found.reverse()) {
      const range = document.createRange();
      range.setStart(node, one.index);
      range.setEnd(node, one.index + one[0].length);
      const made = document.createElement("mark");
      made.className = "search-mark";
      range.surroundContents(made);
    }
  }

  function show(place, smooth) {
    marks[current]?.classList.remove("current");
    current = (place + marks.length) % marks.length;
    const one = marks[current];
    one.classList.add("current");
    for (let folded = one.closest("details:not([open])"); folded; folded = folded.parentElement.closest("details:not([open])")) folded.open = true;
    one.scrollIntoView({ block: "center", behavior: smooth ? "smooth" : "instant" });
    status.textContent = `${current + 1} of ${marks.length} for “${query}”`;
  }

  function hide() {
    for (const one of marks) one.replaceWith(...one.childNodes);
    article.normalize();
    bar.remove();
    document.removeEventListener("keydown", escape);
  }
  const escape = (event) => { if (event.key === "Escape") hide(); };

  function button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  }

  const wanted = pattern();
  if (!wanted) return;
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(SKIP)) texts.push(walker.currentNode);
  for (const node of texts) {
    const before = marks.length;
    if (before < MOST) mark(node, wanted);
    marks.length = 0;
    marks.push(...article.querySelectorAll("mark.search-mark"));
  }
  if (!marks.length) return;

  const status = document.createElement("span");
  status.setAttribute("role", "status");
  const smooth = matchMedia("(prefers-reduced-motion: no-preference)").matches;
  const bar = document.createElement("div");
  bar.className = "search-bar";
  bar.append(status, button("Previous", () => show(current - 1, smooth)), button("Next", () => show(current + 1, smooth)), button("Hide", hide));
  article.append(bar);
  document.addEventListener("keydown", escape);

  /* The first mark in the section that the link names, else the first of all. Formulas that are set later move the page. */
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const section = target?.closest("section, article") ?? null;
  const inSection = marks.findIndex((one) => section?.contains(one) || (target && target.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING));
  const first = Math.max(0, inSection);
  let moved = false;
  for (const what of ["wheel", "touchmove", "keydown", "pointerdown"]) window.addEventListener(what, () => { moved = true; }, { once: true, passive: true });
  const jump = () => { if (!moved) show(first, false); };
  if (document.readyState === "complete") jump();
  else window.addEventListener("load", jump);
  window.addEventListener("load", () => globalThis.MathJax?.startup?.promise?.then(jump));
})();
