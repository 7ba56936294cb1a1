/* What the translated modules of course_lib call where JavaScript is not Python: calls with keywords, records,
   methods and builtins. Its values, and what is done with them, are those of calculator-values.js. */
globalThis.calculatorPython = (() => {
  "use strict";
  const values = globalThis.calculatorValues;
  const { ValueError, Float, Tuple, Range, Frozen, Keywords, fail, isFloat, isInt, isNumber, isList, isGenerator } = values;
  const { plain, tuple, live, items, unpack, over, truth, eq, order, key, contains, place, mapped, item } = values;
  const { repr, text, general, grouped } = globalThis.calculatorRepr(values);

  /* A type, told by what it holds, and called where it makes its values. */
  const type = (__name__, holds, call = undefined) => Object.assign(call ?? {}, { __name__, holds });

  const DIGITS = "\\d+(?:_\\d+)*";
  const WHOLE = new RegExp(`^\\s*[+-]?${DIGITS}\\s*$`);
  const DECIMAL = new RegExp(`^\\s*[+-]?(?:${DIGITS}\\.?(?:${DIGITS})?|\\.${DIGITS})(?:[eE][+-]?${DIGITS})?\\s*$`);
  const int = type("int", isInt, (value = 0) => {
    if (typeof value === "string") {
      if (!WHOLE.test(value)) throw new ValueError(`invalid literal for int() with base 10: ${repr(value)}`);
      const found = Number(value.replaceAll("_", ""));
      return Number.isSafeInteger(found) ? found + 0 : fail("OverflowError", "a whole number past 2^53");
    }
    if (!isNumber(value)) fail("TypeError", "int() of what is no number");
    if (Number.isNaN(Number(value))) throw new ValueError("cannot convert float NaN to integer");
    return Number.isFinite(Number(value)) ? Math.trunc(Number(value)) + 0 : fail("OverflowError", "int() of infinity");
  });
  const float = type("float", isFloat, (value = 0) => {
    let found = value;
    if (typeof value === "string") {
      const special = /^\s*([+-]?)(inf(?:inity)?|nan)\s*$/i.exec(value);
      if (special) return special[2].toLowerCase() === "nan" ? NaN : special[1] === "-" ? -Infinity : Infinity;
      if (!DECIMAL.test(value)) throw new ValueError(`could not convert string to float: ${repr(value)}`);
      found = value.replaceAll("_", "");
    } else if (!isNumber(value)) fail("TypeError", "float() of what is no number");
    return Number.isInteger(Number(found)) ? new Float(Number(found)) : Number(found);
  });
  const str = type("str", (value) => typeof value === "string", (value = "") => text(value));
  const bool = type("bool", (value) => typeof value === "boolean", (value = false) => truth(value));
  const list = type("list", isList, (value = []) => items(value));
  const tupleOf = type("tuple", (value) => value instanceof Tuple, (value = []) => tuple(items(value)));
  const Mapping = type("Mapping", (value) => value instanceof Map);

  /* The keywords of a call, taken off its arguments; `allowed` names them and says what one is without. */
  function keywords(given, allowed) {
    const found = given.at(-1) instanceof Keywords ? given.pop() : new Map();
    for (const name of found.keys()) if (!(name in allowed)) fail("TypeError", `no argument is named ${name}`);
    return { ...allowed, ...Object.fromEntries(found) };
  }
  const dict = type("dict", (value) => value instanceof Map && !(value instanceof Frozen), (...given) => {
    const named = given.at(-1) instanceof Keywords ? given.pop() : [];
    const [first = []] = given;
    return mapped([...(first instanceof Map ? first : items(first).map(pair)), ...named]);
  });
  function pair(value, at) {
    const parts = items(value);
    if (parts.length === 2) return parts;
    throw new ValueError(`dictionary update sequence element #${at} has length ${parts.length}; 2 is required`);
  }

  /* How often each value stands in a sequence, or counts that are given; a missing one is 0. */
  class Tally extends Map {
    constructor(given = [], named = new Map()) {
      super();
      this.tallies = true;
      this.plus(given).plus(named);
    }
    plus(given) {
      if (given instanceof Map) for (const [name, value] of given) place(this, name, values.add(item(this, name), value));
      else {
        const first = new Map();
        for (const value of live(given)) {
          if (!first.has(key(value))) first.set(key(value), value);
          place(this, first.get(key(value)), values.add(item(this, first.get(key(value))), 1));
        }
      }
      return this;
    }
    /* Counters add up without what is not above 0. */
    positive() {
      for (const [name, value] of [...this]) if (!values.gt(value, 0)) this.delete(name);
      return this;
    }
  }

  function add(a, b) {
    if (!(a instanceof Tally)) return values.add(a, b);
    return b instanceof Tally ? new Tally(a).plus(b).positive() : fail("TypeError", "a sum of two kinds");
  }
  /* `a += b` and its kin: a list and a mapping change in place, and every name for them sees it. */
  function inplace(operator, a, b) {
    if (operator === "add" && isList(a)) a.push(...items(b));
    else if (operator === "add" && a instanceof Tally && b instanceof Map) a.plus(b).positive();
    else if (operator === "union" && isDict(a)) update(a, b);
    else if (isList(a) || a instanceof Map) fail("TypeError", "a list or a mapping is not changed like this");
    else return operators[operator](a, b);
    return a;
  }
  const isDict = (value) => value instanceof Map && !(value instanceof Frozen) && !(value instanceof Tally);
  function union(a, b) {
    if (isDict(a) && isDict(b)) return mapped([...a, ...b]);
    const kinds = [a, b].flat(Infinity);
    return kinds.every((kind) => kind === null || kind?.holds) ? kinds : fail("TypeError", "| of what is neither a type nor a mapping");
  }
  const operators = { ...values, add, union };

  function update(mapping, ...given) {
    if (mapping instanceof Frozen) fail("TypeError", "this mapping does not change");
    if (mapping instanceof Tally) given.forEach((one) => mapping.plus(one));
    else for (const [name, value] of dict(...given)) place(mapping, name, value);
    return null;
  }

  /* Where a part stands, counted in characters as Python does, from a place on. */
  function find(string, part, from = 0) {
    if (!str.holds(part) || !isInt(from)) fail("TypeError", "find() of what is no string");
    const whole = [...string];
    const start = Number(from) < 0 ? Math.max(0, whole.length + Number(from)) : Number(from);
    if (start > whole.length) return -1;
    const before = whole.slice(0, start).join("").length;
    const at = string.indexOf(part, before);
    return at < 0 ? -1 : [...string.slice(0, at)].length;
  }
  /* What stands between white spaces, or between a separator's places. */
  function split(string, by = null) {
    if (by === null) return string.split(/[\s\x1c-\x1f\x85]+/u).filter((part) => part !== "");
    if (!str.holds(by)) fail("TypeError", "a separator is a string");
    if (by === "") throw new ValueError("empty separator");
    return string.split(by);
  }
  const anyEnd = (string, given, which) => {
    const all = given instanceof Tuple ? given : [given];
    return all.every(str.holds) ? all.some((part) => string[which](part)) : fail("TypeError", "an end is a string");
  };
  const words = (given) => given.every(str.holds) || fail("TypeError", "a string is wanted");
  const STRING = {
    find,
    split,
    startswith: (string, starts) => anyEnd(string, starts, "startsWith"),
    endswith: (string, ends) => anyEnd(string, ends, "endsWith"),
    lower: (string) => string.toLowerCase(),
    upper: (string) => string.toUpperCase(),
    replace: (string, old, by) => words([old, by]) && (old === "" ? [...string].reduce((all, c) => all + c + by, by) : string.replaceAll(old, () => by)),
    removeprefix: (string, start) => words([start]) && (string.startsWith(start) ? string.slice(start.length) : string),
    removesuffix: (string, end) => words([end]) && (end !== "" && string.endsWith(end) ? string.slice(0, -end.length) : string),
    join(string, given) {
      const parts = items(given);
      return parts.every(str.holds) ? parts.join(string) : fail("TypeError", "strings alone are joined");
    },
    rpartition(string, by) {
      if (by === "") throw new ValueError("empty separator");
      const at = string.lastIndexOf(by);
      return tuple(at < 0 ? ["", "", string] : [string.slice(0, at), by, string.slice(at + by.length)]);
    },
  };
  const MAPPING = {
    get: (mapping, name, missing = null) => (contains(mapping, name) ? item(mapping, name) : missing),
    items: (mapping) => [...mapping].map(tuple),
    values: (mapping) => [...mapping.values()],
    update,
  };
  const ARGUMENTS = {
    endswith: [1], find: [1, 2], join: [1], lower: [0], removeprefix: [1], removesuffix: [1], replace: [2], rpartition: [1],
    split: [0, 1], startswith: [1], upper: [0], get: [1, 2], items: [0], values: [0], update: [0, 1, 2],
  };
  function method(self, name, ...given) {
    const table = typeof self === "string" ? STRING : self instanceof Map ? MAPPING : {};
    if (!Object.hasOwn(table, name)) return self?.[name] ? self[name](...given) : fail("AttributeError", name);
    if (!ARGUMENTS[name].includes(given.length)) fail("TypeError", `${name}() takes other arguments`);
    return table[name](self, ...given);
  }

  /* A function with Python's calls: positional, then keywords, then defaults; `gathers` says whether it takes more
     of either. */
  function define(name, positional, named, defaults, gathers, body) {
    const parameters = [...positional, ...named];
    return (...given) => {
      const keywords = new Map(given.at(-1) instanceof Keywords ? given.pop() : []);
      if (given.length > positional.length && !gathers[0]) fail("TypeError", `${name}() takes ${positional.length} arguments`);
      const found = parameters.map((parameter, at) => {
        if (at < given.length && at < positional.length) return given[at];
        const value = keywords.has(parameter) ? keywords.get(parameter) : defaults.get(parameter);
        keywords.delete(parameter);
        return value === undefined ? fail("TypeError", `${name}() needs ${parameter}`) : value;
      });
      if (!gathers[1] && keywords.size) fail("TypeError", `${name}() takes no ${[...keywords.keys()]}`);
      return body(...found, ...(gathers[0] ? [tuple(given.slice(positional.length))] : []), ...(gathers[1] ? [new Map(keywords)] : []));
    };
  }

  /* A class: with a `table` of fields it is a record, `checked` by what it stands on. */
  function makeClass(name, methods, getters, table, checked) {
    const proto = Object.create(null);
    for (const [method, body] of methods) proto[method] = function (...given) { return body(this, ...given); };
    for (const [getter, body] of getters) Object.defineProperty(proto, getter, { get() { return body(this); } });
    const make = (...given) => {
      const self = Object.create(proto);
      if (!table) {
        self.__init__(...given);
        return self;
      }
      const keywords = given.at(-1) instanceof Keywords ? given.pop() : new Map();
      if (given.length > table.length) fail("TypeError", `${name}() takes ${table.length} arguments`);
      table.forEach(([field, , missing], at) => {
        const value = at < given.length ? given[at] : keywords.has(field) ? keywords.get(field) : missing;
        self[field] = value === undefined ? fail("TypeError", `${name}() needs ${field}`) : value;
      });
      const places = table.map(([field]) => field);
      for (const field of keywords.keys()) if (places.indexOf(field) < given.length) fail("TypeError", `${name}() takes no ${field}`);
      if (self.__post_init__) self.__post_init__();
      else if (checked) checked.checked(self);
      return self;
    };
    if (table) Object.defineProperty(proto, "fieldsOf", { value: { name, table, make } });
    return Object.assign(make, {
      proto,
      __name__: name,
      holds: (value) => value?.fieldsOf?.make === make,
      checked: (self) => proto.__post_init__.call(self),
    });
  }

  const isinstance = (value, kinds) => [kinds].flat(Infinity).some((kind) => (kind === null ? value === null : kind.holds(value)));

  const NoneType = type("NoneType", (value) => value === null);
  const KINDS = [NoneType, bool, int, float, str, list, tupleOf];
  function typeOf(value) {
    const plainDict = isDict(value) ? dict : undefined;
    return value?.fieldsOf?.make ?? KINDS.find((kind) => kind.holds(value)) ?? plainDict ?? fail("TypeError", "a type unknown here");
  }

  /* The first of the largest (`sign` 1) or least (-1), of one sequence or of the arguments. */
  function most(sign, given) {
    const { key: by, default: missing } = keywords(given, { key: null, default: undefined });
    const all = given.length === 1 ? items(given[0]) : given;
    const rank = (value) => (by === null ? value : by(value));
    if (all.length) return all.reduce((best, value) => (sign * order(rank(value), rank(best)) > 0 ? value : best));
    if (missing !== undefined) return missing;
    throw new ValueError(`${sign > 0 ? "max" : "min"}() iterable argument is empty`);
  }
  function sorted(...given) {
    const { key: by, reverse } = keywords(given, { key: null, reverse: false });
    const ranked = items(given[0]).map((value) => [by === null ? value : by(value), value]);
    const sign = truth(reverse) ? -1 : 1;
    return ranked.sort(([a], [b]) => sign * order(a, b)).map(([, value]) => value);
  }
  function sum(...given) {
    const { start } = keywords(given, { start: given[1] ?? 0 });
    if (typeof start === "string") fail("TypeError", "strings are joined, not summed");
    return items(given[0]).reduce(add, start);
  }
  function range(...given) {
    if (!given.every(isInt)) fail("TypeError", "a range is of whole numbers");
    const [first, end, step = 1] = (given.length === 1 ? [0, ...given] : given).map(Number);
    if (step === 0) throw new ValueError("range() arg 3 must not be zero");
    return Range.from({ length: Math.max(0, Math.ceil((end - first) / step)) }, (_, at) => first + at * step);
  }
  function* enumerate(sequence, { start }) {
    let at = start;
    for (const value of live(sequence)) yield tuple([at++, value]);
  }
  /* Walk sequences side by side; the shortest ends it, and where `strict` all have to end there. */
  function* zip(sequences, { strict }) {
    const walks = sequences.map((one) => (isGenerator(one) ? one : live(one)[Symbol.iterator]()));
    for (let turn = 0; walks.length; turn += 1) {
      const found = [];
      for (const [at, walk] of walks.entries()) {
        const { done, value } = walk.next();
        if (done && !truth(strict)) return;
        if (done && at > 0) uneven(at, "shorter");
        if (done) {
          walks.slice(1).forEach((other, behind) => other.next().done || uneven(behind + 1, "longer"));
          return;
        }
        found.push(value);
      }
      yield tuple(found);
    }
  }
  function uneven(at, how) {
    const before = at === 1 ? "argument 1" : `arguments 1-${at}`;
    throw new ValueError(`zip() argument ${at + 1} is ${how} than ${before}`);
  }
  function* map(call, sequences) {
    for (const found of zip(sequences, { strict: false })) yield call(...found);
  }
  function* each(sequence, keep, make, shape = 0) {
    for (const value of over(sequence, shape)) if (keep(value)) yield make(value);
  }
  const some = (sequence, wanted) => {
    for (const value of live(sequence)) if (truth(value) === wanted) return true;
    return false;
  };
  function next(...given) {
    if (!isGenerator(given[0])) fail("TypeError", "next() of what is no iterator");
    const { done, value } = given[0].next();
    return !done ? value : given.length > 1 ? given[1] : fail("StopIteration", "");
  }
  function len(whole) {
    if (typeof whole === "string") return values.simple(whole) ? whole.length : [...whole].length;
    return whole instanceof Map ? whole.size : Array.isArray(whole) ? whole.length : fail("TypeError", "this has no length");
  }
  /* To the nearest whole number, and to the even one of two. */
  function round(value) {
    const number = isNumber(value) ? Number(value) : fail("TypeError", "round() of what is no number");
    if (!Number.isFinite(number)) return int(value);
    const below = Math.floor(number);
    const past = number - below;
    const up = past > 0.5 || (past === 0.5 && below % 2 !== 0);
    return below + (up ? 1 : 0) + 0;
  }
  function log(value, base = undefined) {
    if (!isNumber(value) || !(Number(value) > 0)) throw new ValueError("math domain error");
    const found = base === undefined ? Math.log(Number(value)) : plain(values.div(log(value), log(base)));
    return float(found);
  }
  function getattr(self, name, ...missing) {
    if (self !== null && typeof self === "object" && name in self) return self[name];
    return missing.length ? missing[0] : fail("AttributeError", name);
  }

  return {
    ...operators, repr, text, general, grouped, isinstance, each, inplace, method, Mapping, log, union,
    def: define,
    class: makeClass,
    dict: mapped,
    kw: (...pairs) => new Keywords(pairs),
    or: (a, b) => (truth(a) ? a : b()),
    and: (a, b) => (truth(a) ? b() : a),
    list: items,
    Real: type("Real", isNumber),
    Integral: type("Integral", isInt),
    float, int,
    Counter: (given = [], named = undefined) =>
      given instanceof Keywords ? new Tally([], given) : new Tally(given, named),
    FrozenMapping: (given) => new Frozen([...given].sort(([a], [b]) => order(a, b))),
    fields: (self) => tuple(self.fieldsOf.table.map(([name, kind, missing]) => ({ name, type: kind, default: missing }))),
    replace: (self, changes = new Map()) =>
      self.fieldsOf.make(new Keywords([...self.fieldsOf.table.map(([name]) => [name, self[name]]), ...changes])),
    smaller: (a, b) => most(-1, [a, b]),
    is_symbol: () => false,
    builtins: {
      str, bool, list, int, float, dict, tuple: tupleOf, object: () => ({}), isinstance, type: typeOf, round, sorted, sum, range, next, len, getattr,
      is_symbol: () => false,
      math: { isfinite: (value) => (isNumber(value) ? Number.isFinite(Number(value)) : fail("TypeError", "isfinite() of no number")) },
      ValueError: (message) => new ValueError(message),
      enumerate: (...given) => {
        const named = keywords(given, { start: given[1] ?? 0 });
        return enumerate(given[0], named);
      },
      zip: (...given) => {
        const named = keywords(given, { strict: false });
        return zip(given, named);
      },
      map: (call, ...sequences) => map(call, sequences),
      any: (sequence) => some(sequence, true),
      all: (sequence) => !some(sequence, false),
      max: (...given) => most(1, given),
      min: (...given) => most(-1, given),
    },
  };
})();
