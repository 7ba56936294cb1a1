/* Loaded before the widget manager, on pages with widgets. Three things it does not do by itself:
   find its own fonts, speak to MathJax 3, and give its sliders a name a screen reader can say. */
(() => {
  "use strict";

  /* The manager takes its fonts from where require.js says its module lies. */
  const vendor = new URL("vendor/", document.currentScript.src).href;
  window.require = { paths: { "@jupyter-widgets/html-manager": `${vendor}html-manager` } };

  /* It typesets through MathJax 2's queue; MathJax 3 replaces window.MathJax when it loads. */
  const typeset = ([, , element]) => {
    element.classList.add("mathjax_process");
    const started = window.MathJax.startup?.promise;
    if (started) started.then(() => window.MathJax.typesetPromise([element]));
  };
  const withQueue = (mathjax) => Object.assign(mathjax, { Hub: { Queue: typeset } });
  let current = window.MathJax && withQueue(window.MathJax);
  Object.defineProperty(window, "MathJax", {
    configurable: true,
    get: () => current,
    set: (mathjax) => { current = withQueue(mathjax); },
  });

  /* A slider's handle and its readout are named by the description that stands beside them. */
  const name = (control) => {
    const label = control.closest(".jupyter-widgets")?.querySelector(".widget-label")?.textContent;
    control.setAttribute("aria-label", label || "value");
  };
  new MutationObserver(() =>
    document.querySelectorAll(".noUi-handle:not([aria-label]), .widget-readout:not([aria-label])").forEach(name)
  ).observe(document.documentElement, { childList: true, subtree: true });
})();
