/* A text under the model: what was computed stays, so that a byte more costs one step. No page is needed for it. */
globalThis.liveSession = (() => {
  "use strict";
  const { softmax } = globalThis.liveMaths;

  class Session {
    /* `off`: the parts taken out, as "block.head" or "block.ffn", counted from 0. `window`: whether the model attends
       to the window that it was trained on, or to all that came before. */
    constructor(model, { window = true, off = [] } = {}) {
      this.model = model;
      this.bytes = [];
      this.set({ window, off });
    }

    /* Change the model; everything is then computed anew. */
    set({ window = this.windowed, off = [...this.off] }) {
      this.windowed = window;
      this.off = new Set(off);
      this.cache = this.model.cache();
      this.steps = [];
      this.read(this.bytes);
    }

    get window() {
      return this.windowed ? this.model.spec.window : Infinity;
    }

    /* Take a text, at most `limit` bytes of it. What it begins with stays as it was computed. */
    read(bytes) {
      const text = bytes.slice(0, this.model.spec.limit);
      let same = 0;
      while (same < this.steps.length && same < text.length && this.bytes[same] === text[same]) same += 1;
      this.cache.cut(same);
      this.steps.length = same;
      this.bytes = [...text];
      const settings = { window: this.window, off: (block, part) => this.off.has(`${block}.${part}`) };
      const before = this.model.multiplications;
      for (const byte of text.slice(same)) this.steps.push(this.model.step(byte, this.cache, settings));
      this.reused = same;
      this.computed = text.length - same;
      this.work = this.model.multiplications - before;
    }

    /* Probabilities of the byte after position `at`; the last one when left out. Temperature 0 takes the largest. */
    next(at = this.steps.length - 1, temperature = 1) {
      const { scores } = this.steps[at];
      if (temperature > 0) return softmax(scores.map((score) => score / temperature));
      const best = scores.indexOf(Math.max(...scores));
      return scores.map((_, byte) => Number(byte === best));
    }

    /* Of each byte but the first, -ln of the probability that it had: nats. */
    losses() {
      return this.bytes.slice(1).map((byte, at) => -Math.log(this.next(at)[byte]));
    }

    /* Their mean, in nats per byte; null for a text of one byte or none. */
    loss() {
      const losses = this.losses();
      return losses.length ? losses.reduce((total, loss) => total + loss, 0) / losses.length : null;
    }

    /* Draw a byte and append it; false when there is no room left, or nothing to go on from. */
    draw(temperature, random = Math.random) {
      if (!this.steps.length || this.bytes.length >= this.model.spec.limit) return false;
      const shares = this.next(undefined, temperature);
      let left = random();
      let byte = shares.findIndex((share) => (left -= share) < 0);
      if (byte < 0) byte = shares.lastIndexOf(Math.max(...shares));
      this.read([...this.bytes, byte]);
      return true;
    }
  }

  return { Session };
})();
