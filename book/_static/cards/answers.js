/* What a reader typed, as a number, and whether it is right. course_lib/course/cards/units.py reads the same. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const NUMBER = /^([-+]?)((?:\d[\d,_ ]*)?(?:\.\d+)?)((?:[eE][-+]?\d+)?)\s*(.*)$/s;
  const FORM = "Write digits, such as 12, 1,024, 0.5 or 1.5e9";

  /* "1,024" has groups of three: 1024. "0,5" and "12,25" have none: a decimal comma. "1,0,2" is neither: null. */
  function plain(digits) {
    const bare = digits.trim().replace(/[_ ]/g, "");
    if (!bare.includes(",")) return bare;
    if (/^[1-9]\d{0,2}(,\d{3})+(\.\d+)?$/.test(bare)) return bare.replaceAll(",", "");
    return /^\d+,\d+$/.test(bare) ? bare.replace(",", ".") : null;
  }

  /* The number a text names, in `unit`. Throws an Error that says what is allowed. */
  function read(text, unit, { units, spellings }) {
    const tidy = text.trim().replace(/[\u00a0\u2009\u202f]/g, " ").replace(/^\u2212/, "-");
    const [, sign, digits, exponent, rest] = NUMBER.exec(tidy);
    const bare = plain(digits);
    if (!bare) throw new Error(`“${text}” is not a number. ${FORM}${unit ? `; the unit is ${unit}` : ""}.`);
    const number = Number(sign + bare + exponent);
    if (!Number.isFinite(number)) throw new Error(`“${text}” is too large. ${FORM}.`);
    if (!rest || rest === unit) return number;
    const name = Object.hasOwn(spellings, rest.toLowerCase()) ? spellings[rest.toLowerCase()] : rest;
    const measures = (one) => (Object.hasOwn(units, one) ? units[one][0] : null);
    if (measures(name) === null || measures(name) !== measures(unit)) {
      const like = Object.keys(units).filter((one) => one && measures(one) === measures(unit));
      const allowed = like.join(", ") || unit;
      throw new Error(`“${rest}” is not a unit of this answer. ${FORM}, alone or with ${allowed}.`);
    }
    return name === unit ? number : (number * units[name][1]) / units[unit][1];
  }

  /* Within the tolerance, a share of the answer; a billionth is left for floating point. */
  const isRight = (number, answer, tolerance) =>
    Math.abs(number - answer) <= (tolerance + 1e-9) * Math.abs(answer);

  course.answers = { read, isRight };
})();
