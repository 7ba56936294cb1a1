/* A learner's progress in this browser: what is remembered of each card, the log of reviews, the cards that are suspended.
   It is kept as the file that `course quiz` exports and imports (course_lib/course/cards/progress.py), under one key of
   localStorage. An entry that makes no sense is left out and named; the others are kept. */
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

  const SUSPENDED = {
    at: [isTime, "a time such as 2026-11-24T09:00:00.000Z"],
    on: [(value) => typeof value === "boolean", "true or false"],
  };
  const CANONICAL = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
  const asTime = (text) => (CANONICAL.test(text) ? text : new Date(text).toISOString());

  function fields(where, entry, allowed) {
    if (!isMapping(entry)) throw new Error(`${where}: allowed is a mapping of ${Object.keys(allowed).join(", ")}`);
    const kept = {};
    for (const [name, [check, what]] of Object.entries(allowed)) {
      if (!Object.hasOwn(entry, name)) throw new Error(`${where}: ${name} is missing`);
      if (!check(entry[name], entry)) {
        throw new Error(`${where}: ${name} is ${JSON.stringify(entry[name])}; allowed is ${what}`);
      }
      kept[name] = check === isTime ? asTime(entry[name]) : entry[name];
    }
    return kept;
  }

  const byTime = (one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : one.card < other.card ? -1 : 1);
  const empty = () => ({ cards: new Map(), log: [], suspended: new Map(), left: [] });

  /* The sound entries among some; `left` gets what is wrong with each of the others. */
  function sound(entries, allowed, left) {
    return entries.flatMap(([where, name, entry]) => {
      try {
        return [[name, fields(where, entry, allowed)]];
      } catch (error) {
        left.push({ name, problem: error.message });
        return [];
      }
    });
  }

  /* The progress that a text holds, and what was left out of it. Throws an Error if it is no such text at all. */
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
    const left = [];
    const named = (part, entries) => Object.entries(entries).map(([id, entry]) => [`${part}: ${id}`, id, entry]);
    const cards = new Map(sound(named("cards", data.cards), ALLOWED, left));
    const log = sound(data.log.map((entry, number) => [`log ${number + 1}`, null, entry]), REVIEW, left);
    const suspended = isMapping(data.suspended) ? sound(named("suspended", data.suspended), SUSPENDED, left) : [];
    return { cards, log: log.map(([, entry]) => entry).sort(byTime), suspended: new Map(suspended), left };
  }

  function write({ cards, log, suspended }, now, indent = 0) {
    const sorted = (some) => Object.fromEntries([...some].sort(([one], [other]) => (one < other ? -1 : 1)));
    const head = { format: FORMAT, version: VERSION, exported: now.toISOString() };
    const data = { ...head, cards: sorted(cards), log };
    if (suspended.size) data.suspended = sorted(suspended);
    return `${JSON.stringify(data, null, indent)}\n`;
  }

  /* A log by card, each in order of time. */
  function byCard(log) {
    const found = new Map();
    for (const entry of log) {
      if (found.has(entry.card)) found.get(entry.card).push(entry);
      else found.set(entry.card, [entry]);
    }
    return found;
  }

  /* What this browser holds, without touching it: null when nothing is there, or nothing that can be read. */
  function peek() {
    try {
      return parse(localStorage.getItem(KEY));
    } catch {
      return null;
    }
  }

  course.progress = { KEY, FORMAT, VERSION, empty, parse, write, peek, byTime, byCard };
})();
