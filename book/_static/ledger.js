/* The filter of the claims ledger. Without this script the form stays hidden and every claim is shown. */
(() => {
  "use strict";
  const form = document.querySelector("form.ledger-filter");
  if (!form) return;
  const byChapter = form.querySelector("#ledger-by-chapter");
  const byVerdict = form.querySelector("#ledger-by-verdict");
  const status = form.querySelector("[role=status]");
  const claims = [...document.querySelectorAll("article.ledger-claim")];
  const chapters = [...document.querySelectorAll("section.ledger-chapter")];

  const chosen = (claim) =>
    (!byChapter.value || claim.dataset.chapter === byChapter.value) &&
    (!byVerdict.value || claim.dataset.verdict === byVerdict.value);

  function apply() {
    for (const claim of claims) claim.hidden = !chosen(claim);
    for (const chapter of chapters) chapter.hidden = !chapter.querySelector("article:not([hidden])");
    const text = `${claims.filter(chosen).length} of ${claims.length} claims`;
    if (status.textContent !== text) status.textContent = text;
  }

  /* A link to a claim or chapter that the filter hides shows everything again. */
  function reveal() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target?.closest("[hidden]")) return;
    form.reset();
    apply();
    target.scrollIntoView();
  }

  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", reveal);
  window.addEventListener("pageshow", apply);
  form.hidden = false;
  apply();
})();
