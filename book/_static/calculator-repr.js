/* Values as Python writes them in an error: repr, str and the format g. */
globalThis.calculatorRepr = (isFloat) => {
  "use strict";
  const ESCAPES = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

  function escaped(letter, quote) {
    if (letter === quote) return `\\${letter}`;
    if (Object.hasOwn(ESCAPES, letter)) return ESCAPES[letter];
    if (letter === " " || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(letter)) return letter;
    const code = letter.codePointAt(0).toString(16);
    if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
    return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  }

  function quoted(value) {
    const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
    return quote + [...value].map((letter) => escaped(letter, quote)).join("") + quote;
  }

  /* Digits of a float: with an exponent from 1e16 on and below 1e-4. */
  function number(value) {
    const size = Math.abs(value);
    if (size !== 0 && (size >= 1e16 || size < 1e-4)) {
      const [digits, power] = value.toExponential().split("e");
      return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
    }
    if (Object.is(value, -0)) return "-0.0";
    return Number.isInteger(value) ? `${value}.0` : String(value);
  }

  function repr(value) {
    if (value === null) return "None";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "string") return quoted(value);
    if (isFloat(value)) return number(Number(value));
    if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
    if (value instanceof Map) return `{${[...value].map(([name, one]) => `${repr(name)}: ${repr(one)}`).join(", ")}}`;
    return String(value);
  }

  return {
    repr,
    text: (value) => (typeof value === "string" ? value : repr(value)),
    general: (value) => String(Number(Number(value).toPrecision(6))),
  };
};
