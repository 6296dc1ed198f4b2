"use strict";
// Buttons that copy a table as text; without scripts, the texts can be unfolded and selected.
(() => {
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) throw new Error("the browser does not allow copying");
    }
  }

  for (const block of document.querySelectorAll(".copied")) {
    const bar = document.createElement("p");
    bar.className = "copy screen";
    const said = document.createElement("output");
    said.setAttribute("aria-live", "polite");
    for (const text of block.querySelectorAll("pre[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `Copy as ${text.dataset.copy}`;
      button.addEventListener("click", () =>
        copy(text.textContent).then(
          () => { said.textContent = `Copied as ${text.dataset.copy}.`; },
          () => { said.textContent = "Not copied: the browser does not allow it. Unfold the text and select it."; },
        ));
      bar.append(button);
    }
    bar.append(said);
    block.querySelector(".texts").before(bar);
  }
})();
