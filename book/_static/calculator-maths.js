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

  /* The next whole number from below; within a part in 1e11 of one, that one: course_lib.costs.arithmetic.round_up. */
  function roundUp(value) {
    const near = Math.round(value);
    return Math.abs(value - near) <= 1e-11 * Math.max(1, Math.abs(value)) ? near : Math.ceil(value);
  }

  /* course_lib.costs.binomial, step by step. */
  const STIRLING = [
    0.0, 0.08106146679532726, 0.0413406959554093, 0.02767792568499834, 0.02079067210376509, 0.01664469118982119,
    0.01387612882307075, 0.01189670994589177, 0.0104112652619721, 0.009255462182712733, 0.008330563433362871,
    0.007573675487951841, 0.00694284010720953, 0.006408994188004207, 0.005951370112758848, 0.005554733551962801,
  ];

  function stirlingRest(n) {
    if (n < STIRLING.length) return STIRLING[n];
    const square = n * n;
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / n;
  }

  function deviance(x, mean) {
    const apart = x - mean;
    const all = x + mean;
    if (Math.abs(apart) >= 0.1 * all) return x * Math.log(x / mean) + mean - x;
    const ratio = apart / all;
    let [found, term, odd] = [apart * ratio, 2 * x * ratio, 1];
    for (let step = 0; step < 1000; step += 1) {
      term *= ratio * ratio;
      odd += 2;
      const longer = found + term / odd;
      if (longer === found) break;
      found = longer;
    }
    return found;
  }

  function binomialTerm(trials, chance, x) {
    const rest = trials - x;
    if (x === 0 || x === trials) {
      const gap = -trials * Math.log1p(x === 0 ? -chance : chance - 1);
      return gap > 60 ? 0 : Math.exp(-gap);
    }
    const gap =
      stirlingRest(x) +
      stirlingRest(rest) -
      stirlingRest(trials) +
      deviance(x, trials * chance) +
      deviance(rest, trials * (1 - chance));
    return gap > 60 ? 0 : Math.exp(-gap) * Math.sqrt(trials / (2 * Math.PI * x * rest));
  }

  function tail(trials, chance, limit, way) {
    const odds = chance / (1 - chance);
    let [total, x, away] = [0, limit + way, 1];
    let term = x >= 0 && x <= trials ? binomialTerm(trials, chance, x) : 0;
    while (term > 1e-18 * total && x >= 0 && x <= trials) {
      total += away * term;
      term *= way > 0 ? ((trials - x) / (x + 1)) * odds : x / (trials - x + 1) / odds;
      x += way;
      away += 1;
    }
    return total;
  }

  function expectedExcess(trials, chance, limit) {
    const mean = trials * chance;
    if (chance === 0 || chance === 1 || limit >= trials) return Math.max(0, mean - limit);
    return limit < mean ? mean - limit + tail(trials, chance, limit, -1) : tail(trials, chance, limit, 1);
  }

  /* course_lib.costs.experts.zipf_loads and what is made of it. */
  function zipfLoads(experts, skew) {
    const weights = Array.from({ length: experts }, (_, i) => (i + 1) ** -skew);
    const whole = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / whole);
  }

  const zipfHottest = (experts, skew) => experts * zipfLoads(experts, skew)[0];

  function zipfReplicas(experts, skew, target) {
    const loads = zipfLoads(experts, skew);
    const mean = loads.reduce((sum, load) => sum + load, 0) / experts;
    return loads.reduce((sum, load) => sum + Math.max(1, roundUp(load / (target * mean))), 0) - experts;
  }

  /* The normal density, and the distribution by Marsaglia's series (2004), right to 1e-15. */
  const density = (x) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);

  function below(x) {
    let [sum, term, odd] = [x, x, 1];
    for (let step = 0; step < 1000; step += 1) {
      odd += 2;
      term *= (x * x) / odd;
      const longer = sum + term;
      if (longer === sum) break;
      sum = longer;
    }
    return Math.min(1, Math.max(0, 0.5 + sum * density(x)));
  }

  /* course_lib.costs.search_cost.expected_largest, step by step. */
  const [REACH, STEPS] = [9, 288];
  const step = (2 * REACH) / STEPS;
  const places = Array.from({ length: STEPS + 1 }, (_, i) => i * step - REACH);
  const table = places.map((x) => [x * density(x), below(x)]);
  const expectedLargest = (count) =>
    step * table.reduce((sum, [part, share]) => sum + part * count * share ** (count - 1), 0);

  return { expectedExcess, expectedLargest, floorDivide, leastWithin, roundUp, sumOfSteps, zipfHottest, zipfReplicas };
})();
