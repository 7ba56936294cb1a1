/* Reads, changes and keeps the progress. Every change starts from what is stored at that moment, so two tabs do not
   undo each other, and a card that another tab rated meanwhile is not rated again. Of what is damaged the sound part is
   kept and the text set aside; what cannot be stored stays in memory. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { KEY, empty, write, byTime, byCard } = course.progress;
  const DELETED = `${KEY}:deleted`;
  const undone = []; // the ratings of this tab, the last at the end
  let kept = empty();
  let blocked = false;
  let notice = null;
  let deleted = null;

  function load() {
    if (blocked) return kept;
    let text;
    try {
      text = localStorage.getItem(KEY);
    } catch {
      blocked = true;
      notice = { text: "This browser does not let the page store anything. Your progress lasts until you close the page; "
        + "export it to keep it." };
      return kept;
    }
    if (text === null) return empty();
    let found = empty();
    let problem = null;
    try {
      found = course.sound.parse(text);
      problem = found.left.length ? course.sound.inWords(found.left) : null;
    } catch (error) {
      problem = error.message;
    }
    if (problem !== null) setAside(text, problem, found);
    return found;
  }

  /* Put a damaged text under another key if there is room, and what is sound of it in its place. */
  function setAside(text, problem, found) {
    const name = `${KEY}:unreadable:${new Date().toISOString()}`;
    let place = "";
    try {
      localStorage.removeItem(KEY);
      localStorage.setItem(name, text);
      place = ` The damaged text is in localStorage under “${name}”.`;
    } catch {
      localStorage.removeItem(name);
    }
    const rest = found.cards.size || found.log.length
      ? `Kept are ${found.cards.size} cards and ${found.log.length} reviews.` : "You start anew.";
    notice = { damaged: text, text: `The progress stored in this browser could not be read as a whole: ${problem}. ${rest}${place}` };
    if (found.cards.size || found.log.length) save(found);
  }

  function save(progress) {
    kept = progress;
    if (blocked) return;
    try {
      localStorage.setItem(KEY, write(progress, new Date()));
    } catch {
      blocked = true;
      notice = { ...notice, text: "This browser has no room to store your progress. It lasts until you close the page; export it to keep it." };
    }
  }

  /* Change the progress: `change` gets it and returns what replaces of it. */
  function update(change) {
    const before = load();
    save({ ...before, ...change(before) });
    document.dispatchEvent(new CustomEvent("cards:progress"));
  }

  const lastReview = (id) => load().cards.get(id)?.last_review ?? null;

  /* Rate a card that was shown when its last review was `seen`. Returns false, and changes nothing, if it was rated since. */
  function review(id, rating, now, seen = lastReview(id)) {
    if (lastReview(id) !== seen) return false;
    const entry = { card: id, rating, at: now.toISOString() };
    update(({ cards, log }) => {
      undone.push({ id, entry, before: cards.get(id) });
      cards.set(id, course.schedule.next(cards.get(id), rating, now));
      const late = log.length && byTime(log.at(-1), entry) > 0;
      return { cards, log: late ? [...log, entry].sort(byTime) : [...log, entry] };
    });
    return true;
  }

  /* Take back the last rating of this tab. Returns the card's id; null if there is none, or the card was rated since. */
  function undo() {
    const last = undone.pop();
    if (!last || lastReview(last.id) !== last.entry.at) return null;
    update(({ cards, log }) => {
      if (last.before) cards.set(last.id, last.before);
      else cards.delete(last.id);
      const place = log.findLastIndex(({ card, at }) => card === last.id && at === last.entry.at);
      return { cards, log: log.filter((_, number) => number !== place) };
    });
    return last.id;
  }

  function suspend(id, on, now) {
    update(({ suspended }) => ({ suspended: suspended.set(id, { at: now.toISOString(), on }) }));
  }

  /* Both together: every review once, each card as if all its reviews had been made in one place. Where a log does not
     tell a card's whole story, the memory that was reviewed last counts. */
  function merge(ours, theirs) {
    const name = ({ card, rating, at }) => `${at} ${rating} ${card}`;
    const log = [...new Map([...ours.log, ...theirs.log].map((entry) => [name(entry), entry])).values()].sort(byTime);
    const together = byCard(log);
    const sides = [ours, theirs].map(({ cards, log: own }) => [cards, byCard(own)]);
    const cards = new Map();
    for (const id of new Set([...ours.cards.keys(), ...theirs.cards.keys()])) {
      const known = sides.filter(([entries]) => entries.has(id));
      const whole = known.every(([entries, own]) => entries.get(id).reps === (own.get(id) ?? []).length);
      const latest = known.map(([entries]) => entries.get(id)).sort((a, b) => (a.last_review < b.last_review ? 1 : -1))[0];
      cards.set(id, whole && known.length === 2 ? course.schedule.replay(together.get(id)) : latest);
    }
    const suspended = new Map(ours.suspended);
    for (const [id, one] of theirs.suspended) if (!(suspended.get(id)?.at > one.at)) suspended.set(id, one);
    return { cards, log, suspended };
  }

  function imported(text) {
    const theirs = course.sound.parse(text);
    update((ours) => merge(ours, theirs));
    return { cards: theirs.cards.size, left: theirs.left };
  }

  function reset() {
    deleted = write(load(), new Date());
    try {
      sessionStorage.setItem(DELETED, deleted);
    } catch { /* it lasts as long as the page */ }
    undone.length = 0;
    update(empty);
  }

  /* What was deleted in this tab, or null. */
  function deletedText() {
    try {
      return sessionStorage.getItem(DELETED) ?? deleted;
    } catch {
      return deleted;
    }
  }

  function restore() {
    imported(deletedText());
    deleted = null;
    try {
      sessionStorage.removeItem(DELETED);
    } catch { /* nothing was kept there */ }
  }

  const takeNotice = () => {
    const said = notice;
    notice = null;
    return said;
  };

  course.store = {
    load, review, undo, suspend, takeNotice, imported, reset, restore,
    canUndo: () => undone.length > 0,
    canRestore: () => deletedText() !== null,
    exported: () => write(load(), new Date(), 1),
  };
})();
