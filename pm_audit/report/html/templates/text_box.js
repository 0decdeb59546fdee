"use strict";
(() => {
  // without this script the form works too: the page is loaded again with its result
  const form = document.getElementById("edit");
  const status = document.getElementById("status");
  const button = document.getElementById("explain");
  const result = document.getElementById("result");
  let busy = false;

  const show = (text) => {
    const read = new DOMParser().parseFromString(text, "text/html");
    const found = read.getElementById("result");
    if (!found) throw new Error("no result");
    result.replaceChildren(...found.childNodes);
    document.title = read.title;
    const lead = document.getElementById("lead");
    if (lead) lead.removeAttribute("role"); // the status says it
    return lead ? lead.textContent : "";
  };
  const send = async () => {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(location.pathname, { method: "POST", body, redirect: "error" });
    return show(await answer.text());
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    button.setAttribute("aria-disabled", "true");
    result.setAttribute("aria-busy", "true");
    status.textContent = "Reading both completions and ablating their features…";
    const start = Date.now();
    const clock = setInterval(() => {
      button.textContent = `Explaining: ${Math.round((Date.now() - start) / 1000)} s`;
    }, 1000);
    try {
      status.textContent = await send();
    } catch {
      result.replaceChildren();
      status.textContent = "No answer: is pm-audit explain --serve still running?";
    } finally {
      clearInterval(clock);
      button.textContent = "Explain the difference";
      button.removeAttribute("aria-disabled");
      result.removeAttribute("aria-busy");
      busy = false;
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
})();
