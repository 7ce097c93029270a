// A cluster as a graph. The tables below it have the same; shapes and dashes say what colours would.
"use strict";

(() => {
  const drawn = new WeakSet();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shapes = { alert: "diamond", allowed: "hexagon", clear: "ellipse", cannot_tell: "rectangle" };
  const dashes = { network: "solid", payment: "dashed", content: "dotted" };

  function style() {
    return [
      { selector: "node", style: { label: "data(label)", shape: "data(shape)", width: "data(size)", height: "data(size)", "background-color": colour("--sheet"), "border-width": 2, "border-color": colour("--line-strong"), color: colour("--ink"), "font-size": 13, "font-family": "monospace", "text-valign": "bottom", "text-margin-y": 4 } },
      { selector: "node[decision = 'alert']", style: { "border-color": colour("--alert"), "border-width": 3 } },
      { selector: "node[!member]", style: { "border-style": "dashed", opacity: 0.6 } },
      { selector: "edge", style: { width: "data(width)", "line-color": colour("--line-strong"), "line-style": "data(dash)", "curve-style": "straight" } },
      { selector: ".near", style: { "line-color": colour("--accent"), "border-color": colour("--accent") } },
    ];
  }

  function draw(figure) {
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const most = Math.max(1, ...data.nodes.map((node) => node.records));
    const scores = data.edges.map((edge) => edge.score);
    const low = Math.min(...scores), span = Math.max(...scores) - low || 1;
    const known = new Set(data.nodes.map((node) => node.id));
    const graph = window.cytoscape({
      container: figure.querySelector(".net"),
      elements: [
        ...data.nodes.map((node) => ({ data: { ...node, member: node.member || undefined, shape: shapes[node.decision] ?? "rectangle", size: 22 + 22 * Math.sqrt(node.records / most) } })),
        ...data.edges.filter((edge) => known.has(edge.source) && known.has(edge.target)).map((edge) => ({ data: { ...edge, dash: dashes[edge.tie], width: 1 + (4 * (edge.score - low)) / span } })),
      ],
      style: style(),
      // The same picture every time: nothing about it is drawn by lot.
      layout: { name: data.nodes.length > 60 ? "concentric" : "circle", animate: false, padding: 30, spacingFactor: 1 },
      minZoom: 0.2,
      maxZoom: 3,
      wheelSensitivity: undefined,
      autoungrabify: false,
      userZoomingEnabled: false,
    });
    if (data.nodes.length <= 60) {
      graph.layout({ name: "cose", animate: false, randomize: false, padding: 30, nodeRepulsion: () => 120000, idealEdgeLength: () => 70, gravity: 0.6, numIter: 1500, fit: true }).run();
    }
    graph.on("mouseover", "node", (event) => event.target.closedNeighborhood().addClass("near"));
    graph.on("mouseout", "node", () => graph.elements().removeClass("near"));
    graph.on("tap", "node", (event) => window.location.assign(event.target.data("href")));
    window.addEventListener("resize", () => { graph.resize(); graph.fit(undefined, 30); });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => graph.style(style()));
    figure.dataset.drawn = "yes";
  }

  window.drawGraphs = (root) => {
    for (const figure of root.querySelectorAll("[data-graph]")) {
      if (drawn.has(figure)) continue;
      drawn.add(figure);
      draw(figure);
    }
  };
  document.addEventListener("DOMContentLoaded", () => window.drawGraphs(document));
})();
