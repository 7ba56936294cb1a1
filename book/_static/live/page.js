/* <course-live-model>: the model and its views, built when the reader comes near it. Without this script the page has a
   description, worked values and the training curve. */
(() => {
  "use strict";
  const here = document.currentScript.src;
  const { make } = globalThis.liveParts;
  const PACE_MS = 60;
  const NEAR = "600px";

  class CourseLiveModel extends HTMLElement {
    connectedCallback() {
      if (this.near) return;
      this.near = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.load(), { rootMargin: NEAR });
      this.near.observe(this);
    }

    /* The weights come with a script of their own: a page opened from a folder can fetch nothing. */
    load() {
      this.near.disconnect();
      if (globalThis.liveModelData) return this.start();
      const script = make("script", { src: new URL(`data.js?v=${this.dataset.version}`, here) });
      script.addEventListener("load", () => this.start());
      document.head.append(script);
    }

    start() {
      const began = performance.now();
      const model = new globalThis.liveModel.Model(globalThis.liveModelData);
      this.session = new globalThis.liveSession.Session(model);
      this.whole = new globalThis.liveSession.Session(model);
      this.build(model.spec);
      this.typed();
      this.dataset.firstAnswerMs = (performance.now() - began).toFixed(1);
      const repaint = () => this.show();
      new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
      matchMedia("(forced-colors: active)").addEventListener("change", repaint);
    }

    build(spec) {
      const { Text, Heads, Next, Stream, CacheView } = { ...globalThis.liveText, ...globalThis.liveHeads, ...globalThis.liveNext, ...globalThis.liveCache };
      this.text = new Text(JSON.parse(this.dataset.texts), spec, {
        typed: () => this.typed(),
        step: () => this.append() && this.show(),
        run: () => (this.timer ? this.stop() : this.generate()),
        windowed: () => this.change({ window: this.text.window.checked }),
        looked: (at) => this.look(at),
      });
      this.heads = new Heads(spec, (off) => this.change({ off }), () => this.show());
      [this.next, this.stream, this.cache] = [new Next(), new Stream(), new CacheView()];
      this.status = make("p", { class: "live-hidden", role: "status" });
      this.views = make("div", { class: "live-views" });
      this.views.append(this.text.element, this.next.element, this.stream.element);
      this.views.append(this.heads.element, this.heads.large.element, this.cache.element, this.status);
      this.querySelector(".live-intro").after(this.views);
    }

    typed() {
      this.stop();
      const bytes = this.text.bytes();
      this.session.read(bytes.length ? bytes : [10]); // an empty text begins a line
      this.at = null;
      this.show();
    }

    /* The model with every part, on the same text. */
    reference() {
      const { session, whole } = this;
      if (!session.off.size) return session;
      if (whole.windowed !== session.windowed) whole.set({ window: session.windowed });
      whole.read(session.bytes);
      return whole;
    }

    change(settings) {
      this.session.set(settings);
      this.show();
    }

    look(at) {
      this.at = at;
      this.show();
    }

    /* A byte more; false when there is no room. */
    append() {
      if (!this.session.draw(this.text.temperature)) return false;
      this.text.write(this.session.bytes);
      this.at = null;
      return true;
    }

    /* Byte by byte until the text is full or the reader stops; at once for a reader who wants no motion. */
    generate() {
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
        while (this.append());
        return this.show();
      }
      this.text.running(true);
      this.timer = setInterval(() => (this.append() ? this.show() : this.stop()), PACE_MS);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      this.text.running(false);
      this.announce();
    }

    show() {
      const { session } = this;
      const at = Math.min(this.at ?? Infinity, session.steps.length - 1);
      this.text.show(session, this.reference(), at);
      for (const view of [this.next, this.stream, this.heads]) view.show(session, at);
      this.cache.show(session, this.heads.block);
      this.mark(session.loss());
      clearTimeout(this.spoken);
      if (!this.timer) this.spoken = setTimeout(() => this.announce(at), 500);
    }

    announce(at = this.session.steps.length - 1) {
      if (!this.session.steps.length) return;
      const { loss, change } = this.text;
      this.status.textContent = `${globalThis.liveNext.summary(this.session, at)} ${loss.textContent} ${change.textContent}`;
    }

    /* The loss of the reader's text beside the training curve. */
    mark(loss) {
      const mark = this.querySelector(".live-yours");
      const { low, high, top, bottom } = mark.closest("svg").dataset;
      const share = Math.log(Math.min(high, Math.max(low, loss ?? high)) / low) / Math.log(high / low);
      mark.setAttribute("transform", `translate(0 ${Number(bottom) - share * (bottom - top)})`);
      mark.classList.toggle("live-away", loss === null);
    }
  }

  customElements.define("course-live-model", CourseLiveModel);
})();
