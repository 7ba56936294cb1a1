/* What a log says about a learner: reviews a day, the share of reviews that were remembered, what will be due. The terminal
   counts the same (course_lib/course/cards/statistics.py). */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { day, today, schedule, progress } = course;
  const MATURE = 21; // days; from here on a card counts as mature, as in Anki
  const { REVIEW_STATE, AGAIN } = { REVIEW_STATE: schedule.STATE.review, AGAIN: schedule.RATING.again };

  /* Each review with the day it was made on, and whether the card stood in review before it. */
  function told(log) {
    const found = [];
    for (const [, reviews] of progress.byCard(log)) {
      let seen = schedule.UNSEEN;
      for (const { rating, at } of reviews) {
        found.push({ day: day.number(Date.parse(at)), rating, inReview: seen.state === REVIEW_STATE });
        seen = schedule.minutes(seen, rating) ?? { state: REVIEW_STATE, step: null };
      }
    }
    return found;
  }

  /* Of the reviews of cards that stood in review: how many there were, and how many were remembered. */
  function retention(reviews, from) {
    const counted = reviews.filter((one) => one.inReview && one.day >= from);
    return { reviews: counted.length, remembered: counted.filter(({ rating }) => rating !== AGAIN).length };
  }

  function reviewsADay(reviews, first, days) {
    const found = Array.from({ length: days }, (_, place) => ({ day: first + place, again: 0, remembered: 0 }));
    for (const one of reviews) {
      const at = found[one.day - first];
      if (at) at[one.rating === AGAIN ? "again" : "remembered"] += 1;
    }
    return found;
  }

  /* How many of the cards are due on each day from today on; what is overdue is due today. */
  function forecast(stored, ids, now, days) {
    const first = day.number(now);
    const found = Array.from({ length: days }, (_, place) => ({ day: first + place, cards: 0 }));
    for (const id of ids) {
      const entry = stored.cards.get(id);
      if (!entry || today.isSuspended(stored, id)) continue;
      const at = found[Math.max(0, day.number(Date.parse(entry.due)) - first)];
      if (at) at.cards += 1;
    }
    return found;
  }

  function stands(stored, ids) {
    const found = { fresh: 0, learning: 0, young: 0, mature: 0, suspended: 0 };
    for (const id of ids) {
      const entry = stored.cards.get(id);
      const days = entry && day.number(Date.parse(entry.due)) - day.number(Date.parse(entry.last_review));
      found[today.isSuspended(stored, id) ? "suspended" : !entry ? "fresh" : entry.state !== REVIEW_STATE ? "learning"
        : days < MATURE ? "young" : "mature"] += 1;
    }
    return found;
  }

  function all(stored, ids, now, days = 30) {
    const reviews = told(stored.log);
    const here = day.number(now);
    return {
      reviews: reviews.length,
      studied: new Set(reviews.map((one) => one.day)).size,
      lately: retention(reviews, here - days + 1),
      ever: retention(reviews, 0),
      a_day: reviewsADay(reviews, here - days + 1, days),
      forecast: forecast(stored, ids, now, days),
      stands: stands(stored, ids),
    };
  }

  course.stats = { all };
})();
