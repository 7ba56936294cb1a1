/* What the views are made of: elements, bars, and numbers as shades on a canvas. */
globalThis.liveParts = (() => {
  "use strict";

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  /* A bar beside its number, which says the same; `share` from 0 to 1. */
  function bar(share, kind = "") {
    const filled = make("span", { class: `live-bar ${kind}` });
    filled.style.inlineSize = `${100 * Math.min(1, share)}%`;
    return make("span", { class: "live-track", "aria-hidden": "true" }, filled);
  }

  /* A panel with its heading. */
  function panel(name, title, ...children) {
    const heading = make("p", { class: "live-heading", id: `live-${name}` }, title);
    return make("section", { class: `live-panel live-${name}`, "aria-labelledby": heading.id }, heading, ...children);
  }

  function field(id, label, control, ...rest) {
    control.id = id;
    return make("div", { class: "live-field" }, make("label", { for: id }, label), control, ...rest);
  }

  function slider(least, most, step, value) {
    return make("input", { type: "range", min: least, max: most, step, value });
  }

  /* A picture of `width` by `height` cells: `shade(column, row)` from 0 (paper) to 1 (the canvas's own colour). */
  function shades(canvas, width, height, shade) {
    const [red, green, blue] = getComputedStyle(canvas).color.match(/[\d.]+/g).map(Number);
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let row = 0, at = 0; row < height; row += 1) {
      for (let column = 0; column < width; column += 1, at += 4) {
        image.data[at] = red;
        image.data[at + 1] = green;
        image.data[at + 2] = blue;
        image.data[at + 3] = 255 * shade(column, row);
      }
    }
    context.putImageData(image, 0, 0);
  }

  return { make, bar, panel, field, slider, shades };
})();
