/* The weights of the page's model, out of the script that course_lib.course.live_model.emit writes: codes of all
   matrices, then the scale of each row, then the vectors; names and shapes say which is whose. */
globalThis.liveWeights = (() => {
  "use strict";

  /* A float16 as a number: sign, 5 bits of exponent, 10 of fraction. */
  function half(bits) {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  /* Names with shapes, in the order of the file: block by block, then what stands outside. */
  function named({ block, outside }, blocks) {
    const found = [];
    for (let number = 0; number < blocks; number += 1) {
      for (const [name, shape] of Object.entries(block)) found.push([`blocks.${number}.${name}`, shape]);
    }
    return [...found, ...Object.entries(outside)];
  }

  /* Bytes of base64, in a browser that has no function for it. */
  function unpacked(base64) {
    const letters = atob(base64);
    const bytes = new Uint8Array(letters.length);
    for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
    return bytes;
  }

  /* Every weight by its name: a matrix {data, rows, columns} in float32, or a vector. */
  function decode(data) {
    const bytes = Uint8Array.fromBase64?.(data.weights) ?? unpacked(data.weights);
    const [codes, view] = [new Int8Array(bytes.buffer), new DataView(bytes.buffer)];
    const matrices = named(data.matrices, data.spec.blocks);
    const size = matrices.reduce((total, [, [rows, columns]]) => total + rows * columns, 0);
    const weights = {};
    let [code, number] = [0, size];
    const next = () => half(view.getUint16((number += 2) - 2, true));
    for (const [name, [rows, columns]] of matrices) {
      const floats = new Float32Array(rows * columns);
      for (let r = 0, at = 0; r < rows; r += 1) {
        const scale = next();
        for (let c = 0; c < columns; c += 1, at += 1) floats[at] = codes[code + at] * scale;
      }
      code += floats.length;
      weights[name] = { data: floats, rows, columns };
    }
    for (const [name, [length]] of named(data.vectors, data.spec.blocks)) {
      weights[name] = Float64Array.from({ length }, next);
    }
    return { weights, bytes: bytes.length };
  }

  return { decode, half };
})();
