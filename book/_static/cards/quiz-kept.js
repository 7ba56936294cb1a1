/* A running quiz is kept in this tab until the tab is closed: a reload brings every answer back. Nothing of it is stored
   elsewhere. What was kept is checked when it is read; what does not fit is left out. */
(() => {
  "use strict";
  const course = (globalThis.courseCards ??= {});
  const STEM = "architecture-measured-quiz:1:";
  const key = (address) => `${STEM}${address}`;

  function read(address, count) {
    let kept;
    try {
      kept = JSON.parse(sessionStorage.getItem(key(address)));
    } catch {
      return null;
    }
    if (!kept || !Array.isArray(kept.answers) || kept.answers.length !== count) return null;
    const judged = Array.isArray(kept.judged) ? kept.judged : [];
    return { ...kept, judged, name: typeof kept.name === "string" ? kept.name : "" };
  }

  /* Returns whether it could be kept. */
  function write(address, kept) {
    try {
      sessionStorage.setItem(key(address), JSON.stringify(kept));
      return true;
    } catch {
      return false;
    }
  }

  function forget(address) {
    try {
      sessionStorage.removeItem(key(address));
    } catch { /* nothing was kept */ }
  }

  course.quiz.kept = { read, write, forget };
})();
