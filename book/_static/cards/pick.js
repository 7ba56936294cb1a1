/* Chance that is the same everywhere: a text as seed, its FNV-1a hash, the generator mulberry32, a Fisher-Yates shuffle.
   course_lib/course/cards/quiz.py does the same, so that a class sees one quiz. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});

  /* FNV-1a of the text's UTF-8 bytes, 32 bits. */
  function hash(text) {
    let value = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
    return value;
  }

  /* A function that draws whole numbers below its argument. */
  function generator(seed) {
    let state = hash(seed);
    return (below) => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) * below) / 2 ** 32);
    };
  }

  function shuffled(items, seed) {
    const draw = generator(seed);
    const found = [...items];
    for (let last = found.length - 1; last > 0; last -= 1) {
      const other = draw(last + 1);
      [found[last], found[other]] = [found[other], found[last]];
    }
    return found;
  }

  /* The first `count` of the ids, shuffled; the order they come in does not matter. */
  const pick = (ids, count, seed) => shuffled([...ids].sort(), seed).slice(0, count);

  /* Which of `count` variants is shown: of a quiz for "seed:id", of a review for "id:reviews so far". */
  const choose = (count, seed) => generator(seed)(count);

  /* The order in which options, items or right sides are shown: never the order of the file. */
  function shownOrder(count, seed) {
    const found = shuffled(Array.from({ length: count }, (_, number) => number), seed);
    return found.some((number, place) => number !== place) ? found : [...found.slice(1), ...found.slice(0, 1)];
  }

  course.chance = { hash, pick, choose, shownOrder };
})();
