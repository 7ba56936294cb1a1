/* What the formulas call where JavaScript has no function of its own. All do what Python does, step by step. */
globalThis.calculatorMaths = (() => {
  "use strict";

  /* Python's `over // under` of two numbers: the floor of the true quotient, not of the rounded one. */
  function floorDivide(over, under) {
    const rest = over % under;
    let quotient = (over - rest) / under;
    if (rest !== 0 && under < 0 !== rest < 0) quotient -= 1;
    const whole = Math.floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
  }

  /* The sum over t = first .. last of the larger of two times, each straight between the windows:
     course_lib.costs.latency.sum_of_steps. */
  function sumOfSteps(one, other, first, last, windows) {
    if (last < first) return 0;
    const inside = windows.filter((window) => first <= window && window < last);
    if (inside.length) {
      const cut = Math.min(...inside);
      return sumOfSteps(one, other, first, cut, windows) + sumOfSteps(one, other, cut + 1, last, windows);
    }
    const larger = (t) => Math.max(one(t), other(t));
    const bound = (t) => one(t) > other(t);
    if (bound(first) === bound(last) || last - first < 2) {
      return ((last - first + 1) * (larger(first) + larger(last))) / 2;
    }
    const middle = Math.floor((first + last) / 2);
    return sumOfSteps(one, other, first, middle, windows) + sumOfSteps(one, other, middle + 1, last, windows);
  }

  /* The least value of pairs [value, kept] whose `kept` is at most the limit; Infinity where there is none. */
  const leastWithin = (limit, pairs) =>
    Math.min(...pairs.filter(([, kept]) => kept <= limit).map(([value]) => value));

  return { floorDivide, leastWithin, sumOfSteps };
})();
