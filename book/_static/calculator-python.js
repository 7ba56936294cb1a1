/* What the translated modules of course_lib call where JavaScript is not Python: truth, equality, calls with
   keywords, records, and the words of an error. Mappings are Maps, sequences are arrays, None is null. */
globalThis.calculatorPython = (() => {
  "use strict";

  class ValueError extends Error {}

  /* A number that was written as a float although it is whole: 1.0 is no count. */
  class Float {
    constructor(value) {
      this.value = value;
    }
    valueOf() {
      return this.value;
    }
  }

  /* Keyword arguments, the last argument of a call. */
  class Keywords extends Map {}

  const type = (holds) => ({ holds });
  const isFloat = (value) => value instanceof Float || (typeof value === "number" && !Number.isInteger(value));
  const isInt = (value) => typeof value === "boolean" || (typeof value === "number" && Number.isInteger(value));
  const int = type(isInt);
  const float = type(isFloat);
  const str = type((value) => typeof value === "string");
  const bool = type((value) => typeof value === "boolean");
  const list = type(Array.isArray);
  const Mapping = type((value) => value instanceof Map);
  const Real = type((value) => isInt(value) || isFloat(value));

  const callable = (kind, call) => Object.assign(call, kind);
  const toInt = callable(int, (value) => Math.trunc(Number(value)));
  const toFloat = callable(float, (value) => (Number.isInteger(Number(value)) ? new Float(Number(value)) : Number(value)));
  const plain = (value) => (value instanceof Float ? value.value : value);
  const items = (value) => (value instanceof Map ? [...value.keys()] : [...value]);

  function* each(sequence, keep, make) {
    for (const value of sequence instanceof Map ? sequence.keys() : sequence) if (keep(value)) yield make(value);
  }

  function truth(value) {
    if (value instanceof Map) return value.size > 0;
    if (typeof value === "string" || Array.isArray(value)) return value.length > 0;
    return Boolean(plain(value));
  }

  function eq(a, b) {
    const [x, y] = [plain(a), plain(b)].map((value) => (typeof value === "boolean" ? Number(value) : value));
    if (x === y) return true;
    if (Array.isArray(x) && Array.isArray(y)) return x.length === y.length && x.every((value, at) => eq(value, y[at]));
    return x?.fieldsOf !== undefined && y?.fieldsOf !== undefined && key(x) === key(y);
  }

  /* A text that equal values share: of records, name and fields. */
  const keys = new WeakMap();
  function key(value) {
    if (value === null || typeof value !== "object") return typeof value === "string" ? JSON.stringify(value) : String(value);
    if (keys.has(value)) return keys.get(value);
    let made = String(plain(value));
    if (Array.isArray(value)) made = `[${value.map(key)}]`;
    else if (value instanceof Map) made = `{${[...value].map(([name, one]) => `${key(name)}:${key(one)}`).sort()}}`;
    else if (value.fieldsOf) made = `${value.fieldsOf.name}(${value.fieldsOf.table.map(([name]) => key(value[name]))})`;
    keys.set(value, made);
    return made;
  }

  /* How often each value stands in a sequence, or counts that are given; a missing one is 0. */
  class Tally extends Map {
    constructor(given = [], named = new Map()) {
      super();
      if (given instanceof Map) this.plus(given);
      else this.count(given);
      this.plus(named);
    }
    count(sequence) {
      const first = new Map();
      for (const value of sequence) {
        const text = key(value);
        if (!first.has(text)) first.set(text, value);
        const one = first.get(text);
        this.set(one, this.get(one) + 1);
      }
    }
    get(name) {
      return super.get(name) ?? 0;
    }
    plus(other) {
      for (const [name, value] of other) this.set(name, this.get(name) + value);
      return this;
    }
  }

  function add(a, b) {
    if (a instanceof Tally) return new Tally(a).plus(b);
    if (Array.isArray(a)) return [...a, ...b];
    return a?.__add__ ? a.__add__(b) : plain(a) + plain(b);
  }
  const repeat = (sequence, times) => Array.from({ length: times }, () => sequence).flat(1);

  const METHODS = {
    endswith: (string, end) => string.endsWith(end),
    join: (string, parts) => items(parts).join(string),
    rpartition(string, by) {
      const at = string.lastIndexOf(by);
      return at < 0 ? ["", "", string] : [string.slice(0, at), by, string.slice(at + by.length)];
    },
    get: (mapping, name, missing = null) => mapping.get(name) ?? missing,
    items: (mapping) => [...mapping],
    values: (mapping) => [...mapping.values()],
    update: (tally, other) => void tally.plus(other),
  };

  /* A function with Python's calls: positional, then keywords, then defaults; `gathers` says whether it takes more
     of either. */
  function define(name, positional, named, defaults, gathers, body) {
    const parameters = [...positional, ...named];
    return (...given) => {
      const keywords = new Map(given.at(-1) instanceof Keywords ? given.pop() : []);
      const values = parameters.map((parameter, at) => {
        if (at < given.length && at < positional.length) return given[at];
        const value = keywords.has(parameter) ? keywords.get(parameter) : defaults.get(parameter);
        keywords.delete(parameter);
        if (value === undefined) throw new TypeError(`${name}() needs ${parameter}`);
        return value;
      });
      if (!gathers[1] && keywords.size) throw new TypeError(`${name}() takes no ${[...keywords.keys()]}`);
      return body(...values, ...(gathers[0] ? [given.slice(positional.length)] : []), ...(gathers[1] ? [keywords] : []));
    };
  }

  /* A class: with a `table` of fields it is a record, `checked` by what it stands on. */
  function makeClass(name, methods, getters, table, checked) {
    const proto = {};
    for (const [method, body] of methods) proto[method] = function (...given) { return body(this, ...given); };
    for (const [getter, body] of getters) Object.defineProperty(proto, getter, { get() { return body(this); } });
    const make = (...given) => {
      const self = Object.create(proto);
      if (!table) {
        self.__init__(...given);
        return self;
      }
      const keywords = given.at(-1) instanceof Keywords ? given.pop() : new Map();
      table.forEach(([field, , missing], at) => {
        const value = at < given.length ? given[at] : keywords.has(field) ? keywords.get(field) : missing;
        if (value === undefined) throw new TypeError(`${name}() needs ${field}`);
        self[field] = value;
      });
      for (const field of keywords.keys()) if (!(field in self)) throw new TypeError(`${name}() takes no ${field}`);
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

  const isinstance = (value, kinds) => [kinds].flat().some((kind) => kind !== null && kind.holds(value));
  const { repr, text, general } = globalThis.calculatorRepr(isFloat);

  return {
    ValueError, Float, each, truth, eq, add, repr, text, general, isinstance, Mapping, Real,
    def: define,
    class: makeClass,
    kw: (...pairs) => new Keywords(pairs),
    or: (a, b) => (truth(a) ? a : b()),
    and: (a, b) => (truth(a) ? b() : a),
    union: (...kinds) => kinds.flat(),
    mul: (a, b) => (Array.isArray(a) ? repeat(a, b) : plain(a) * plain(b)),
    mod: (a, b) => ((a % b) + b) % b,
    list: items,
    has: (whole, part) => (whole instanceof Map ? whole.has(part) : items(whole).some((one) => eq(one, part))),
    item: (whole, at) => (whole instanceof Map ? whole.get(at) : whole.at(Number(at))),
    set: (whole, at, value) => void whole.set(at, value),
    method: (self, name, ...given) =>
      typeof self === "object" && !(self instanceof Map) ? self[name](...given) : METHODS[name](self, ...given),
    float: toFloat,
    int: toInt,
    Integral: int,
    Counter: (given = [], named = undefined) =>
      given instanceof Keywords ? new Tally([], given) : new Tally(given, named),
    FrozenMapping: (given) => new Map([...given].sort(([a], [b]) => (a < b ? -1 : 1))),
    fields: (self) => self.fieldsOf.table.map(([name, kind, missing]) => ({ name, type: kind, default: missing })),
    replace: (self, changes) =>
      self.fieldsOf.make(new Keywords([...self.fieldsOf.table.map(([name]) => [name, self[name]]), ...changes])),
    log: Math.log,
    smaller: Math.min,
    is_symbol: () => false,
    builtins: {
      str, bool: callable(bool, truth), list, object: () => ({}), isinstance,
      int: toInt, float: toFloat, is_symbol: () => false,
      type: (value) => value?.fieldsOf?.make ?? { __name__: value === null ? "NoneType" : typeof value }, math: { isfinite: Number.isFinite },
      tuple: callable(list, items),
      ValueError: (message) => new ValueError(message),
      len: (whole) => whole.size ?? whole.length,
      range: (first, end) => Array.from({ length: Math.max(0, end === undefined ? first : end - first) }, (_, at) => (end === undefined ? at : first + at)),
      enumerate: (sequence) => items(sequence).map((value, at) => [at, value]),
      zip: (a, b) => items(a).map((value, at) => [value, b[at]]),
      map: (call, sequence) => items(sequence).map((value) => call(value)),
      any: (sequence) => items(sequence).some(truth),
      all: (sequence) => items(sequence).every(truth),
      sum: (sequence) => items(sequence).reduce((a, b) => a + b, 0),
      max: (...values) => Math.max(...values),
      min: (...values) => Math.min(...values),
      sorted: (sequence) => items(sequence).sort(),
      next(sequence, missing) {
        const [first = missing] = sequence;
        return first;
      },
      dict: (given) => new Map(given),
      getattr: (self, name, missing) => (name in self ? self[name] : missing),
    },
  };
})();
