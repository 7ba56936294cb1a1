/* The cache as it grows: its bytes, and one block's keys and values as shades, a column a byte of text. */
globalThis.liveCache = (() => {
  "use strict";
  const { make, panel, shades } = globalThis.liveParts;
  const { counted, kib, whole } = globalThis.liveWords;

  class CacheView {
    constructor() {
      this.size = make("p", { class: "live-said" });
      this.work = make("p", { class: "live-note" });
      this.pictures = ["keys", "values"].map((kind) => {
        const canvas = make("canvas", { class: "live-kept", "aria-hidden": "true" });
        const words = make("figcaption", {});
        return { kind, canvas, words, figure: make("figure", { class: "live-figure" }, words, canvas) };
      });
      const note =
        "A column is a byte of the text, a row one of the numbers, head by head: the stronger the shade, the larger. In block 1 equal " +
        "bytes have equal values, as in a run of spaces; their keys differ, for keys are turned by their position.";
      this.element = panel("cache", "Cache", this.size, this.work, ...this.pictures.map(({ figure }) => figure), make("p", { class: "live-note" }, note));
    }

    show(session, block) {
      const { cache, model, window } = session;
      const first = Math.max(0, cache.length - window);
      this.size.textContent = `Keys and values of ${counted(cache.length - first)} of text take ${kib(cache.bytes(window))}; the model's weights take ${kib(model.bytes)}.`;
      this.work.textContent =
        `Last change: ${counted(session.computed)} computed with ${whole(session.work)} multiply-adds, ${session.reused} taken from the cache.` +
        (first ? ` The first ${counted(first)} of the text are outside the window and no longer needed.` : "");
      for (const { kind, canvas, words } of this.pictures) {
        const columns = cache.blocks[block][kind];
        const rows = columns[0].length;
        const reach = Math.max(...columns.map((column) => column.reduce((most, x) => Math.max(most, Math.abs(x)), 0)));
        words.textContent = `Block ${block + 1}, ${kind}: ${rows} numbers a byte, from -${reach.toFixed(1)} to ${reach.toFixed(1)}`;
        shades(canvas, model.spec.limit, rows, (column, row) => {
          if (column >= columns.length) return 0;
          return (0.5 + columns[column][row] / (2 * reach)) * (column < first ? 0.3 : 1);
        });
      }
    }
  }

  return { CacheView };
})();
