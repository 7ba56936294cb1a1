/* What a learner does today: which cards are due, how many new ones are left, which comes next. The terminal follows the
   same rules (course_lib/course/cards/today.py). A card in review is due by day; a step of minutes is due by the minute. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { day } = course;
  const NEW_A_DAY = 20;
  const AHEAD = 20 * 60_000; // a step of minutes this near is taken when nothing else is left
  const REVIEW = 2;

  const isDue = ({ state, due }, now) =>
    state === REVIEW ? day.number(Date.parse(due)) <= day.number(now) : Date.parse(due) <= now;

  const isSuspended = ({ suspended }, id) => suspended.get(id)?.on === true;

  /* How many cards were met for the first time today: all their reviews are today's. */
  function introduced({ cards, log }, now) {
    const from = day.start(day.number(now)).toISOString();
    const reviews = new Map();
    for (let place = log.length - 1; place >= 0 && log[place].at >= from; place -= 1) {
      reviews.set(log[place].card, (reviews.get(log[place].card) ?? 0) + 1);
    }
    return [...reviews].filter(([id, count]) => cards.get(id)?.reps === count).length;
  }

  /* The cards of these ids by where they stand; `fresh` are all that were never asked. */
  function groups(progress, ids, now) {
    const found = { due: [], soon: [], fresh: [], later: [], suspended: [] };
    for (const id of ids) {
      const entry = progress.cards.get(id);
      const name = isSuspended(progress, id) ? "suspended" : !entry ? "fresh" : isDue(entry, now) ? "due"
        : entry.state === REVIEW ? "later" : "soon";
      found[name].push(id);
    }
    return found;
  }

  /* The id of the next card, or null: what has been due longest, then a new one, then a step of minutes that is near. No
     card is asked twice in a row while there is another. `ahead` takes what is not due too. */
  function next(progress, ids, now, { left, last = null, ahead = false }) {
    const { due, soon, fresh, later } = groups(progress, ids, now);
    const at = (id) => Date.parse(progress.cards.get(id).due);
    const byDue = (some) => some.sort((one, other) => at(one) - at(other));
    const near = byDue(soon).filter((id) => ahead || at(id) - now <= AHEAD);
    const queue = [...byDue(due), ...fresh.slice(0, Math.max(0, left)), ...near, ...(ahead ? byDue(later) : [])];
    return queue.find((id) => id !== last) ?? queue[0] ?? null;
  }

  course.today = { NEW_A_DAY, isDue, isSuspended, introduced, groups, next };
})();
