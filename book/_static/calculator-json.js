/* JSON as Python reads it: objects as Maps, 1.0 told from 1; and where a text is not JSON, by line and column. */
globalThis.calculatorJson = (() => {
  "use strict";
  const { Float } = globalThis.calculatorPython;
  const LONGEST = 4_000_000;
  const DEEPEST = 100;
  /* What Python's json reads beside JSON's own words: published files have an Infinity. */
  const LITERALS = { t: ["true", true], f: ["false", false], n: ["null", null], N: ["NaN", NaN], I: ["Infinity", Infinity] };

  class NotJson extends Error {}
  class TooLong extends Error {}

  class Reader {
    constructor(text) {
      this.text = text;
      this.at = 0;
      this.depth = 0;
    }

    fail(wanted, at = this.at) {
      const lines = this.text.slice(0, at).split("\n");
      const found = at < this.text.length ? `found ${JSON.stringify([...this.text.slice(at, at + 2)][0])}` : "the text ends";
      throw new NotJson(`Not JSON at line ${lines.length}, column ${lines.at(-1).length + 1}: ${wanted} is wanted, ${found}.`);
    }

    space() {
      while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at += 1;
    }

    take(mark, wanted = `'${mark}'`) {
      this.space();
      if (this.text[this.at] !== mark) this.fail(wanted);
      this.at += 1;
    }

    next() {
      this.space();
      return this.text[this.at];
    }

    value() {
      const first = this.next();
      if (first === "{") return this.deeper(() => this.object());
      if (first === "[") return this.deeper(() => this.array());
      if (first === '"') return this.string();
      const [word, value] = LITERALS[first] ?? ["-Infinity", -Infinity];
      if (!this.text.startsWith(word, this.at)) return this.number();
      this.at += word.length;
      return value;
    }

    deeper(read) {
      this.depth += 1;
      if (this.depth > DEEPEST) this.fail(`at most ${DEEPEST} levels of brackets`);
      const value = read();
      this.depth -= 1;
      return value;
    }

    number() {
      const pattern = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
      pattern.lastIndex = this.at;
      const found = pattern.exec(this.text);
      if (!found) this.fail("a value");
      const value = Number(found[0]);
      this.at = pattern.lastIndex;
      const written = found[1] !== undefined || found[2] !== undefined || !Number.isSafeInteger(value);
      return written && Number.isInteger(value) ? new Float(value) : value;
    }

    string() {
      const start = this.at;
      const pattern = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
      pattern.lastIndex = start;
      const found = pattern.exec(this.text);
      if (!found) this.fail("a string that ends on its line, in double quotes,", start);
      this.at = pattern.lastIndex;
      return JSON.parse(found[0]);
    }

    object() {
      const found = new Map();
      this.take("{");
      if (this.next() === "}") {
        this.at += 1;
        return found;
      }
      for (;;) {
        if (this.next() !== '"') this.fail("a field's name in double quotes");
        const name = this.string();
        this.take(":");
        found.set(name, this.value());
        if (this.next() !== ",") break;
        this.at += 1;
      }
      this.take("}", "',' or '}'");
      return found;
    }

    array() {
      const found = [];
      this.take("[");
      if (this.next() === "]") {
        this.at += 1;
        return found;
      }
      for (;;) {
        found.push(this.value());
        if (this.next() !== ",") break;
        this.at += 1;
      }
      this.take("]", "',' or ']'");
      return found;
    }
  }

  function parse(text) {
    if (text.length > LONGEST) throw new TooLong();
    const reader = new Reader(text.startsWith("\ufeff") ? text.slice(1) : text);
    const value = reader.value();
    if (reader.next() !== undefined) reader.fail("the end");
    return value;
  }

  return { parse, NotJson, TooLong };
})();
