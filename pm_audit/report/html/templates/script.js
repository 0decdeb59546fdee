"use strict";
(() => {
  const all = (selector) => Array.from(document.querySelectorAll(selector));

  const openAround = (element) => {
    for (let node = element; node; node = node.parentElement) {
      if (node.tagName === "DETAILS") node.open = true;
    }
  };
  const followHash = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    openAround(target);
    target.scrollIntoView();
    const focusable = target.querySelector("summary") || target;
    focusable.focus({ preventScroll: true });
  };
  addEventListener("hashchange", followHash);
  all('a[href^="#"]').forEach((link) => link.addEventListener("click", () => {
    if (link.hash === location.hash) followHash();
  }));

  const press = (id, action) => {
    const button = document.getElementById(id);
    if (button) button.addEventListener("click", () => action(button));
  };
  const fold = (open) => all("details.hypothesis").forEach((details) => { details.open = open; });
  press("unfold", () => fold(true));
  press("fold", () => fold(false));
  press("theme", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  press("attention", (button) => {
    const only = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(only));
    all("[data-attention]").forEach((element) => {
      element.hidden = only && element.dataset.attention === "no";
    });
  });

  let unfoldedForPrint = [];
  addEventListener("beforeprint", () => {
    unfoldedForPrint = all("details:not([open])");
    unfoldedForPrint.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => {
    unfoldedForPrint.forEach((details) => { details.open = false; });
  });

  all("table.sortable th button").forEach((button) => button.addEventListener("click", () => {
    const header = button.closest("th");
    const table = header.closest("table");
    const column = header.cellIndex;
    const rising = header.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((left, right) => {
      const [a, b] = [key(left), key(right)];
      const [x, y] = [Number(a), Number(b)];
      const order = a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)
        ? x - y : String(a).localeCompare(String(b));
      return rising ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));

  followHash();
})();
