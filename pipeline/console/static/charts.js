// Charts from the figures that stand in the page. Each has the same figures as a table; shapes differ, not only colours.
"use strict";

(() => {
  const drawn = new WeakSet();
  const charts = new Set();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const brief = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString());

  function common() {
    return {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colour("--soft") },
      aria: { enabled: false },
      // Text on the canvas: the policy forbids styles inside of markup, which the other kind of tooltip is made of.
      tooltip: {
        renderMode: "richText",
        confine: true,
        backgroundColor: colour("--sheet"),
        borderColor: colour("--line-strong"),
        textStyle: { color: colour("--ink"), fontSize: 12 },
      },
    };
  }
  function axis(more) {
    return {
      axisLine: { lineStyle: { color: colour("--line-strong") } },
      splitLine: { lineStyle: { color: colour("--line") } },
      axisLabel: { color: colour("--soft"), hideOverlap: true },
      nameTextStyle: { color: colour("--soft") },
      ...more,
    };
  }

  const kinds = {
    timeline(data) {
      const times = data.rows.map((row) => Date.parse(row.window_start));
      return {
        ...common(),
        grid: { left: 48, right: 48, top: 34, bottom: 58 },
        legend: { top: 2, left: "center", itemWidth: 12, itemHeight: 9, textStyle: { color: colour("--soft") }, data: ["records", "topic entropy"] },
        tooltip: {
          ...common().tooltip,
          trigger: "axis",
          formatter: (points) => {
            const row = data.rows[times.indexOf(points[0].value[0])];
            return `${row.window_start.slice(0, 16).replace("T", " ")} UTC\n${row.records} records, ${row.topics} topics\nentropy ${brief(row.topic_entropy ?? 0)} nats`;
          },
        },
        dataZoom: [{ type: "inside" }, { type: "slider", height: 18, bottom: 8, borderColor: colour("--line"), fillerColor: "rgba(127,127,127,.18)", textStyle: { color: colour("--soft") } }],
        xAxis: axis({ type: "time", splitLine: { show: false }, axisLabel: { color: colour("--soft"), hideOverlap: true, formatter: { year: "{yyyy}", month: "{MMM}", day: "{MMM} {d}", hour: "{HH}:{mm}" } } }),
        yAxis: [axis({ name: "records", minInterval: 1 }), axis({ name: "nats", splitLine: { show: false } })],
        series: [
          { name: "records", type: "bar", barMinWidth: 2, barMaxWidth: 14, itemStyle: { color: colour("--theirs") }, data: data.rows.map((row, i) => [times[i], row.records]) },
// Of windows with one record it is 0 and says nothing: those have no mark.
          { name: "topic entropy", type: "scatter", yAxisIndex: 1, symbol: "diamond", symbolSize: 7, itemStyle: { color: colour("--mine") }, data: data.rows.flatMap((row, i) => (row.records > 1 ? [[times[i], row.topic_entropy, i]] : [])) },
        ],
      };
    },
    growth(data) {
      const [x, y] = ["records_so_far", "topics_so_far"];
      return {
        ...common(),
        grid: { left: 48, right: 24, top: 30, bottom: 34 },
        tooltip: { ...common().tooltip, trigger: "axis" },
        xAxis: axis({ type: "value", name: "records", nameLocation: "middle", nameGap: 22, min: 0 }),
        yAxis: axis({ type: "value", name: "topics met", min: 0 }),
        series: [{ type: "line", symbol: "circle", symbolSize: 5, lineStyle: { color: colour("--mine") }, itemStyle: { color: colour("--mine") }, data: data.rows.map((row) => [row[x], row[y]]) }],
      };
    },
    projection(data) {
      const size = (point) => 3 + 9 * Math.sqrt(point[2] ?? 0);
      return {
        ...common(),
        grid: { left: 44, right: 20, top: 44, bottom: 32 },
        legend: { top: 8, left: 44, itemWidth: 11, itemHeight: 9, itemGap: 16, textStyle: { color: colour("--soft") } },
        tooltip: { ...common().tooltip, trigger: "item", formatter: (point) => `${point.seriesName}\n${brief(point.value[0])}, ${brief(point.value[1])}` },
        toolbox: { top: 2, right: 12, itemSize: 18, feature: { brush: { type: ["rect", "polygon", "clear"], title: { rect: "Rectangle", polygon: "Lasso", clear: "Clear" } }, dataZoom: { title: { zoom: "Zoom", back: "Zoom back" } } }, iconStyle: { borderColor: colour("--soft") }, emphasis: { iconStyle: { borderColor: colour("--accent"), textFill: colour("--ink") } } },
        brush: { xAxisIndex: 0, yAxisIndex: 0, brushMode: "single", throttleType: "debounce", throttleDelay: 250, brushStyle: { borderWidth: 1.5, borderColor: colour("--accent"), color: "rgba(127,127,127,.12)" }, outOfBrush: { colorAlpha: 0.5 } },
        xAxis: axis({ scale: true, axisLine: { onZero: false, lineStyle: { color: colour("--line-strong") } } }),
        yAxis: axis({ scale: true, axisLine: { onZero: false, lineStyle: { color: colour("--line-strong") } } }),
        series: [
          { name: "unremarkable accounts", type: "scatter", symbol: "circle", symbolSize: 4, itemStyle: { color: "transparent", borderColor: colour("--line-strong"), borderWidth: 1, opacity: 0.6 }, data: data.benign, large: data.benign.length > 4000 },
          { name: "ordinary corpora", type: "scatter", symbol: "rect", symbolSize: size, itemStyle: { color: "transparent", borderColor: colour("--theirs"), borderWidth: 1 }, data: data.ordinary },
          { name: "harvested corpora", type: "scatter", symbol: "triangle", symbolSize: size, itemStyle: { color: "transparent", borderColor: colour("--for"), borderWidth: 1.2 }, data: data.harvested },
          { name: "this subject", type: "scatter", symbol: "circle", symbolSize: 9, itemStyle: { color: colour("--mine"), borderColor: colour("--sheet"), borderWidth: 1.2 }, data: data.account },
        ].filter((each) => each.data.length),
      };
    },
  };

  function corners(area) {
    const range = area.coordRange;
    if (area.brushType === "rect") return [range[0][0], range[1][0], range[0][1], range[1][1]];
    return range.flat();
  }

  function behave(chart, figure, kind, data) {
    const go = figure.dataset.href;
    if (kind === "timeline" && go) {
      chart.on("click", (event) => {
        const row = data.rows.find((each) => Date.parse(each.window_start) === event.value?.[0]);
        if (row) window.location.assign(`${go}&since=${encodeURIComponent(row.window_start.replace("Z", ""))}`);
      });
    }
    if (kind === "projection") {
      chart.on("brushEnd", (event) => {
        const area = event.areas[0];
        const field = document.getElementById("region");
        if (!field) return;
        const most = 60;
        let found = area ? corners(area) : [];
        if (found.length > 2 * most) {
          const step = Math.ceil(found.length / 2 / most);
          found = found.filter((_, i) => Math.floor(i / 2) % step === 0);
        }
        field.value = found.map((value) => value.toFixed(3)).join(",");
        field.form.requestSubmit();
      });
      if (data.region) {
        chart.dispatchAction({ type: "brush", areas: [{ brushType: "polygon", xAxisIndex: 0, yAxisIndex: 0, coordRange: data.region }] });
      }
    }
  }

  function draw(figure) {
    const kind = figure.dataset.chart;
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const place = figure.querySelector(".plot");
    const chart = window.echarts.init(place, null, { renderer: "canvas" });
    chart.setOption(kinds[kind](data));
    behave(chart, figure, kind, data);
    charts.add({ chart, place, kind, data });
    figure.dataset.drawn = "yes";
  }

  window.drawCharts = (root) => {
    for (const each of [...charts]) if (!each.place.isConnected) { each.chart.dispose(); charts.delete(each); }
    for (const figure of root.querySelectorAll("[data-chart]")) {
      if (drawn.has(figure)) continue;
      drawn.add(figure);
      draw(figure);
    }
  };
  window.addEventListener("resize", () => { for (const each of charts) each.chart.resize(); });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const each of charts) each.chart.setOption(kinds[each.kind](each.data));
  });
  document.addEventListener("DOMContentLoaded", () => window.drawCharts(document));
})();
