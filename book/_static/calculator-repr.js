/* Values as Python writes them: repr, str, and the formats g and `,`. */
globalThis.calculatorRepr = (values) => {
  "use strict";
  const { isFloat, isInt, Tuple, Range, Frozen, fail } = values;
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
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
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
    if (isInt(value)) return Number.isSafeInteger(value) ? String(value) : fail("OverflowError", "a whole number past 2^53");
    if (value instanceof Tuple) return `(${value.map(repr).join(", ")}${value.length === 1 ? "," : ""})`;
    if (Array.isArray(value) && !(value instanceof Range)) return `[${value.map(repr).join(", ")}]`;
    if (value instanceof Map && !value.tallies) {
      const inside = `{${[...value].map(([name, one]) => `${repr(name)}: ${repr(one)}`).join(", ")}}`;
      return value instanceof Frozen ? `FrozenMapping(${inside})` : inside;
    }
    if (!value?.fieldsOf) return fail("TypeError", "this is not written out on the page");
    const { name, table } = value.fieldsOf;
    return `${name}(${table.map(([field]) => `${field}=${repr(value[field])}`).join(", ")})`;
  }

  /* The format g: six digits, half to even, with an exponent from 1e6 on and below 1e-4. */
  function general(value, digits = 6) {
    if (!isFloat(value) && !isInt(value)) fail("TypeError", "the format g of what is no number");
    const size = Math.abs(Number(value));
    const sign = Number(value) < 0 || (isFloat(value) && Object.is(Number(value), -0)) ? "-" : "";
    if (!Number.isFinite(size)) return number(Number(value));
    const [shown, power] = rounded(size, digits - 1).split("e");
    const trimmed = (all) => (all.includes(".") ? all.replace(/\.?0+$/, "") : all);
    if (power < -4 || power >= digits) return `${sign}${trimmed(shown)}e${power[0]}${power.slice(1).padStart(2, "0")}`;
    return sign + trimmed(Number(`${shown}e${power}`).toFixed(digits - 1 - power));
  }

  /* Six digits or as many as asked for, with their power. JavaScript rounds a tie up; Python rounds it to the even digit. */
  function rounded(size, decimals) {
    const all = size.toExponential(60);
    const tie = new RegExp(`^(\\d\\.\\d{${decimals - 1}}[02468])50*e`).exec(all);
    return tie ? `${tie[1]}e${all.split("e")[1]}` : size.toExponential(decimals);
  }

  /* A whole number with its thousands separated. */
  function grouped(value) {
    if (!isInt(value)) fail("TypeError", "thousands of what is no whole number");
    return String(Number(value)).replace(/\B(?=(\d{3})+$)/g, ",");
  }

  return {
    repr,
    text: (value) => (typeof value === "string" ? value : repr(value)),
    general,
    grouped,
  };
};
