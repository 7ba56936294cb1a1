/* The views of one byte: what comes next, and how the residual stream grew. */
globalThis.liveNext = (() => {
  "use strict";
  const { make, bar, panel } = globalThis.liveParts;
  const { byteName, quoted, percent, largest } = globalThis.liveWords;
  const SHOWN = 8;

  function row(name, share, note, kind) {
    const mark = make("th", { scope: "row" }, make("code", {}, name));
    return make("tr", {}, mark, make("td", { class: "live-number" }, percent(share)), make("td", {}, bar(share, kind), note));
  }

  /* The likeliest bytes after the chosen one; where the text goes on, the byte that came is marked. */
  class Next {
    constructor() {
      this.title = make("p", { class: "live-note" });
      this.rows = make("tbody");
      const head = ["Byte", "Probability", ""].map((word, i) => make("th", { scope: "col", class: i === 1 && "live-number" }, word));
      head[2].append(make("span", { class: "live-hidden" }, "As a bar"));
      const table = make("table", { class: "live-table" }, make("thead", {}, make("tr", {}, ...head)), this.rows);
      this.element = panel("next", "Next byte", this.title, table);
    }

    show(session, at) {
      const shares = session.next(at);
      const came = session.bytes[at + 1];
      const top = largest(shares, SHOWN);
      if (came !== undefined && !top.some(({ place }) => place === came)) top.push({ place: came, share: shares[came] });
      this.title.textContent = `After byte ${at + 1}, ${quoted(session.bytes[at])}:`;
      const rows = top.map(({ place, share }) =>
        row(byteName(place), share, place === came ? " came" : "", place === came ? "live-came" : ""),
      );
      this.rows.replaceChildren(...rows);
    }
  }

  /* The lengths of the stream after each block, and of what its two halves added. */
  class Stream {
    constructor() {
      this.rows = make("tbody");
      const head = ["After", "Attention added", "FFN added", "Stream", "As a bar"].map((word, i) =>
        make("th", { scope: "col", class: i > 0 && "live-number" }, i === 4 ? make("span", { class: "live-hidden" }, word) : word),
      );
      const table = make("table", { class: "live-table" }, make("thead", {}, make("tr", {}, ...head)), this.rows);
      const note = "Length of this byte's vector after each block, and of what the block's two halves added to it.";
      this.element = panel("stream", "Residual stream", make("p", { class: "live-note" }, note), table);
    }

    show(session, at) {
      const { start, blocks } = session.steps[at];
      const longest = Math.max(start, ...blocks.map(({ stream }) => stream));
      const line = (name, attention, ffn, stream) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, name),
          ...[attention, ffn, stream].map((length) =>
            make("td", { class: "live-number" }, length === null ? "" : length.toFixed(2)),
          ),
          make("td", { class: "live-wide" }, bar(stream / longest)),
        );
      this.rows.replaceChildren(
        line("Embedding", null, null, start),
        ...blocks.map(({ attention, ffn, stream }, i) => line(`Block ${i + 1}`, attention, ffn, stream)),
      );
    }
  }

  /* The chosen byte and its likeliest followers, as a sentence. */
  function summary(session, at) {
    const top = largest(session.next(at), 3).map(({ place, share }) => `${quoted(place)} ${percent(share)}`);
    return `Likeliest after byte ${at + 1}: ${top.join(", ")}.`;
  }

  return { Next, Stream, summary };
})();
