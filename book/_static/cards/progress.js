/* A learner's progress in this browser: what is remembered of each card, and the log of reviews. It is kept as the
   file that `course quiz` exports and imports (course_lib/course/cards/progress.py), under one key of localStorage. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const FORMAT = "architecture-measured-progress";
  const VERSION = 1;
  const KEY = `${FORMAT}:${VERSION}`;
  const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/;

  const isMapping = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const isWhole = (value) => Number.isInteger(value) && value >= 0;
  const isNumber = (value, least, most) => typeof value === "number" && value >= least && value <= most;
  const isTime = (value) => typeof value === "string" && TIME.test(value) && !Number.isNaN(Date.parse(value));

  const ALLOWED = {
    due: [isTime, "a time such as 2026-11-24T09:00:00.000Z"],
    stability: [(value) => isNumber(value, Number.MIN_VALUE, Number.MAX_VALUE), "a number of days above 0"],
    difficulty: [(value) => isNumber(value, 1, 10), "a number from 1 to 10"],
    state: [(value) => [1, 2, 3].includes(value), "1 (learning), 2 (review) or 3 (relearning)"],
    step: [(value, { state }) => (state === 2 ? value === null : isWhole(value)), "null in review, else a whole number"],
    last_review: [isTime, "a time such as 2026-11-24T09:00:00.000Z"],
    reps: [isWhole, "a whole number"],
    lapses: [isWhole, "a whole number"],
  };
  const REVIEW = {
    card: [(value) => typeof value === "string", "a card's id"],
    rating: [(value) => [1, 2, 3, 4].includes(value), "1 to 4"],
    at: [isTime, "a time such as 2026-11-24T09:00:00.000Z"],
  };

  function fields(where, entry, allowed) {
    if (!isMapping(entry)) throw new Error(`${where}: allowed is a mapping of ${Object.keys(allowed).join(", ")}`);
    const kept = {};
    for (const [name, [check, what]] of Object.entries(allowed)) {
      if (!Object.hasOwn(entry, name)) throw new Error(`${where}: ${name} is missing`);
      if (!check(entry[name], entry)) {
        throw new Error(`${where}: ${name} is ${JSON.stringify(entry[name])}; allowed is ${what}`);
      }
      kept[name] = isTime(entry[name]) ? new Date(entry[name]).toISOString() : entry[name];
    }
    return kept;
  }

  const byTime = (one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : one.card < other.card ? -1 : 1);
  const empty = () => ({ cards: new Map(), log: [] });

  /* The progress that a text holds. Throws an Error that says what is wrong with it. */
  function parse(text) {
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      throw new Error("it is not JSON");
    }
    if (!isMapping(data) || data.format !== FORMAT) throw new Error(`it does not say format "${FORMAT}"`);
    if (data.version !== VERSION) {
      throw new Error(`it has version ${JSON.stringify(data.version)}; this page reads version ${VERSION}`);
    }
    if (!isMapping(data.cards) || !Array.isArray(data.log)) throw new Error("cards is not a mapping, or log no list");
    const cards = Object.entries(data.cards).map(([id, entry]) => [id, fields(`cards: ${id}`, entry, ALLOWED)]);
    const log = data.log.map((entry, number) => fields(`log ${number + 1}`, entry, REVIEW));
    return { cards: new Map(cards), log: log.sort(byTime) };
  }

  function write({ cards, log }, now) {
    const sorted = [...cards].sort(([one], [other]) => (one < other ? -1 : 1));
    const head = { format: FORMAT, version: VERSION, exported: now.toISOString() };
    return `${JSON.stringify({ ...head, cards: Object.fromEntries(sorted), log }, null, 1)}\n`;
  }

  /* How many of these cards are due by now, and how many are new. */
  function counts({ cards }, ids, now) {
    const known = ids.filter((id) => cards.has(id));
    const due = known.filter((id) => Date.parse(cards.get(id).due) <= now.getTime());
    return { due: due.length, fresh: ids.length - known.length };
  }

  /* What this browser holds, without touching it: null when nothing is there, or nothing that can be read. */
  function peek() {
    try {
      return parse(localStorage.getItem(KEY));
    } catch {
      return null;
    }
  }

  course.progress = { KEY, empty, parse, write, counts, peek, byTime };
})();
