"use strict";
// What the page does beside showing text: one view at a time, filter and sort, theme, copying and downloads.
// Without it the file is one long page that says the same.
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const announce = (words) => { byId("announcer").textContent = words; };

  // ------------------------------------------------------------------------------------------------ views
  // A view is shown when the address names it or anything inside it; the front page is shown otherwise.
  const views = all(".view");
  const front = document.querySelector("[data-front]");
  const siteTitle = document.title;
  const scrolled = new Map(); // where the reader was in each view
  let followed = false; // whether a link was followed, rather than the back button pressed
  let shown = front;

  const headingOf = (view) => (view === front ? document.querySelector("h1") : view.querySelector("h2, h3"));

  function target() {
    try {
      return byId(decodeURIComponent(location.hash.slice(1)));
    } catch {
      return null; // an address that is not properly encoded
    }
  }

  function route(arriving) {
    const goal = target();
    const view = goal?.closest(".view") ?? front;
    shown.classList.remove("shown");
    view.classList.add("shown");
    shown = view;
    const heading = headingOf(view);
    document.title = view === front ? siteTitle : `${heading.textContent.trim()} – ${siteTitle}`;
    const inside = goal !== null && goal !== view && goal !== heading && !goal.contains(heading);
    if (!arriving) focus(inside ? goal : heading);
    if (!followed && !arriving && scrolled.has(view) && !everything()) scrollTo(0, scrolled.get(view));
    else if (inside || everything()) (goal ?? root).scrollIntoView();
    else scrollTo(0, 0);
    followed = false;
  }

  function focus(element) {
    if (element.tabIndex < 0) element.tabIndex = -1; // headings cannot hold the focus by themselves
    element.focus({ preventScroll: true });
  }

  const everything = () => root.classList.contains("all");

  function showEverything(on) {
    root.classList.toggle("all", on);
    byId("everything").setAttribute("aria-pressed", String(on));
    (on ? shown : root).scrollIntoView();
  }

  async function printEverything() {
    const before = everything();
    showEverything(true);
    await window.ratecheck?.drawAll?.();
    addEventListener("afterprint", () => showEverything(before), { once: true });
    print();
  }

  if (front) {
    history.scrollRestoration = "manual"; // the browser would restore it before the view is there
    addEventListener("click", (event) => {
      const link = event.target.closest?.('a[href^="#"]');
      if (!link) return;
      followed = true;
      scrolled.set(shown, scrollY);
      if (link.hash === location.hash) route(false); // no change of address, but the reader wants to go there
    });
    addEventListener("hashchange", () => route(false));
    byId("everything").addEventListener("click", () => showEverything(!everything()));
    byId("print-all").addEventListener("click", printEverything);
    route(true);
    // The browser has by then scrolled to the heading that the address names; the top of the view says where one is.
    addEventListener("load", () => requestAnimationFrame(() => route(true)), { once: true });
  }

  // ------------------------------------------------------------------------------------------------ theme
  const themes = ["automatic", "light", "dark"];
  byId("theme").addEventListener("click", (event) => {
    const now = themes[(themes.indexOf(root.dataset.theme ?? "automatic") + 1) % themes.length];
    if (now === "automatic") delete root.dataset.theme;
    else root.dataset.theme = now;
    event.currentTarget.textContent = `Theme: ${now}`;
  });

  // ------------------------------------------------------------------------------------------- copy, download
  async function copy(button) {
    const code = button.closest(".reproduce-line")?.querySelector("code.reproduce");
    if (!code) return;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // not allowed, as for files in some browsers
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    announce("Copied");
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  function download(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    announce(`${name} is saved with your downloads`);
  }

  const files = {
    json: () => download("result.json", "application/json", `${byId("result").textContent}\n`),
    csv: () => download("theorems.csv", "text/csv", csv()),
  };

  addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (button?.matches(".copy")) copy(button);
    else if (button?.dataset.download) files[button.dataset.download]();
  });

  // ------------------------------------------------------------------------------------------ filter and sort
  const table = byId("overview");
  if (!table) return;
  const bodies = all("tbody", table);
  const rows = all("tbody tr:not(.group)", table);
  const homes = new Map(rows.map((row) => [row, row.parentElement]));
  const words = new Map(rows.map((row) => [row, all(".words", row).map((cell) => cell.textContent).join(" ").toLowerCase()]));
  const sorted = table.appendChild(document.createElement("tbody")); // holds all rows while they are sorted

  const search = byId("filter-words");
  const boxes = all('input[data-filter="verdict"]');
  const selects = all("select[data-filter]");

  function filter() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = boxes.filter((box) => box.checked).map((box) => box.value);
    for (const row of rows) {
      const fits = wanted.every((word) => words.get(row).includes(word))
        && (verdicts.length === 0 || verdicts.includes(row.dataset.verdict))
        && selects.every((select) => !select.value || row.dataset[select.dataset.filter] === select.value);
      row.hidden = !fits;
    }
    for (const group of all("tr.group", table)) {
      group.hidden = !all("tr:not(.group)", group.parentElement).some((row) => !row.hidden);
    }
    byId("shown").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
  }

  // Cells are compared by the number they carry, else by their text; cells without any come last either way.
  function compare(index, way, numeric) {
    const key = new Map(rows.map((row) => {
      const cell = row.cells[index];
      const text = (numeric ? cell.dataset.value : cell.textContent).trim();
      return [row, text === "" ? null : numeric ? Number(text) : text];
    }));
    return (a, b) => {
      const [x, y] = [key.get(a), key.get(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return way * (numeric ? x - y : x.localeCompare(y, "en", { numeric: true }));
    };
  }

  function sort(head) {
    const first = head.dataset.sort === "most" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const now = head.getAttribute("aria-sort");
    const next = now === null ? first : now === first ? second : null; // a third click restores the order
    for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
    if (next === null) {
      for (const row of rows) homes.get(row).append(row);
    } else {
      head.setAttribute("aria-sort", next);
      sorted.append(...rows.toSorted(compare(head.cellIndex, next === "ascending" ? 1 : -1, head.dataset.sort !== "words")));
    }
    for (const body of bodies) body.hidden = next !== null;
    announce(next === null ? "In the original order" : `Sorted by ${head.textContent.trim()}, ${next}`);
  }

  for (const head of all("th[data-sort]", table)) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head));
    head.append(button);
  }
  for (const control of [search, ...boxes, ...selects]) control.addEventListener("input", filter);
  byId("clear").addEventListener("click", () => {
    for (const control of [search, ...selects]) control.value = "";
    for (const box of boxes) box.checked = false;
    filter();
  });
  byId("columns").addEventListener("click", (event) => {
    const wide = table.classList.toggle("wide");
    event.currentTarget.setAttribute("aria-pressed", String(wide));
  });
  filter();

  function csv() {
    // A text that begins like a formula would be run by a spreadsheet.
    const field = (text) => `"${text.trim().replace(/^([=+@\t\r]|-(?![\d.]))/, "'$1").replaceAll('"', '""')}"`;
    const text = (element) => element?.textContent ?? "";
    const plain = (cell) => (cell.matches(".number") ? text(cell).replace(/(\d),(?=\d{3})/g, "$1") : text(cell));
    const lines = rows.map((row) => {
      const cells = all("td[data-label]", row).slice(2).map(plain);
      const parts = [".id", "[data-label=Label]", "a", ".verdict", ".said"].map((part) => text(row.querySelector(part)));
      return [...parts, ...cells].map(field).join(",");
    });
    const labels = all("td[data-label]", rows[0]).slice(2).map((cell) => cell.dataset.label);
    const heads = ["Id", "Label", "Title", "Verdict", "Sentence", ...labels].map(field).join(",");
    return [heads, ...lines, ""].join("\r\n");
  }
})();
