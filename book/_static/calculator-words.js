/* Numbers in words and words as numbers. */
globalThis.calculatorWords = (() => {
  "use strict";

  /* Numbers in words, as course_lib.kit.units writes them. */
  const grouped = (value, options) =>
    new Intl.NumberFormat("en-US", { roundingMode: "halfEven", ...options }).format(value);
  const whole = (value) => grouped(value, { maximumFractionDigits: 0 });
  function short(value) {
    if (value >= 100) return whole(value);
    if (value < 1) return grouped(value, { maximumSignificantDigits: 3 });
    return grouped(value, { maximumFractionDigits: value >= 10 ? 1 : 2 });
  }
  function inUnits(value, units, step) {
    let size = 1;
    let at = 0;
    while (at < units.length - 1 && value >= size * step) {
      size *= step;
      at += 1;
    }
    return `${short(value / size)} ${units[at]}`;
  }
  const TEXT = {
    bytes: (value) => inUnits(value, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 1024),
    seconds: (value) =>
      value >= 1 ? `${short(value)} s` : value >= 1e-3 ? `${short(value / 1e-3)} ms` : `${short(value / 1e-6)} µs`,
    count: whole,
    number: short,
    times: (value) => (short(value) === "1" ? "1 copy" : `${short(value)} copies`),
    share: (value) => `${short(100 * value)} %`,
    "per second": (value) => `${short(value)} per second`,
    flops: (value) => inUnits(value, ["FLOPs", "kFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs", "EFLOPs"], 1000),
    weights: (value) => inUnits(value, ["", "k", "M", "B", "T"], 1000).trim(),
    USD: (value) => `${short(value)} USD`,
  };
  const text = (value, unit) => (Number.isFinite(value) ? TEXT[unit](value) : "none");

  /* "32,768", "1.5e3", and for tokens "32K" (1,024 each) and "1M"; NaN for anything else. */
  function parse(typed, input) {
    const found = /^\s*([+-]?(?:\d[\d,_ ]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([KkMm]?)\s*$/.exec(typed);
    if (!found || (found[2] && input.unit !== "tokens")) return NaN;
    const unit = { "": 1, k: 1024, m: 1024 * 1024 }[found[2].toLowerCase()];
    return Number(found[1].replace(/[,_ ]/g, "")) * unit;
  }

  return { whole, short, text, parse };
})();
