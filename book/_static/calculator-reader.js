/* What a pasted config.json says, without a page: its summary and the fields that it was read from, or why not. */
globalThis.calculatorReader = (() => {
  "use strict";
  const { ValueError, Float, text } = globalThis.calculatorPython;
  const { parse, NotJson, TooLong } = globalThis.calculatorJson;
  const { Config, spec, summary, tooLong } = globalThis.calculatorConfig;
  const LONGEST = 60;

  /* Do some work, and note each field of the config that it asks for, with what it is given. */
  function followed(fields, work) {
    const asked = new Map();
    const get = Config.proto.get;
    Config.proto.get = function (name, ...missing) {
      const value = get.call(this, name, ...missing);
      if (this._mapping === fields) asked.set(name, value);
      return value;
    };
    try {
      return [work(), asked];
    } finally {
      Config.proto.get = get;
    }
  }

  function shown(value) {
    const written = [...text(value)];
    return written.length > LONGEST ? `${written.slice(0, LONGEST).join("")}…` : written.join("");
  }

  const plain = (value) => (value instanceof Float ? value.value : value);
  const numbers = (record) =>
    Object.fromEntries(record.fieldsOf.table.map(([name]) => [name, plain(record[name])]));

  /* {summary, family, read: [[field, value, given]], unread} or {error}; `broken` where the reader itself fails. */
  function read(pasted, tokens, bytesPerElement) {
    try {
      const fields = parse(pasted);
      const [model, asked] = followed(fields, () => spec(fields));
      const found = summary(model, tokens, bytesPerElement);
      if (!Number.isSafeInteger(found.total)) {
        return { error: "These sizes make more parameters than can be counted exactly, 9.0e15." };
      }
      const given = (name) => (fields.get(name) ?? null) !== null;
      return {
        summary: numbers(found),
        family: model.family,
        read: [...asked].map(([name, value]) => [name, shown(value), given(name)]),
        unread: [...fields.keys()].filter((name) => !asked.has(name)).map(shown),
      };
    } catch (error) {
      if (error instanceof TooLong) return { error: tooLong(pasted).message };
      if (error instanceof ValueError || error instanceof NotJson) return { error: error.message };
      return { error: "This config cannot be read.", broken: String(error.stack) };
    }
  }

  return { read };
})();
