/* Bytes, shares and losses in words. */
globalThis.liveWords = (() => {
  "use strict";
  const ESCAPES = { 9: "\\t", 10: "\\n", 13: "\\r", 32: "space" };

  /* A byte as a reader can tell it from others: "a", "space", "\n", "\xe2". */
  function byteName(byte) {
    if (ESCAPES[byte]) return ESCAPES[byte];
    if (byte > 32 && byte < 127) return String.fromCharCode(byte);
    return `\\x${byte.toString(16).padStart(2, "0")}`;
  }

  /* The same inside a sentence. */
  const quoted = (byte) => (byteName(byte).length === 1 ? `“${byteName(byte)}”` : byteName(byte));

  /* The same in one letter, for a row of bytes. */
  function byteMark(byte) {
    if (byte === 32) return "·";
    if (byte === 10) return "↵";
    return byte > 32 && byte < 127 ? byteName(byte) : "?";
  }

  const bytesOf = (text) => [...new TextEncoder().encode(text)];
  const textOf = (bytes) => new TextDecoder().decode(Uint8Array.from(bytes));

  const percent = (share) => `${(100 * share).toFixed(share < 0.095 ? 1 : 0)} %`;
  const nats = (loss) => loss.toFixed(2);
  const whole = (number) => Math.round(number).toLocaleString("en-US");
  const counted = (number) => `${whole(number)} ${number === 1 ? "byte" : "bytes"}`;
  const kib = (bytes) => `${Number((bytes / 1024).toPrecision(3))} KiB`;

  /* A difference with its sign; what rounds to nothing has none. */
  function change(before, after) {
    const difference = (after - before).toFixed(2);
    if (Number(difference) === 0) return "no change";
    return difference > 0 ? `${difference} more` : `${difference.slice(1)} less`;
  }

  /* The largest of some shares, with their places, the largest first. */
  function largest(shares, count) {
    const places = Array.from(shares, (share, place) => ({ place, share }));
    return places.sort((a, b) => b.share - a.share).slice(0, count);
  }

  /* A part's name from its key, "0.2" or "0.ffn". */
  function partName(key) {
    const [block, part] = key.split(".");
    return part === "ffn" ? `the FFN of block ${Number(block) + 1}` : `head ${Number(part) + 1} of block ${Number(block) + 1}`;
  }

  const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

  return { byteName, quoted, byteMark, bytesOf, textOf, percent, nats, whole, counted, kib, change, largest, partName, listed };
})();
