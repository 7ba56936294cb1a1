/* The formulas of a block, one function a mechanism, as in course_lib.layers. A vector is a Float64Array, a matrix
   {data, rows, columns} with its rows one behind the other. */
globalThis.liveMaths = (() => {
  "use strict";

  /* y = W x: y_r = sum over c of W_rc x_c. Four sums run side by side, for a processor adds faster so. */
  function times({ data, rows, columns }, x) {
    const y = new Float64Array(rows);
    for (let r = 0, at = 0; r < rows; r += 1) {
      let a = 0, b = 0, c = 0, d = 0, column = 0;
      for (; column + 3 < columns; column += 4, at += 4) {
        a += data[at] * x[column];
        b += data[at + 1] * x[column + 1];
        c += data[at + 2] * x[column + 2];
        d += data[at + 3] * x[column + 3];
      }
      for (; column < columns; column += 1, at += 1) a += data[at] * x[column];
      y[r] = a + b + c + d;
    }
    return y;
  }

  /* RMSNorm: y = x / sqrt(mean(x^2) + eps), times a gain for each coordinate. */
  function rmsnorm(x, gain, eps) {
    let squares = 0;
    for (let i = 0; i < x.length; i += 1) squares += x[i] * x[i];
    const size = Math.sqrt(squares / x.length + eps);
    const y = new Float64Array(x.length);
    for (let i = 0; i < x.length; i += 1) y[i] = (x[i] / size) * gain[i];
    return y;
  }

  /* RoPE: pair i of a head's coordinates turns by the angle position * theta^(-2i/k). Its cosine and sine. */
  function angles(width, position, theta) {
    const [cos, sin] = [new Float64Array(width / 2), new Float64Array(width / 2)];
    for (let i = 0; i < width / 2; i += 1) {
      const angle = position * theta ** ((-2 * i) / width);
      cos[i] = Math.cos(angle);
      sin[i] = Math.sin(angle);
    }
    return { cos, sin };
  }

  /* Turn every head by these angles. Rotate-half: coordinate i is paired with i + k/2. */
  function rope(heads, { cos, sin }) {
    const [turned, half] = [new Float64Array(heads.length), cos.length];
    for (let head = 0; head < heads.length; head += 2 * half) {
      for (let i = 0; i < half; i += 1) {
        const [a, b] = [heads[head + i], heads[head + i + half]];
        turned[head + i] = a * cos[i] - b * sin[i];
        turned[head + i + half] = b * cos[i] + a * sin[i];
      }
    }
    return turned;
  }

  /* softmax: e^z / sum of e^z, the largest score subtracted first. */
  function softmax(scores) {
    const weights = new Float64Array(scores.length);
    let [highest, total] = [-Infinity, 0];
    for (let i = 0; i < scores.length; i += 1) highest = Math.max(highest, scores[i]);
    for (let i = 0; i < scores.length; i += 1) total += weights[i] = Math.exp(scores[i] - highest);
    for (let i = 0; i < scores.length; i += 1) weights[i] /= total;
    return weights;
  }

  /* Attention of one query to the keys from `first` on, head by head: softmax(q k / sqrt(k)), then the sum of the
     values by these weights. Returns each head's weights and the heads' outputs side by side. */
  function attention(query, keys, values, width, first = 0) {
    const [weights, output] = [[], new Float64Array(query.length)];
    const scores = new Float64Array(keys.length - first);
    for (let head = 0; head < query.length; head += width) {
      for (let s = 0; s < scores.length; s += 1) {
        const key = keys[first + s];
        let sum = 0;
        for (let i = head; i < head + width; i += 1) sum += query[i] * key[i];
        scores[s] = sum / Math.sqrt(width);
      }
      const shares = softmax(scores);
      for (let s = 0; s < shares.length; s += 1) {
        const value = values[first + s];
        for (let i = head; i < head + width; i += 1) output[i] += shares[s] * value[i];
      }
      weights.push(shares);
    }
    return { weights, output };
  }

  /* silu(z) = z / (1 + e^-z). */
  const silu = (z) => z / (1 + Math.exp(-z));

  /* SwiGLU's inner vector: silu(gate) times up, coordinate by coordinate. */
  function swiglu(gate, up) {
    const inner = new Float64Array(gate.length);
    for (let i = 0; i < gate.length; i += 1) inner[i] = silu(gate[i]) * up[i];
    return inner;
  }

  /* The length of a vector. */
  function norm(x) {
    let squares = 0;
    for (let i = 0; i < x.length; i += 1) squares += x[i] * x[i];
    return Math.sqrt(squares);
  }

  function sum(x, y) {
    const z = new Float64Array(x.length);
    for (let i = 0; i < x.length; i += 1) z[i] = x[i] + y[i];
    return z;
  }

  return { times, rmsnorm, angles, rope, softmax, attention, silu, swiglu, norm, sum };
})();
