/* Text that leaves the page: copied to the clipboard, or saved as a file. A page opened from a folder or over plain http
   may have no clipboard of its own; then a selected field is copied as a reader would do it. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const { make } = course;

  function bySelection(text) {
    const field = make("textarea", { readonly: true, class: "visually-hidden", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    const before = document.activeElement;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus?.();
    return done;
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return bySelection(text);
    }
  }

  /* A button that copies what `text()` returns, and says in itself that it did. */
  function copyButton(label, text) {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", async () => {
      button.textContent = (await copy(text())) ? "Copied" : "Not copied: select the text and copy it";
      setTimeout(() => { button.textContent = label; }, 2500);
    });
    return button;
  }

  function save(text, name, type = "text/plain") {
    const address = URL.createObjectURL(new Blob([text], { type }));
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  course.files = { copyButton, save };
})();
