/* The filter of the index of terms. Without this script the form stays hidden and every term is shown. */
(() => {
  "use strict";
  const form = document.querySelector("form.terms-filter");
  if (!form) return;
  const find = form.querySelector("#terms-find");
  const byFloor = form.querySelector("#terms-by-floor");
  const status = form.querySelector("[role=status]");
  const letters = [...document.querySelectorAll("section.terms-letter")];
  const synonyms = [...document.querySelectorAll("p.term-see")];
  const terms = [...document.querySelectorAll("article.term")].map((entry) => {
    const said = [entry.querySelector("h3"), entry.querySelector("p"), entry.querySelector(".term-home")];
    const text = said.map((part) => part.textContent).join(" ").toLowerCase();
    return { entry, text };
  });

  function apply() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const floor = byFloor.value;
    let shown = 0;
    for (const { entry, text } of terms) {
      const chosen = words.every((word) => text.includes(word)) && (!floor || entry.dataset.floor === floor);
      entry.hidden = !chosen;
      shown += chosen;
    }
    for (const line of synonyms) line.hidden = words.length > 0 || floor !== "";
    for (const letter of letters) letter.hidden = !letter.querySelector(":scope > article:not([hidden]), :scope > p:not([hidden])");
    const text = `${shown} of ${terms.length} terms`;
    if (status.textContent !== text) status.textContent = text;
  }

  /* A link to a term that the filter hides shows everything again. */
  function reveal() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target?.closest("[hidden]")) return;
    form.reset();
    apply();
    target.scrollIntoView();
  }

  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", reveal);
  window.addEventListener("pageshow", apply);
  form.hidden = false;
  apply();
})();
