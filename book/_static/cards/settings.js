/* What a reader chose for the cards in this browser: new cards a day, the chapter, and how many more they allowed today. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const KEY = "architecture-measured-settings:1";
  const MOST = 999;
  const isCount = (value) => Number.isInteger(value) && value >= 0 && value <= MOST;
  let memory = {}; // where nothing can be stored

  function get() {
    let kept;
    try {
      kept = JSON.parse(localStorage.getItem(KEY)) ?? memory;
    } catch {
      kept = memory;
    }
    const more = kept.more ?? {};
    return {
      newADay: isCount(kept.newADay) ? kept.newADay : course.today.NEW_A_DAY,
      chapter: typeof kept.chapter === "string" ? kept.chapter : "",
      more: isCount(more.cards) && Number.isInteger(more.day) ? more : { day: 0, cards: 0 },
    };
  }

  function set(changes) {
    memory = { ...get(), ...changes };
    try {
      localStorage.setItem(KEY, JSON.stringify(memory));
    } catch { /* it lasts as long as the page */ }
  }

  /* How many new cards are allowed on a day. */
  function allowed(day) {
    const { newADay, more } = get();
    return newADay + (more.day === day ? more.cards : 0);
  }

  function allowMore(day, cards) {
    const { more } = get();
    set({ more: { day, cards: Math.min(MOST, cards + (more.day === day ? more.cards : 0)) } });
  }

  course.settings = { KEY, MOST, isCount, get, set, allowed, allowMore };
})();
