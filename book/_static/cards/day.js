/* Days as a learner counts them: one begins at 4:00 local time, so that a late evening belongs to the day before.
   course_lib/course/cards/day.py counts the same. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const DAY = 24 * 60 * 60_000;
  const BEGINS = 4;

  /* The number of the day that holds a moment: days since 1970-01-01, by the calendar of this machine. */
  function number(at) {
    const local = new Date(at);
    const before = local.getHours() < BEGINS ? 1 : 0;
    return Date.UTC(local.getFullYear(), local.getMonth(), local.getDate() - before) / DAY;
  }

  /* When a day begins. */
  function start(day) {
    const date = new Date(day * DAY);
    return new Date(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), BEGINS);
  }

  /* A day as a reader writes it: "Nov 30". */
  const inWords = (day) => new Date(day * DAY).toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });

  course.day = { DAY, number, start, inWords };
})();
