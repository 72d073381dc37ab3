"use strict";
// Filters and search: a row (table row or item) is shown when every select matches and its text holds every searched word.
for (const controls of document.querySelectorAll(".controls")) {
  const box = document.getElementById(controls.dataset.for);
  const rows = [...box.querySelectorAll("[data-row]")];
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, (row.id + " " + row.textContent).toLowerCase());
    return texts.get(row);
  };
  const search = controls.querySelector("[data-search]");
  const selects = [...controls.querySelectorAll("[data-filter]")];
  const output = controls.querySelector("output");
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits = selects.every((s) => !s.value || (row.dataset[s.dataset.filter] || "").split("|").includes(s.value));
      row.hidden = !(fits && words.every((word) => textOf(row).includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    output.value = shown + " of " + rows.length + " shown";
  };
  search.addEventListener("input", apply);
  selects.forEach((s) => s.addEventListener("change", apply));
  for (const button of controls.querySelectorAll("[data-toggle]")) {
    button.addEventListener("click", () => {
      for (const row of rows) row.open = button.dataset.toggle === "open" ? !row.hidden : false;
    });
  }
  apply();
}
// A link to something inside a closed <details> opens it first.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
  if (target) target.scrollIntoView();
};
window.addEventListener("hashchange", reveal);
reveal();
