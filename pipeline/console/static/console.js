// Small things that pages do beyond links and forms. Nothing here is needed to read or to decide.
"use strict";

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    document.getElementById("find")?.focus();
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) {
    event.preventDefault();
    event.target.form?.requestSubmit();
  }
});

// The address of what was asked, so that a reload and a copied link show the same.
function remember(root) {
  const found = (root.matches?.("[data-permalink]") ? root : root.querySelector?.("[data-permalink]"));
  if (found) window.history.replaceState(window.history.state, "", found.dataset.permalink);
}

// On a narrow screen what was narrowed comes first, the facets when they are asked for.
function fold() {
  if (window.matchMedia("(max-width: 900px)").matches) for (const each of document.querySelectorAll("details.facets")) each.open = false;
}
document.addEventListener("htmx:after:swap", () => {
  fold();
  remember(document);
  window.drawCharts?.(document);
  window.drawGraphs?.(document);
});
// Empty fields of a search say nothing and only make its address long.
document.addEventListener("htmx:config:request", (event) => {
  const request = event.detail?.ctx?.request;
  if (request?.method === "GET" && request.body instanceof FormData) {
    for (const [name, value] of [...request.body.entries()]) {
      if (value === "" && name !== "decision") request.body.delete(name);
    }
  }
});
fold();
remember(document);
