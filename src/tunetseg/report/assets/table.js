"use strict";
// Tables whose headings sort, and a filter.
(() => {
  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return numeric ? (text === "" ? NaN : Number(text)) : text.toLowerCase();
  };

  function sort(table, column, heading) {
    const numeric = heading.dataset.sort === "number";
    const before = heading.getAttribute("aria-sort");
    const sign = before === (numeric ? "descending" : "ascending") ? -1 : 1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => {
      const [first, second] = [key(one, column, numeric), key(other, column, numeric)];
      if (!numeric) return sign * first.localeCompare(second, "en", { numeric: true });
      if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
      return sign * (second - first);
    });
    table.tBodies[0].append(...rows);
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    const falling = numeric === (sign === 1);
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (!heading.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading));
    });
  }

  const search = document.getElementById("search");
  if (!search) return;
  const only = document.getElementById("only");
  const rows = [...document.querySelectorAll("table.sortable tbody tr")];
  const filter = () => {
    const words = search.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = (only.checked && !row.dataset.out) || !row.textContent.toLowerCase().includes(words);
      if (!row.hidden) shown++;
    }
    document.getElementById("count").textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
  };
  search.addEventListener("input", filter);
  only.addEventListener("change", filter);
})();
