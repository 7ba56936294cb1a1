// The theme makes a block that scrolls a tab stop, measured when the page has loaded and after each resize.
// Fonts can arrive later and widen the code: measure again once they are in.
window.addEventListener("load", () =>
  document.fonts.ready.then(() => window.dispatchEvent(new Event("resize"))),
);
// A formula that is wider than its column scrolls too, and the theme does not know of formulas.
(() => {
  "use strict";
  const stops = () => {
    for (const formula of document.querySelectorAll(".bd-article div.math")) {
      if (formula.scrollWidth > formula.clientWidth + 1) formula.tabIndex = 0;
      else formula.removeAttribute("tabindex");
    }
  };
  let waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(stops, 300);
  });
  window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(stops));
})();
