/* Text as words to compare: small letters, without endings that make no difference, and without words that say nothing. */
(() => {
  "use strict";
  const course = (globalThis.courseSearch ??= {});
  const EMPTY = new Set(("a an and are as at be by do does for from how i in is it its my of on or that the to was what when "
    + "where which who why with").split(" "));

  const lower = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const split = (text) => lower(text).match(/[\p{L}\p{N}]+/gu) ?? [];

  /* "embeddings" and "embedding", "cached" and "caches" are one word; a word of four letters or fewer loses an s at most. */
  function stem(word) {
    word = word.replace(/iz(?=e|ing|ation)/, "is"); // quantized, quantised
    if (word.length > 3 && word.endsWith("s") && !word.endsWith("ss")) word = word.slice(0, -1);
    if (word.length > 5 && word.endsWith("ing")) return word.slice(0, -3).replace(/(.)\1$/, "$1");
    if (word.length > 4 && word.endsWith("ed")) return word.slice(0, -2).replace(/(.)\1$/, "$1");
    return word.length > 4 && word.endsWith("e") ? word.slice(0, -1) : word;
  }

  const stems = (text) => split(text).map(stem);

  /* The words of a query that say something; all of them if none does. */
  function asked(query) {
    const words = split(query);
    const telling = words.filter((word) => !EMPTY.has(word));
    return telling.length ? telling : words;
  }

  /* Where the words of a query stand in a text, as [start, end]: each word with its endings. */
  function places(text, words) {
    if (!words.length) return [];
    const wanted = new Set(words.map(stem));
    return [...text.matchAll(/[\p{L}\p{N}]+/gu)]
      .filter(([word]) => wanted.has(stem(lower(word))))
      .map((found) => [found.index, found.index + found[0].length]);
  }

  course.words = { asked, stem, stems, places };
})();
