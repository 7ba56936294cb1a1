/* A choice among options: who wins, at which price of the plot's input another one does, and in which words. */
globalThis.calculatorChoice = (() => {
  "use strict";

  const within = (choice, results) =>
    choice.options.filter((option) => results[option.kept] <= results[choice.limit]);

  /* The option of least value that keeps the limit, the first of equals; null where none keeps it. */
  function winner(choice, results) {
    let best = null;
    for (const option of within(choice, results)) {
      if (best === null || results[option.value] < results[best.value]) best = option;
    }
    return best;
  }

  /* The price at which two options tie; null where there is none of at least 0. */
  function tie(choice, results, one, other) {
    const [a, b] = [one, other].map((option) => choice.options.indexOf(option) + 1).sort((x, y) => x - y);
    const price = results[choice.ties[`${a} ${b}`]];
    return Number.isFinite(price) && price >= 0 ? price : null;
  }

  /* Who wins from which price on: [{at, option}], the first from 0. `there` gives the results at a price. */
  function reigns(choice, results, there) {
    const kept = within(choice, results);
    const prices = new Set([0]);
    kept.forEach((one, number) =>
      kept.slice(number + 1).forEach((other) => prices.add(tie(choice, results, one, other) ?? 0)),
    );
    const ends = [...prices].sort((a, b) => a - b);
    const found = [];
    ends.forEach((at, number) => {
      const inside = number + 1 < ends.length ? (at + ends[number + 1]) / 2 : 2 * at + 1;
      const option = winner(choice, there(inside));
      if (option && option !== found.at(-1)?.option) found.push({ at, option });
    });
    return found;
  }

  /* The reigns in a sentence; `text` writes a price. */
  function sentence(choice, found, text) {
    const { none, always, first, then, last } = choice.words;
    if (!found.length) return none;
    const say = (words, number) =>
      words.replace("{name}", found[number].option.name).replace("{at}", text(found[number + 1]?.at));
    if (found.length === 1) return say(always, 0);
    const middle = found.slice(1, -1).map((_, number) => say(then, number + 1));
    return [say(first, 0), ...middle, say(last, found.length - 1)].join(", ") + ".";
  }

  return { winner, tie, reigns, sentence };
})();
