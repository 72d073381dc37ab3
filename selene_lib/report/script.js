"use strict";
const all = (what, home = document) => [...home.querySelectorAll(what)];
const words = (text) => text.replace(/\s+/g, " ").trim();

// Sorting: each head of a table becomes a button; numbers by their value, nothing last.
const keyOf = (cell) => {
  const text = cell.dataset.v ?? words(cell.textContent);
  const value = parseFloat(text.replace(/,/g, ""));
  const isNumber = /^[-+]?[\d.,]/.test(text) && !/^\d{4}-\d/.test(text);
  return isNumber && !Number.isNaN(value) ? value : ["–", "", "undefined"].includes(text) ? null : text.toLowerCase();
};
const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
const sortBy = (table, column) => {
  const head = table.tHead.rows[0].cells[column];
  const falling = head.getAttribute("aria-sort") === "descending" ? false : head.getAttribute("aria-sort") === "ascending" ? true : head.classList.contains("n");
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const body = table.tBodies[0], keyed = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
  keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : falling ? compare(b, a) : compare(a, b)));
  body.append(...keyed.map(([, row]) => row));
};
const labelled = (table) => {
  const names = [...table.tHead.rows[0].cells].map((head) => head.dataset.short ?? words(head.textContent));
  for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => { cell.dataset.label = names[i]; });
};
for (const table of all("table.sortable")) {
  labelled(table);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column));
    head.append(button);
    head.setAttribute("aria-sort", "none");
  });
}

// Downloads: a table as it stands, or the whole result file that the page carries packed.
const quoted = (text) => (/[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text);
const csvOf = (table) => {
  const names = [...table.tHead.rows[0].cells].map((head) => words(head.textContent));
  const rows = [...table.tBodies[0].rows];
  const wide = names.map((_, i) => rows.some((row) => row.cells[i] && row.cells[i].dataset.low));
  const head = names.flatMap((name, i) => (wide[i] ? [name, name + " ci95_low", name + " ci95_high"] : [name]));
  const lines = rows.map((row) => [...row.cells].flatMap((cell, i) => {
    const value = cell.dataset.v ?? words(cell.textContent).replace(/^–$/, "");
    return wide[i] ? [value, cell.dataset.low ?? "", cell.dataset.high ?? ""] : [value];
  }));
  return [head, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
};
const unpacked = (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const save = (text, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
for (const button of all("button[data-csv]")) {
  button.addEventListener("click", async () => {
    const packed = button.dataset.packed;
    save(packed ? await unpacked(packed) : csvOf(document.getElementById(button.dataset.csv)), button.dataset.name);
  });
}

// A switch shows the rows and columns that hold nothing of this run.
for (const box of all("input[data-switch]")) {
  const table = document.getElementById(box.dataset.switch);
  const apply = () => table.classList.toggle("only-run", !box.checked);
  box.addEventListener("change", apply);
  apply();
}

// Searched words are marked; where none stands in the summary of an item, the passage is shown there.
const unmark = (box) => {
  for (const mark of all("mark", box)) mark.replaceWith(mark.textContent);
  for (const hit of all(".hit", box)) hit.remove();
  box.normalize();
};
const pattern = (sought) => new RegExp("(" + sought.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|") + ")", "gi");
const markIn = (box, sought) => {
  const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT), nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    const parts = node.data.split(pattern(sought));
    if (parts.length < 2) continue;
    node.replaceWith(...parts.map((part, i) => (i % 2 ? Object.assign(document.createElement("mark"), { textContent: part }) : part)));
  }
};
const showHit = (row, sought) => {
  markIn(row, sought);
  const summary = row.querySelector("summary"), hit = row.querySelector("mark");
  if (!summary || !hit || summary.querySelector("mark")) return;
  const text = hit.parentNode.textContent, at = text.toLowerCase().indexOf(hit.textContent.toLowerCase());
  const line = Object.assign(document.createElement("span"), { className: "hit" });
  line.textContent = "… " + words(text.slice(Math.max(0, at - 50), at + 90)) + " …";
  summary.append(line);
  markIn(line, sought);
};

// Filters and search: a row is shown when every select matches and its text holds every searched word.
for (const controls of all(".controls[data-for]")) {
  const box = document.getElementById(controls.dataset.for), rows = all("[data-row]", box), texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, (row.id + " " + row.textContent).toLowerCase());
    return texts.get(row);
  };
  const search = controls.querySelector("[data-search]"), selects = all("[data-filter]", controls);
  const absent = controls.querySelector("[data-absent]"), output = controls.querySelector("output");
  const nothing = document.getElementById(controls.dataset.for + "-nothing");
  let marked = [];
  const fits = (row, sought) =>
    selects.every((s) => !s.value || (row.dataset[s.dataset.filter] || "").split("|").includes(s.value)) &&
    (!absent || absent.checked || row.dataset.run !== "no" || selects.some((s) => s.value) || sought.length > 0) &&
    sought.every((word) => textOf(row).includes(word));
  const apply = () => {
    const sought = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    marked.forEach(unmark);
    marked = [];
    let shown = 0;
    for (const row of rows) {
      row.hidden = !fits(row, sought);
      shown += row.hidden ? 0 : 1;
      if (!row.hidden && sought.length) { showHit(row, sought); marked.push(row); }
    }
    output.value = shown + " of " + rows.length + " shown";
    nothing.hidden = shown > 0;
  };
  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); });
  for (const choice of [...selects, ...(absent ? [absent] : [])]) choice.addEventListener("change", apply);
  for (const button of all("[data-toggle]", controls)) {
    button.addEventListener("click", () => { for (const row of rows) row.open = button.dataset.toggle === "open" ? !row.hidden : false; });
  }
  apply();
}

for (const button of all("button.enlarge")) {
  button.addEventListener("click", () => {
    const large = button.closest("figure").classList.toggle("large");
    button.textContent = large ? "Fit to the page" : "Enlarge";
  });
}

// A link to something inside a closed <details>, or to a filtered item, shows it first.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = target; box; box = box.parentElement) {
    box.hidden = false;
    if (box.tagName === "DETAILS") box.open = true;
  }
  if (target) target.scrollIntoView();
};
window.addEventListener("hashchange", reveal);
reveal();

// On paper nothing can be opened: tables, matrices and the first item of each set are printed open.
let opened = [];
window.addEventListener("beforeprint", () => {
  const first = new Map(all("#items details").reverse().map((item) => [item.dataset.set, item]));
  opened = [...all("details[data-print]"), ...first.values()].filter((box) => !box.open && !box.hidden);
  for (const box of opened) box.open = true;
});
window.addEventListener("afterprint", () => { for (const box of opened) box.open = false; opened = []; });
