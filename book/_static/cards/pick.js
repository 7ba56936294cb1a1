/* Chance that is the same everywhere: a text as seed, its FNV-1a hash, the generator mulberry32, a Fisher-Yates shuffle.
   course_lib/cards/quiz.py does the same, so that a class sees one quiz. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});

  /* FNV-1a of the text's UTF-8 bytes, 32 bits. */
  function hash(text) {
    let value = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
    return value;
  }

  /* A function that returns the next number, 0 <= x < 1. */
  function generator(seed) {
    let state = hash(seed);
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
    };
  }

  function shuffled(items, seed) {
    const random = generator(seed);
    const order = [...items];
    for (let last = order.length - 1; last > 0; last -= 1) {
      const other = Math.floor(random() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    return order;
  }

  /* The first `count` of the ids, shuffled; sorted before, so that the order they come in does not matter. */
  const pick = (ids, count, seed) => shuffled([...ids].sort(), seed).slice(0, count);

  course.chance = { hash, generator, shuffled, pick };
})();
