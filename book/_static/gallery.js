/* The gallery: pictures that come when they are seen, filters, orders, two models side by side, links to any of it.
   Without this script the forms stay hidden, and every picture is an image. */
(() => {
  "use strict";
  const root = document.getElementById("gallery");
  if (!root) return;
  const { OWN, NotThere, make, viewed, answer, ownFacts, why } = globalThis.courseGalleryPair;
  const base = root.dataset.base;
  const filter = root.querySelector("form.gallery-filter");
  const compare = root.querySelector("form.gallery-compare");
  const list = root.querySelector(".gallery-list");
  const years = [...list.children];
  const models = [...root.querySelectorAll(".gallery-model")];
  const nameOf = (model) => model.querySelector(".gallery-name").textContent;
  const byId = (id) => models.find((model) => model.id === id);
  const places = new Map(models.map((model) => [model, model.parentElement]));
  const one = (id) => root.querySelector(`#${id}`);

  /* Pictures: each is a script that calls courseGalleryPut. */
  const pictures = new Map();
  const waiting = new Map();
  globalThis.courseGalleryPut = (name, html) => waiting.get(name)?.(html);
  function picture(name) {
    if (!pictures.has(name)) {
      pictures.set(
        name,
        new Promise((done, failed) => {
          waiting.set(name, done);
          const script = make("script", { src: `${base}${name}.js` });
          script.onerror = () => failed(new NotThere(`The picture of ${name} cannot be loaded.`));
          document.head.append(script);
        }),
      );
    }
    return pictures.get(name);
  }
  const seen = new IntersectionObserver((found) => {
    for (const { isIntersecting, target } of found) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      picture(target.closest(".gallery-model").id).then(
        (html) => (target.innerHTML = html),
        (error) => (target.textContent = error.message),
      );
    }
  }, { rootMargin: "200px" });

  function addTools(model) {
    const beside = make("button", { type: "button" }, `Compare ${nameOf(model)}`);
    beside.addEventListener("click", () => {
      const free = one("gallery-left").value && one("gallery-left").value !== model.id ? "gallery-right" : "gallery-left";
      one(free).value = model.id;
      chosen();
      compare.scrollIntoView();
      one(free).focus();
    });
    const link = make("a", { href: `#${model.id}` }, "Link to this model");
    model.querySelector(".gallery-body").append(make("p", { class: "gallery-tools" }, beside, " ", link));
    seen.observe(model.querySelector(".gallery-picture"));
  }

  /* Filters and orders. */
  const ORDER = {
    newest: null,
    oldest: null,
    largest: (a, b) => b.dataset.total - a.dataset.total,
    name: (a, b) => nameOf(a).localeCompare(nameOf(b), "en"),
  };
  function sort(order) {
    for (const model of models) places.get(model).append(model);
    list.replaceChildren(...years);
    if (order === "oldest") {
      list.replaceChildren(...years.toReversed());
      for (const year of years) {
        const shelf = year.querySelector(".gallery-models");
        shelf.replaceChildren(...[...shelf.children].reverse());
      }
    } else if (ORDER[order]) {
      list.replaceChildren(make("div", { class: "gallery-models" }, ...models.toSorted(ORDER[order])));
    }
  }
  function apply() {
    const [series, year, has] = ["series", "year", "has"].map((name) => one(`gallery-${name}`).value);
    for (const model of models) {
      const { dataset } = model;
      model.hidden =
        (series && dataset.series !== series) ||
        (year && dataset.year !== year) ||
        Boolean(has && !dataset.has.split("|").includes(has));
    }
    for (const shelf of years) shelf.hidden = !shelf.querySelector(".gallery-model:not([hidden])");
    const shown = models.filter((model) => !model.hidden).length;
    filter.querySelector("[role=status]").textContent = `${shown} of ${models.length} models`;
  }

  /* Side by side. A newer request overtakes an older one. */
  let asked = 0;
  async function chosen() {
    const [left, right] = ["gallery-left", "gallery-right"].map((id) => one(id).value);
    const own = right === OWN;
    const pasted = one("gallery-config").value;
    const into = one("gallery-answer");
    compare.querySelector(".gallery-pasted").hidden = !own;
    const turn = (asked += 1);
    if (!left || !right || (own && !pasted.trim())) return into.replaceChildren();
    if (!own) history.replaceState(null, "", `#${left},${right}`);
    const names = [nameOf(byId(left)), own ? "your config.json" : nameOf(byId(right))];
    try {
      const views = [await viewed(base, left), await viewed(base, right, pasted)];
      const drawn = await Promise.all([picture(left), own ? null : picture(right)]);
      if (turn !== asked) return;
      const found = [...globalThis.courseGallery.differences(...views)];
      answer(into, names, views, found, drawn, own ? ownFacts(views[1]) : []);
    } catch (error) {
      if (turn === asked) into.replaceChildren(make("p", { class: "gallery-wrong" }, `No answer. ${why(error)}`));
    }
  }

  /* A link: #model opens it, #a,b sets two side by side. */
  function follow() {
    const names = decodeURIComponent(location.hash.slice(1)).split(",");
    if (!names.every(byId)) return;
    if (names.length === 2) {
      [one("gallery-left").value, one("gallery-right").value] = names;
      chosen();
      compare.scrollIntoView();
    } else if (names.length === 1) {
      const model = byId(names[0]);
      if (model.hidden) {
        filter.reset();
        sort("newest");
        apply();
      }
      model.open = true;
      model.scrollIntoView();
    }
  }

  models.forEach(addTools);
  for (const form of [filter, compare]) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  filter.addEventListener("change", (event) => {
    if (event.target.id === "gallery-sort") sort(event.target.value);
    apply();
  });
  compare.addEventListener("change", chosen);
  one("gallery-config").addEventListener("input", chosen);
  window.addEventListener("hashchange", follow);
  apply();
  follow();
})();
