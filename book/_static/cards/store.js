/* Reads, changes and keeps the progress. Every change starts from what is stored at that moment, so two tabs do not
   undo each other. What cannot be read is set aside under another key and said; what cannot be stored stays in memory. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { KEY, empty, parse, write, byTime } = course.progress;
  let kept = empty();
  let blocked = false;
  let notice = "";

  function load() {
    if (blocked) return kept;
    let text;
    try {
      text = localStorage.getItem(KEY);
    } catch {
      blocked = true;
      notice = "This browser does not let the page store anything. Your progress lasts until you close the page; "
        + "export it to keep it.";
      return kept;
    }
    if (text === null) return empty();
    try {
      return parse(text);
    } catch (error) {
      setAside(text, error.message);
      return empty();
    }
  }

  function setAside(text, problem) {
    const name = `${KEY}:unreadable:${new Date().toISOString()}`;
    localStorage.setItem(name, text);
    localStorage.removeItem(KEY);
    notice = `The progress stored in this browser could not be read: ${problem}. Nothing is lost. It is kept in `
      + `localStorage under “${name}”, and you start anew. An exported file can be imported below.`;
  }

  function save(progress) {
    kept = progress;
    if (blocked) return;
    try {
      localStorage.setItem(KEY, write(progress, new Date()));
    } catch {
      blocked = true;
      notice = "This browser has no room to store your progress. It lasts until you close the page; export it to keep it.";
    }
  }

  /* Change the progress: `change` gets it and returns what replaces it. */
  function update(change) {
    save(change(load()));
    document.dispatchEvent(new CustomEvent("cards:progress"));
  }

  function review(id, rating, now) {
    update(({ cards, log }) => {
      cards.set(id, course.schedule.next(cards.get(id), rating, now));
      return { cards, log: [...log, { card: id, rating, at: now.toISOString() }].sort(byTime) };
    });
  }

  /* Both together: every review once, each card as if all its reviews had been made in one place. Where a log does not
     tell a card's whole story, the memory that was reviewed last counts. */
  function merge(ours, theirs) {
    const once = new Map([...ours.log, ...theirs.log].map((entry) => [JSON.stringify(entry), entry]));
    const log = [...once.values()].sort(byTime);
    const of = (id, entries) => entries.filter(({ card }) => card === id);
    const cards = new Map();
    for (const id of new Set([...ours.cards.keys(), ...theirs.cards.keys()])) {
      const sides = [ours, theirs].filter((side) => side.cards.has(id));
      const whole = sides.every((side) => side.cards.get(id).reps === of(id, side.log).length);
      const latest = sides.map((side) => side.cards.get(id)).sort((a, b) => (a.last_review < b.last_review ? 1 : -1))[0];
      cards.set(id, whole && sides.length === 2 ? course.schedule.replay(of(id, log)) : latest);
    }
    return { cards, log };
  }

  const takeNotice = () => {
    const said = notice;
    notice = "";
    return said;
  };

  course.store = {
    load,
    review,
    takeNotice,
    exported: () => write(load(), new Date()),
    imported: (text) => {
      const theirs = parse(text);
      update((ours) => merge(ours, theirs));
      return theirs.cards.size;
    },
    reset: () => update(empty),
  };
})();
