/* Two pictures side by side lined up: a row that both models have stands at one height. What
   course_lib.course.gallery.lining does with a drawing before it is written, done with one that is there. */
globalThis.courseGalleryLining = (() => {
  "use strict";
  const ABOVE = { kind: 23, before: 13.5, after: 19.5, final: 19.5, name: 16 };
  const ROW = 11;

  /* Where a height has come to; `ends` for what ends there, which a cut at this very height does not move. */
  const lowered = (y, cuts, ends = false) =>
    cuts.reduce((sum, [at, room]) => sum + (at < y || (at === y && !ends) ? room : 0), y);

  /* The keys of a picture's rows from the top, each with its cut. */
  function places(svg) {
    const found = new Map();
    const texts = [...svg.querySelectorAll("text[data-k]")].map((text) => [text.dataset.k, Number(text.getAttribute("y"))]);
    for (const [key, y] of texts.sort((a, b) => a[1] - b[1])) if (!found.has(y)) found.set(y, key);
    return [...found].map(([y, key]) => [key, y - (ABOVE[key.split("/").at(-1)] ?? ROW)]);
  }

  function cutsOf(left, right, of) {
    const theirs = new Map(right.map(([key], at) => [key, at]));
    const [mine, other] = [[], []];
    let reached = -1;
    for (const [key, y] of left) {
      const at = theirs.get(of.get(key)) ?? -1;
      if (at <= reached) continue;
      reached = at;
      const ahead = lowered(right[at][1], other) - lowered(y, mine);
      if (ahead > 0) mine.push([y, ahead]);
      else if (ahead < 0) other.push([right[at][1], -ahead]);
    }
    return [mine, other];
  }

  const number = (value) => String(Math.round(value * 10) / 10);

  function stretch(svg, cuts) {
    const move = (one, name) => one.setAttribute(name, number(lowered(Number(one.getAttribute(name)), cuts)));
    for (const text of svg.querySelectorAll("text")) move(text, "y");
    for (const circle of svg.querySelectorAll("circle")) move(circle, "cy");
    for (const rect of svg.querySelectorAll("rect")) {
      const [y, height] = ["y", "height"].map((name) => Number(rect.getAttribute(name)));
      const top = lowered(y, cuts);
      rect.setAttribute("y", number(top));
      rect.setAttribute("height", number(lowered(y + height, cuts, true) - top));
    }
    for (const path of svg.querySelectorAll("path")) {
      const step = (whole, letter, numbers) => {
        const at = numbers.trim().split(/\s+/).map(Number);
        at.push(lowered(at.pop(), cuts));
        return letter + at.map(number).join(" ");
      };
      path.setAttribute("d", path.getAttribute("d").replace(/([MLV])([^A-Za-z]*)/g, step));
    }
    const { width, height } = svg.viewBox.baseVal;
    const tall = number(lowered(height, cuts));
    svg.setAttribute("viewBox", `0 0 ${width} ${tall}`);
    svg.setAttribute("height", tall);
  }

  /* `of`: the key that a row of the left picture has in the right one. */
  function lineUp(left, right, of) {
    const cuts = cutsOf(places(left), places(right), of);
    stretch(left, cuts[0]);
    stretch(right, cuts[1]);
  }

  return { lineUp };
})();
