/* What is still sound in a damaged progress. A card whose entry makes no sense is computed again from its reviews; of a
   text that is cut or scribbled over, every entry that can still be read is kept. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { progress } = course;
  const ENTRY = /"((?:[^"\\]|\\.){0,200})"\s*:\s*(\{[^{}]*\})/g;
  const FLAT = /\{[^{}]*\}/g;

  function read(text) {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }

  /* The text of a progress file made of what can be read in a text that is no JSON any more; null if it was never one. */
  function salvaged(text) {
    const version = /"version"\s*:\s*(\d+)/.exec(text)?.[1];
    if (!text.includes(`"${progress.FORMAT}"`) || Number(version) !== progress.VERSION) return null;
    const found = { format: progress.FORMAT, version: progress.VERSION, cards: {}, log: [], suspended: {} };
    for (const [, name, body] of text.matchAll(ENTRY)) {
      const [id, entry] = [read(`"${name}"`), read(body)];
      if (id === null || entry === null) continue;
      if (Object.hasOwn(entry, "stability")) Object.defineProperty(found.cards, id, { value: entry, enumerable: true });
      else if (Object.hasOwn(entry, "on")) Object.defineProperty(found.suspended, id, { value: entry, enumerable: true });
    }
    for (const [body] of text.matchAll(FLAT)) {
      const entry = read(body);
      if (entry && Object.hasOwn(entry, "rating")) found.log.push(entry);
    }
    return JSON.stringify(found);
  }

  /* Cards that have reviews and no entry, computed from their reviews. */
  function rebuilt({ cards, log, ...rest }) {
    const whole = new Map(cards);
    for (const [id, entries] of progress.byCard(log)) if (!whole.has(id)) whole.set(id, course.schedule.replay(entries));
    return { cards: whole, log, ...rest };
  }

  /* The sound progress in a text, and `left`, what is wrong with the rest. Throws an Error if nothing can be kept. */
  function parse(text) {
    try {
      const found = progress.parse(text);
      return found.left.length ? rebuilt(found) : found;
    } catch (error) {
      const rest = salvaged(text);
      if (rest === null) throw error;
      const found = rebuilt(progress.parse(rest));
      return { ...found, left: [{ name: null, problem: `${error.message}, it is cut or damaged` }, ...found.left] };
    }
  }

  /* What was left out, as a reader is told: the first three, and how many more. */
  function inWords(left) {
    const more = left.length > 3 ? `; and ${left.length - 3} more` : "";
    return `${left.slice(0, 3).map(({ problem }) => problem).join("; ")}${more}`;
  }

  course.sound = { parse, inWords };
})();
