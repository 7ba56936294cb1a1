/* The page of statistics: two bar charts with a table behind each, and a few numbers. */
(() => {
  "use strict";
  const { make, store, stats, day, chapters } = globalThis.courseCards;
  const root = document.querySelector(".cards-statistics");
  if (!root) return;
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 190;
  const EDGE = { left: 34, right: 6, top: 12, bottom: 26 };

  function draw(tag, attributes, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /* A round number of cards at or above `most`, so that the axis has four steps at most. */
  function top(most) {
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((one) => one * 4 >= most) ?? Math.ceil(most / 4);
    return [step, Math.max(1, Math.ceil(most / step)) * step];
  }

  /* Bars, one a day: `parts` are stacked from the bottom, each with a class. */
  function bars(rows, parts, width) {
    const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" });
    const total = (row) => parts.reduce((sum, part) => sum + row[part], 0);
    const [step, most] = top(Math.max(1, ...rows.map(total)));
    const inner = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
    const y = (count) => EDGE.top + inner.height * (1 - count / most);
    for (let count = 0; count <= most; count += step) {
      svg.append(draw("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(count), y2: y(count), class: "stats-grid" }),
        draw("text", { x: EDGE.left - 6, y: y(count) + 4, "text-anchor": "end" }, count));
    }
    const slot = inner.width / rows.length;
    const every = Math.ceil(58 / slot);
    rows.forEach((row, place) => {
      const x = EDGE.left + place * slot;
      let below = 0;
      for (const part of parts) {
        if (row[part]) {
          svg.append(draw("rect", { x: x + slot * 0.12, width: slot * 0.76, y: y(below + row[part]), height: y(below) - y(below + row[part]),
            class: `stats-${part}` }));
        }
        below += row[part];
      }
      if (place % every === 0 && x + 40 <= width) {
        svg.append(draw("text", { x: x + slot / 2, y: HEIGHT - 8, "text-anchor": place ? "middle" : "start" }, day.inWords(row.day)));
      }
    });
    return svg;
  }

  function table(rows, columns) {
    const head = make("tr", {}, ...["Day", ...columns.map(([, name]) => name)].map((name) => make("th", { scope: "col" }, name)));
    const lines = rows.map((row) => make("tr", {}, make("th", { scope: "row" }, day.inWords(row.day)),
      ...columns.map(([part]) => make("td", {}, String(row[part])))));
    const inner = make("table", { class: "table" }, make("thead", {}, head), make("tbody", {}, ...lines));
    return make("details", {}, make("summary", {}, "As a table"), inner);
  }

  function chart(title, says, rows, columns) {
    const width = Math.max(260, Math.min(720, root.clientWidth));
    const key = columns.length > 1
      ? [make("p", { class: "stats-key" }, ...columns.map(([part, name]) => make("span", { class: `stats-${part}` }, name)))] : [];
    const figure = make("figure", { class: "stats-figure" }, make("h2", {}, title), ...key,
      make("div", { role: "img", "aria-label": `${title}: ${says}` }), make("figcaption", {}, says), table(rows, columns));
    figure.querySelector("[role=img]").append(bars(rows, columns.map(([part]) => part), width));
    return figure;
  }

  const share = ({ reviews, remembered }) => (reviews ? `${Math.round((100 * remembered) / reviews)} %` : "–");
  const fact = (name, value, said) => make("div", {}, make("dt", {}, name), make("dd", {}, make("strong", {}, value), ` ${said}`));

  function show() {
    const ids = chapters.flatMap(({ cards }) => cards);
    const found = stats.all(store.load(), ids, Date.now());
    const { stands, lately, ever } = found;
    const lastDays = found.a_day.reduce((sum, one) => sum + one.again + one.remembered, 0);
    const toCome = found.forecast.reduce((sum, one) => sum + one.cards, 0);
    if (!found.reviews) {
      root.replaceChildren(make("p", {}, "There is no review yet in this browser. Rate a few cards, and come back."));
      return;
    }
    root.replaceChildren(
      make("dl", { class: "stats-facts" },
        fact("Remembered, last 30 days", share(lately), `of ${lately.reviews} reviews; the schedule aims at 90 %`),
        fact("Remembered, ever", share(ever), `of ${ever.reviews} reviews`),
        fact("Reviews", String(found.reviews), `on ${found.studied} ${found.studied === 1 ? "day" : "days"}`),
        fact("Cards", String(ids.length), `${stands.fresh} new, ${stands.learning} learning, ${stands.young} young, `
          + `${stands.mature} mature (21 days or more), ${stands.suspended} suspended`)),
      chart("Reviews a day", `${lastDays} reviews in the last 30 days.`, found.a_day,
        [["remembered", "remembered"], ["again", "again"]]),
      chart("Cards due", `${toCome} cards are due within 30 days, ${found.forecast[0].cards} of them today.`, found.forecast,
        [["cards", "Cards due"]]));
  }

  show();
  let drawn = root.clientWidth;
  window.addEventListener("resize", () => { if (root.clientWidth !== drawn) { drawn = root.clientWidth; show(); } });
  window.addEventListener("storage", show);
  window.addEventListener("focus", show);
})();
