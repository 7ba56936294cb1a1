/* When a card comes back. The memory model (FSRS-6: stability, difficulty, interval) is ts-fsrs's. The steps of minutes
   are Python fsrs's, so that the page and `course quiz` schedule alike: ts-fsrs's own steps round half a minute up and force
   the intervals of Hard, Good and Easy apart. Days are counted from 4:00 to 4:00 (day.js), on both sides. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { day } = course;
  const MINUTE = 60_000;
  const { DAY } = day;
  const STATE = { learning: 1, review: 2, relearning: 3 };
  const RATING = { again: 1, hard: 2, good: 3, easy: 4 };
  const LEARNING_STEPS = [1 * MINUTE, 10 * MINUTE];
  const RELEARNING_STEPS = [10 * MINUTE];
  const UNSEEN = { state: STATE.learning, step: 0, stability: null, last_review: null, reps: 0, lapses: 0 };

  const fsrs = globalThis.FSRS.fsrs({ request_retention: 0.9, maximum_interval: 36500, enable_fuzz: false });

  /* Days since the last review: how often it became 4:00 in between. */
  const daysSince = (seen, now) =>
    seen.last_review === null ? 0 : Math.max(0, day.number(now) - day.number(Date.parse(seen.last_review)));

  /* Where a card stands in its steps of minutes; null when it is counted in days from now on. */
  function minutes(seen, rating) {
    if (seen.state === STATE.review) {
      return rating === RATING.again ? { state: STATE.relearning, step: 0, wait: RELEARNING_STEPS[0] } : null;
    }
    const { state, step } = seen;
    const steps = state === STATE.learning ? LEARNING_STEPS : RELEARNING_STEPS;
    if (rating === RATING.again) return { state, step: 0, wait: steps[0] };
    if (step >= steps.length || rating === RATING.easy) return null;
    if (rating === RATING.good) {
      return step + 1 < steps.length ? { state, step: step + 1, wait: steps[step + 1] } : null;
    }
    if (step > 0) return { state, step, wait: steps[step] };
    return { state, step, wait: steps.length === 1 ? steps[0] * 1.5 : (steps[0] + steps[1]) / 2 };
  }

  /* A card's entry after a review at `now` (a Date). `seen` is its entry before, or nothing when it is new. */
  function next(seen, rating, now) {
    seen = seen ?? UNSEEN;
    const before = seen.stability === null ? null : { stability: seen.stability, difficulty: seen.difficulty };
    const { stability, difficulty } = fsrs.next_state(before, daysSince(seen, now), rating);
    const steps = minutes(seen, rating);
    const { state, step } = steps ?? { state: STATE.review, step: null };
    const due = steps ? new Date(now.getTime() + steps.wait)
      : day.start(day.number(now) + fsrs.next_interval(stability, 0));
    return {
      due: due.toISOString(),
      stability,
      difficulty,
      state,
      step,
      last_review: now.toISOString(),
      reps: seen.reps + 1,
      lapses: seen.lapses + (seen.state === STATE.review && rating === RATING.again ? 1 : 0),
    };
  }

  /* A card's entry after all its reviews, given as [{rating, at}, ...] in order of time. */
  const replay = (reviews) => reviews.reduce((seen, { rating, at }) => next(seen, rating, new Date(at)), undefined);

  /* A waiting time as a reader says it: "6 min", "3 days", "2 months". */
  function inWords(milliseconds) {
    const [count, unit] =
      milliseconds < 60 * MINUTE ? [milliseconds / MINUTE, "min"]
      : milliseconds < DAY ? [milliseconds / (60 * MINUTE), "hour"]
      : milliseconds < 60 * DAY ? [milliseconds / DAY, "day"]
      : milliseconds < 730 * DAY ? [milliseconds / (30.4375 * DAY), "month"]
      : [milliseconds / (365.25 * DAY), "year"];
    const whole = Math.max(1, Math.round(count));
    return `${whole} ${unit}${unit === "min" || whole === 1 ? "" : "s"}`;
  }

  /* How long an entry stays away: minutes in the steps, whole days in review. */
  const waitInWords = ({ state, due }, now) => state === STATE.review
    ? inWords(Math.max(1, day.number(Date.parse(due)) - day.number(now)) * DAY)
    : inWords(Math.max(0, Date.parse(due) - now));

  course.schedule = { next, replay, minutes, inWords, waitInWords, RATING, STATE, UNSEEN };
})();
