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

  // a term explains itself on hover too; a click, a tap or a key opens it without this script
  let opener = null;
  let pinned = false;
  const placeUnder = (tip, button) => {
    const [at, size] = [button.getBoundingClientRect(), tip.getBoundingClientRect()];
    const left = Math.min(at.left, document.documentElement.clientWidth - size.width - 12);
    const below = at.bottom + 6;
    const fits = below + size.height < innerHeight;
    tip.style.inset = "auto";
    tip.style.left = `${Math.max(left, 12)}px`;
    tip.style.top = `${fits ? below : Math.max(at.top - size.height - 6, 12)}px`;
  };
  const tipOf = (button) => document.getElementById(button.getAttribute("popovertarget"));
  all("button.term").forEach((button) => {
    const tip = tipOf(button);
    if (!tip || !tip.showPopover) return;
    button.addEventListener("click", () => { opener = button; pinned = true; });
    button.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "mouse" || pinned) return;
      opener = button;
      tip.showPopover();
    });
    button.addEventListener("pointerleave", () => { if (!pinned) tip.hidePopover(); });
  });
  all(".tip").forEach((tip) => tip.addEventListener("toggle", (event) => {
    if (event.newState === "open" && opener) placeUnder(tip, opener);
    if (event.newState === "closed") pinned = all(".tip:popover-open").length > 0;
  }));

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
