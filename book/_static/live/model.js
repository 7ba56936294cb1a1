/* A decoder of Llama's kind, one byte a step, as course_lib.models.lm.CausalLM computes it. A step keeps what the page
   shows: each head's weights and the lengths of the residual stream. */
globalThis.liveModel = (() => {
  "use strict";
  const { times, rmsnorm, angles, rope, attention, swiglu, norm, sum } = globalThis.liveMaths;
  const { decode } = globalThis.liveWeights;

  /* Keys and values of each block, a float32 vector a byte of text. */
  class Cache {
    constructor(blocks) {
      this.blocks = Array.from({ length: blocks }, () => ({ keys: [], values: [] }));
    }

    get length() {
      return this.blocks[0].keys.length;
    }

    add(block, key, value) {
      this.blocks[block].keys.push(Float32Array.from(key));
      this.blocks[block].values.push(Float32Array.from(value));
    }

    /* Forget what was kept for the bytes from `length` on. */
    cut(length) {
      for (const { keys, values } of this.blocks) keys.length = values.length = Math.min(length, keys.length);
    }

    /* Bytes of the keys and values that a query of the next step could still attend to. */
    bytes(window) {
      const kept = ({ keys, values }) => [...keys, ...values].reduce((total, { byteLength }) => total + byteLength, 0);
      const all = this.blocks.reduce((total, block) => total + kept(block), 0);
      return this.length > window ? (all / this.length) * window : all;
    }
  }

  class Model {
    constructor(data) {
      this.spec = data.spec;
      const { weights, bytes } = decode(data);
      this.weights = weights;
      this.bytes = bytes;
      this.multiplications = 0; // multiply-adds since the start, in matrix products and attention
    }

    get parameters() {
      return Object.values(this.weights).reduce((total, weight) => total + (weight.data ?? weight).length, 0);
    }

    cache() {
      return new Cache(this.spec.blocks);
    }

    times(name, x) {
      const matrix = this.weights[name];
      this.multiplications += matrix.data.length;
      return times(matrix, x);
    }

    norm(name, x) {
      return rmsnorm(x, this.weights[name], this.spec.eps);
    }

    /* Attend with one byte, its key and value put into the cache first. `off` tells whether a head is taken out: its
       output is then zero. */
    attention(block, x, cache, turn, { window, off }) {
      const { heads, headWidth } = this.spec;
      const name = `blocks.${block}.mixer`;
      const query = rope(this.times(`${name}.wq`, x), turn);
      cache.add(block, rope(this.times(`${name}.wk`, x), turn), this.times(`${name}.wv`, x));
      const { keys, values } = cache.blocks[block];
      const first = Math.max(0, keys.length - window);
      const { weights, output } = attention(query, keys, values, headWidth, first);
      this.multiplications += 2 * query.length * (keys.length - first);
      for (let head = 0; head < heads; head += 1) {
        if (off(block, head)) output.fill(0, head * headWidth, (head + 1) * headWidth);
      }
      return { weights, first, added: this.times(`${name}.wo`, output) };
    }

    feedForward(block, x) {
      const name = `blocks.${block}.ffn`;
      return this.times(`${name}.down`, swiglu(this.times(`${name}.gate`, x), this.times(`${name}.up`, x)));
    }

    /* One byte through every block: x = x + attention(norm(x)), x = x + ffn(norm(x)). Returns the scores of the next
       byte, and of each block its heads' weights with the first position attended to, and the lengths of what was
       added and of the stream. */
    step(byte, cache, { window = Infinity, off = () => false } = {}) {
      const { width, blocks, headWidth, theta } = this.spec;
      const turn = angles(headWidth, cache.length, theta);
      const table = this.weights["embed.tokens"];
      let x = Float64Array.from(table.data.subarray(byte * width, (byte + 1) * width));
      const seen = { start: norm(x), blocks: [] };
      for (let block = 0; block < blocks; block += 1) {
        const mixed = this.attention(block, this.norm(`blocks.${block}.mixer_norm`, x), cache, turn, { window, off });
        x = sum(x, mixed.added);
        const added = this.feedForward(block, this.norm(`blocks.${block}.ffn_norm`, x));
        const silent = off(block, "ffn");
        if (!silent) x = sum(x, added);
        const { weights, first } = mixed;
        seen.blocks.push({ weights, first, attention: norm(mixed.added), ffn: silent ? 0 : norm(added), stream: norm(x) });
      }
      return { ...seen, scores: this.times("embed.tokens", this.norm("final_norm", x)) };
    }
  }

  return { Model, Cache };
})();
