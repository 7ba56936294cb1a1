/* Which section answers a query: BM25 over headings and text, a step up for a section that the index of terms names as the
   place where the term is taught, and a step down for what is only for looking up. */
(() => {
  "use strict";
  const course = (globalThis.courseSearch ??= {});
  const { words } = course;
  const KINDS = { chapter: 1, reference: 0.8, notation: 0.6, notebook: 0.65, lab: 0.6, other: 0.4, term: 0.6 };
  const [SATURATION, LENGTH] = [1.2, 0.6];
  const HEADING = 4; // a word of the heading counts as so many of the text
  const PAGE = 1; // a word of the page's title
  const TAUGHT = [24, 16, 12, 8]; // for the first place where a term is taught, the second, ...
  const NAMED = 7; // for a place that only names it most often

  const same = (one, other) => one.length === other.length && one.every((word, place) => word === other[place]);
  function inside(short, long) {
    if (!short.length) return false;
    return long.some((_, start) => short.every((word, place) => long[start + place] === word));
  }

  /* Count the words of every section once. */
  function prepare({ pages, sections, terms }) {
    const entries = sections.map(([page, anchor, heading, text]) => {
      const [docname, title, kind] = pages[page];
      return { docname, title, kind, anchor, heading, text, headed: words.stems(heading), titled: words.stems(title), body: words.stems(text) };
    });
    for (const [names, means] of terms) {
      const anchor = `term-${names[0].toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")}`;
      entries.push({
        docname: "book/index_of_terms", title: "Index of terms", kind: "term", anchor, heading: names.join(", "), text: means,
        headed: words.stems(names.join(" ")), titled: [], body: words.stems(means),
      });
    }
    const seen = new Map();
    for (const entry of entries) {
      entry.counts = new Map();
      const add = (word, weight) => entry.counts.set(word, (entry.counts.get(word) ?? 0) + weight);
      entry.body.forEach((word) => add(word, 1));
      entry.headed.forEach((word) => add(word, HEADING));
      entry.titled.forEach((word) => add(word, PAGE));
      for (const word of entry.counts.keys()) seen.set(word, (seen.get(word) ?? 0) + 1);
    }
    const mean = entries.reduce((sum, { body }) => sum + body.length, 0) / Math.max(1, entries.length);
    const named = terms.map(([names, , taught]) => ({ names: names.map(words.stems), taught }));
    return { entries, seen, mean, named };
  }

  /* What the index of terms adds to a section: all of it if the query is a term's name, a share if it holds one. */
  function taughtBy(query, named) {
    const found = new Map();
    for (const { names, taught } of named) {
      const share = Math.max(0, ...names.map((name) =>
        same(name, query) ? 1 : inside(name, query) ? 0.6 * (name.length / query.length) : inside(query, name) ? 0.25 : 0));
      if (!share) continue;
      taught.forEach(([place, sure], at) => {
        found.set(place, Math.max(found.get(place) ?? 0, share * (sure ? TAUGHT[at] ?? 0 : NAMED)));
      });
    }
    return found;
  }

  function score(entry, query, { seen, mean, entries }) {
    let [total, matched] = [0, 0];
    for (const word of new Set(query)) {
      const count = entry.counts.get(word);
      if (!count) continue;
      matched += 1;
      const rare = Math.log(1 + (entries.length - seen.get(word) + 0.5) / (seen.get(word) + 0.5));
      const long = 1 - LENGTH + (LENGTH * entry.body.length) / mean;
      total += (rare * count * (SATURATION + 1)) / (count + SATURATION * long);
    }
    if (!matched) return 0;
    const share = matched / new Set(query).size;
    if (inside(query, entry.headed)) total *= 1.5;
    else if (query.length > 1 && inside(query, entry.body)) total *= 1.25;
    return total * share * share;
  }

  /* The sections that answer, the best first: at most `most`, at most three of a page. */
  function find(text, prepared, most = 30) {
    const query = words.asked(text).map(words.stem);
    const taught = taughtBy(query, prepared.named);
    const scored = prepared.entries.map((entry, place) => {
      const own = score(entry, query, prepared);
      const name = entry.kind === "term" && prepared.named[place - (prepared.entries.length - prepared.named.length)];
      const exact = name && name.names.some((one) => same(one, query)) ? 4 : 0;
      return { entry, score: ((own ? own + exact : 0) + (taught.get(place) ?? 0)) * KINDS[entry.kind] };
    });
    const pages = new Map();
    return scored.filter((one) => one.score > 0).sort((one, other) => other.score - one.score)
      .filter(({ entry: { docname } }) => pages.set(docname, (pages.get(docname) ?? 0) + 1).get(docname) <= 3)
      .slice(0, most);
  }

  course.rank = { prepare, find };
})();
