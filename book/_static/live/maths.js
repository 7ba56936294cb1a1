/* The formulas of a block, one function a mechanism, as in course_lib.layers. A vector is a Float64Array, a matrix
   {data, rows, columns} with its rows one behind the other. */
globalThis.liveMaths = (() => {
  "use strict";

  /* y = W x: y_r = sum over c of W_rc x_c. */
  function times(matrix, x) {
    const { data, rows, columns } = matrix;
    const y = new Float64Array(rows);
    for (let r = 0, at = 0; r < rows; r += 1) {
      let sum = 0;
      for (let c = 0; c < columns; c += 1, at += 1) sum += data[at] * x[c];
      y[r] = sum;
    }
    return y;
  }

  /* RMSNorm: y = x / sqrt(mean(x^2) + eps), times a gain for each coordinate. */
  function rmsnorm(x, gain, eps) {
    let squares = 0;
    for (const value of x) squares += value * value;
    const size = Math.sqrt(squares / x.length + eps);
    return x.map((value, i) => (value / size) * gain[i]);
  }

  /* RoPE, rotate-half: coordinates i and i + k/2 of each head turn by the angle position * theta^(-2i/k). */
  function rope(heads, width, position, theta) {
    const [turned, half] = [new Float64Array(heads.length), width / 2];
    for (let head = 0; head < heads.length; head += width) {
      for (let i = 0; i < half; i += 1) {
        const angle = position * theta ** ((-2 * i) / width);
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        const [a, b] = [heads[head + i], heads[head + i + half]];
        turned[head + i] = a * cos - b * sin;
        turned[head + i + half] = b * cos + a * sin;
      }
    }
    return turned;
  }

  /* softmax: e^z / sum of e^z, the largest score subtracted first. */
  function softmax(scores) {
    let highest = -Infinity;
    for (const score of scores) highest = Math.max(highest, score);
    const weights = Float64Array.from(scores, (score) => Math.exp(score - highest));
    let total = 0;
    for (const weight of weights) total += weight;
    return weights.map((weight) => weight / total);
  }

  function dot(a, b, from, width) {
    let sum = 0;
    for (let i = from; i < from + width; i += 1) sum += a[i] * b[i];
    return sum;
  }

  /* Attention of one query to the keys from `first` on, head by head: softmax(q k / sqrt(k)), then the sum of the
     values by these weights. Returns each head's weights and the heads' outputs side by side. */
  function attention(query, keys, values, width, first = 0) {
    const [weights, output] = [[], new Float64Array(query.length)];
    for (let head = 0; head < query.length; head += width) {
      const scores = [];
      for (let s = first; s < keys.length; s += 1) scores.push(dot(query, keys[s], head, width) / Math.sqrt(width));
      const shares = softmax(scores);
      shares.forEach((share, s) => {
        for (let i = head; i < head + width; i += 1) output[i] += share * values[first + s][i];
      });
      weights.push(shares);
    }
    return { weights, output };
  }

  /* silu(z) = z / (1 + e^-z). */
  const silu = (z) => z / (1 + Math.exp(-z));

  /* SwiGLU's inner vector: silu(gate) times up, coordinate by coordinate. */
  const swiglu = (gate, up) => gate.map((value, i) => silu(value) * up[i]);

  /* The length of a vector. */
  const norm = (x) => Math.sqrt(dot(x, x, 0, x.length));

  const sum = (x, y) => x.map((value, i) => value + y[i]);

  return { times, rmsnorm, rope, softmax, attention, silu, swiglu, norm, sum };
})();
