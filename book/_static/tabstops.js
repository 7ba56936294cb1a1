// The theme makes a block that scrolls a tab stop, measured when the page has loaded and after each resize.
// Fonts can arrive later and widen the code: measure again once they are in.
window.addEventListener("load", () =>
  document.fonts.ready.then(() => window.dispatchEvent(new Event("resize"))),
);
