/* Python's values in JavaScript: None is null, a mapping a Map, a list an Array, a tuple a Tuple, an int a number.
   A float that is not whole is a number too; a whole one is a Float, for 1.0 is no count. Equality, order, truth,
   arithmetic, iteration and lookup do what Python does, or raise what Python raises. */
globalThis.calculatorValues = (() => {
  "use strict";

  class ValueError extends Error {}
  class Float {
    constructor(value) {
      this.value = value;
    }
    valueOf() {
      return this.value;
    }
  }
  class Tuple extends Array {}
  class Range extends Array {}
  class Frozen extends Map {}
  /* Keyword arguments, the last argument of a call. */
  class Keywords extends Map {}

  function fail(kind, message) {
    const error = new Error(`${kind}: ${message}`);
    error.name = kind;
    throw error;
  }

  const isFloat = (value) => value instanceof Float || (typeof value === "number" && !Number.isInteger(value));
  const isInt = (value) => typeof value === "boolean" || (typeof value === "number" && Number.isInteger(value));
  const isNumber = (value) => isInt(value) || isFloat(value);
  const isList = (value) => Array.isArray(value) && value.constructor === Array;
  const isGenerator = (value) => typeof value?.next === "function";
  const plain = (value) => (value instanceof Float ? value.value : value);
  const tuple = (values) => Tuple.from(values);

  /* What a loop walks over. A generator is not closed when a loop leaves it early: the next one goes on there. */
  function* keysOf(mapping) {
    const size = mapping.size;
    for (const key of mapping.keys()) {
      yield key;
      if (mapping.size !== size) fail("RuntimeError", "a mapping changed its size in a loop over it");
    }
  }
  function live(sequence) {
    if (sequence instanceof Map) return keysOf(sequence);
    if (Array.isArray(sequence) || typeof sequence === "string") return sequence;
    if (isGenerator(sequence)) return { [Symbol.iterator]: () => ({ next: () => sequence.next() }) };
    return fail("TypeError", "what is looped over is no sequence");
  }
  const items = (sequence) => [...live(sequence)];

  /* The parts of a value for the targets of an assignment; a shape is a 0 for a name, a list for more targets. */
  function unpack(value, shape) {
    if (shape === 0) return value;
    const parts = items(value);
    if (parts.length > shape.length) throw new ValueError(`too many values to unpack (expected ${shape.length})`);
    if (parts.length < shape.length) {
      throw new ValueError(`not enough values to unpack (expected ${shape.length}, got ${parts.length})`);
    }
    return parts.map((part, at) => unpack(part, shape[at]));
  }
  function* over(sequence, shape = 0) {
    for (const value of live(sequence)) yield unpack(value, shape);
  }

  function truth(value) {
    if (value instanceof Map) return value.size > 0;
    if (typeof value === "string" || Array.isArray(value)) return value.length > 0;
    if (isNumber(value)) return Number(value) !== 0;
    return Boolean(value);
  }

  const counted = (value) => (typeof value === "boolean" ? Number(value) : plain(value));
  function eq(a, b) {
    const [x, y] = [counted(a), counted(b)];
    if (x === y) return true;
    if (Array.isArray(x) && Array.isArray(y)) {
      return x.constructor === y.constructor && x.length === y.length && x.every((value, at) => eq(value, y[at]));
    }
    if (x instanceof Map && y instanceof Map) {
      if (x.tallies && y.tallies) return [...x.keys(), ...y.keys()].every((name) => eq(item(x, name), item(y, name)));
      return x.size === y.size && [...x].every(([name, value]) => contains(y, name) && eq(value, item(y, name)));
    }
    const record = x?.fieldsOf;
    return record !== undefined && record.make === y?.fieldsOf?.make && record.table.every(([name]) => eq(x[name], y[name]));
  }

  /* Below, at or above 0 as a comes before b, equals it, or comes after; NaN where floats have no order. */
  function order(a, b) {
    if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : eq(a, b) ? 0 : NaN;
    const strings = typeof a === "string" && typeof b === "string";
    if (!strings && !(Array.isArray(a) && a.constructor === b?.constructor)) fail("TypeError", "values of two kinds have no order");
    const [x, y] = strings ? [a, b].map((text) => [...text].map((letter) => letter.codePointAt(0))) : [a, b];
    const at = x.findIndex((value, index) => index >= y.length || !eq(value, y[index]));
    if (at < 0) return x.length - y.length;
    return at >= y.length ? 1 : order(x[at], y[at]);
  }

  /* A text that equal values share, of what may be a key. */
  const texts = new WeakMap();
  let classes = 0;
  function key(value) {
    if (value?.__name__) {
      if (!texts.has(value)) texts.set(value, `<${(classes += 1)}>`);
      return texts.get(value);
    }
    if (value === null || typeof value === "string") return JSON.stringify(value);
    if (isNumber(value)) return String(Number(value) + 0);
    if (value instanceof Tuple) return `(${value.map(key)})`;
    if (value instanceof Frozen) return `{${[...value].map(([name, one]) => `${key(name)}:${key(one)}`)}}`;
    if (!value?.fieldsOf) return fail("TypeError", "a list or a mapping is no key");
    if (!texts.has(value)) {
      const { name, table } = value.fieldsOf;
      texts.set(value, `${name}(${table.map(([field]) => key(value[field]))})`);
    }
    return texts.get(value);
  }

  /* The key of a mapping that equals this one (1, 1.0 and true are one key), or undefined. */
  function held(mapping, name) {
    if (mapping.has(name)) return name;
    if (name === null || typeof name === "string") return undefined;
    const text = key(name);
    return [...mapping.keys()].find((one) => key(one) === text);
  }
  const contains = (mapping, name) => held(mapping, name) !== undefined;
  function place(mapping, name, value) {
    const known = held(mapping, name);
    return mapping.set(known === undefined ? name : known, value);
  }
  const mapped = (pairs) => [...pairs].reduce((found, [name, value]) => place(found, name, value), new Map());

  function index(whole, at) {
    if (!isInt(at)) fail("TypeError", "an index is no whole number");
    const place = Number(at) < 0 ? Number(at) + whole.length : Number(at);
    return place >= 0 && place < whole.length ? place : fail("IndexError", `${at} of ${whole.length}`);
  }
  function item(whole, at) {
    if (whole instanceof Map) {
      const known = held(whole, at);
      if (known !== undefined) return whole.get(known);
      return whole.tallies ? 0 : fail("KeyError", String(at));
    }
    if (typeof whole === "string") return item(tuple(whole), at);
    return Array.isArray(whole) ? whole[index(whole, at)] : fail("TypeError", "this has no items");
  }
  /* A stretch of a sequence; an end that is null is the sequence's own. */
  /* Whether each letter of a string is one unit of JavaScript's: then long strings are cut without a copy. */
  const simple = (string) => !/[\ud800-\udfff]/.test(string);
  function slice(whole, first, last) {
    if (typeof whole === "string") return simple(whole) ? whole.slice(first ?? 0, last ?? undefined) : slice(tuple(whole), first, last).join("");
    if (!Array.isArray(whole) || whole instanceof Range || ![first, last].every((end) => end === null || isInt(end))) fail("TypeError", "this has no slices");
    const ends = [first ?? 0, last ?? whole.length].map(Number);
    const parts = Array.from(items(whole)).slice(...ends);
    return isList(whole) ? parts : tuple(parts);
  }
  function set(whole, at, value) {
    if (whole instanceof Map && !(whole instanceof Frozen)) place(whole, at, value);
    else if (isList(whole)) whole[index(whole, at)] = value;
    else fail("TypeError", "this takes no item");
  }
  function has(whole, part) {
    if (whole instanceof Map) return contains(whole, part);
    if (typeof whole === "string") return typeof part === "string" ? whole.includes(part) : fail("TypeError", "a string holds strings");
    for (const one of live(whole)) if (one === part || eq(one, part)) return true;
    return false;
  }

  /* Numbers. A whole number past 2^53 is right to sixteen digits only: sums, products and quotients take it. */
  const number = (value) => (isNumber(value) ? Number(value) : fail("TypeError", "arithmetic with what is no number"));
  function made(value, float) {
    if (float) return Number.isInteger(value) ? new Float(value) : value;
    return Number.isFinite(value) ? value + 0 : fail("OverflowError", "a whole number is too large");
  }
  const exact = (value) =>
    isFloat(value) || Number.isSafeInteger(Number(value)) ? value : fail("OverflowError", "a whole number past 2^53");
  const floats = (...values) => values.some(isFloat);
  const nonzero = (value) => (number(value) === 0 ? fail("ZeroDivisionError", "division by zero") : number(value));

  function repeat(sequence, times) {
    if (!isInt(times)) fail("TypeError", "a sequence is repeated a whole number of times");
    const count = Math.max(0, Number(times));
    if (typeof sequence === "string") return sequence.repeat(count);
    const parts = Array.from({ length: count }, () => [...sequence]).flat(1);
    return sequence instanceof Tuple ? tuple(parts) : parts;
  }
  const isSequence = (value) => typeof value === "string" || isList(value) || value instanceof Tuple;

  function add(a, b) {
    if (a?.__add__) return a.__add__(b);
    if (isSequence(a)) {
      if (typeof a !== typeof b || a.constructor !== b.constructor) fail("TypeError", "a sum of two kinds");
      return typeof a === "string" ? a + b : a.constructor.from([...a, ...b]);
    }
    return made(number(a) + number(b), floats(a, b));
  }
  const sub = (a, b) => made(number(a) - number(b), floats(a, b));
  function mul(a, b) {
    if (isSequence(a)) return repeat(a, b);
    return isSequence(b) ? repeat(b, a) : made(number(a) * number(b), floats(a, b));
  }
  const div = (a, b) => made(number(a) / nonzero(b), true);
  const floordiv = (a, b) =>
    made(globalThis.calculatorMaths.floorDivide(number(exact(a)), nonzero(exact(b))), floats(a, b));
  function mod(a, b) {
    const [under, rest] = [nonzero(exact(b)), number(exact(a)) % number(b)];
    if (rest === 0) return made(under < 0 ? -0 : 0, floats(a, b));
    return made(rest < 0 !== under < 0 ? rest + under : rest, floats(a, b));
  }
  function pow(a, b) {
    const [base, power] = [number(a), number(b)];
    if (base === 0 && power < 0) fail("ZeroDivisionError", "0 to a negative power");
    if (base < 0 && !Number.isInteger(power) && Number.isFinite(power)) fail("TypeError", "a root of a negative number");
    if (Math.abs(base) === 1 && !Number.isFinite(power)) return made(1, true);
    if (base === 1) return made(1, floats(a, b) || power < 0);
    return made(base ** power, floats(a, b) || power < 0);
  }
  const neg = (value) => made(-number(value), isFloat(value));

  return {
    ValueError, Float, Tuple, Range, Frozen, Keywords, fail, isFloat, isInt, isNumber, isList, isGenerator, plain, tuple,
    live, items, unpack, over, truth, eq, order, key, held, contains, place, mapped, item, slice, simple, set, has,
    add, sub, mul, div, floordiv, mod, pow, neg,
    lt: (a, b) => order(a, b) < 0,
    le: (a, b) => order(a, b) <= 0,
    gt: (a, b) => order(a, b) > 0,
    ge: (a, b) => order(a, b) >= 0,
  };
})();
