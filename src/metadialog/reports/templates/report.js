"use strict";

// Tables: a click on a column's name sorts by it, a second one the other way.
for (const table of document.querySelectorAll("table.sortable")) {
  const names = [...table.querySelectorAll(".names th")];
  names.forEach((name, place) => {
    name.tabIndex = 0;
    const sort = () => {
      const down = name.getAttribute("aria-sort") === "ascending";
      names.forEach((other) => other.removeAttribute("aria-sort"));
      name.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const key = (row) => {
        const cell = row.cells[place];
        const text = cell.dataset.value ?? cell.textContent;
        const value = Number.parseFloat(text.replace(/^[<\s]+/, ""));
        return Number.isNaN(value) ? text : value;
      };
      const order = (one, other) => {
        const [a, b] = [key(one), key(other)];
        if (typeof a === "number" && typeof b === "number") return a - b;
        if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
        return a.localeCompare(b);
      };
      const rows = [...body.rows].sort(order);
      body.append(...(down ? rows.reverse() : rows));
    };
    name.addEventListener("click", sort);
    name.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
}

const source = document.getElementById("data");
if (source) chart(JSON.parse(source.textContent));

function chart(data) {
  const [width, height, left, right, top, bottom] = [760, 400, 78, 120, 14, 46];
  const metric = document.getElementById("metric");
  const shots = document.getElementById("shots");
  const bands = document.getElementById("bands");
  const log = document.getElementById("log");
  const hidden = new Set(data.algorithms.filter((one) => !one.shown).map((one) => one.name));
  bands.checked = data.intervals;

  const make = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const show = (value) =>
    Math.abs(value) >= 1e5 ? value.toExponential(1).replace("e+", "e")
      : Number(value.toPrecision(4)).toLocaleString("en");
  const fill = (select, values) => {
    const before = select.value;
    select.replaceChildren(...values.map(([value, text]) => new Option(text, value)));
    if (values.some(([value]) => String(value) === before)) select.value = before;
  };

  fill(metric, data.metrics.map((one) => [one.name, one.label]));
  data.algorithms.forEach((one) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = one.name;
    button.style.color = one.color;
    button.setAttribute("aria-pressed", String(one.shown));
    button.addEventListener("click", () => {
      if (!hidden.delete(one.name)) hidden.add(one.name);
      button.setAttribute("aria-pressed", String(!hidden.has(one.name)));
      draw();
    });
    document.getElementById("names").append(button);
  });

  function chooseMetric() {
    const chosen = data.metrics.find((one) => one.name === metric.value);
    const counts = [...new Set(data.rows.filter((row) => row.metric === metric.value).map((row) => row.shots))];
    fill(shots, counts.sort((a, b) => b - a).map((count) => [count, String(count)]));
    log.checked = chosen.log;
    draw();
  }

  function draw() {
    const rows = data.rows.filter((row) =>
      row.metric === metric.value && row.shots === Number(shots.value) && !hidden.has(row.algorithm));
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${metric.value} by inner step` });
    const ends = rows.flatMap((row) => (bands.checked && row.low !== null ? [row.mean, row.low, row.high] : [row.mean]));
    const logarithmic = log.checked && ends.every((value) => value > 0);
    const scale = logarithmic ? Math.log : (value) => value;
    let [low, high] = [Math.min(...ends.map(scale)), Math.max(...ends.map(scale))];
    if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
    const margin = (high - low) * 0.04;
    [low, high] = [low - margin, high + margin];
    const steps = [...new Set(rows.map((row) => row.step))].sort((a, b) => a - b);
    const last = Math.max(steps[steps.length - 1] || 0, 1);
    const x = (step) => left + (step / last) * (width - left - right);
    const y = (value) => height - bottom - ((scale(value) - low) / (high - low)) * (height - top - bottom);

    for (const tick of ticks(low, high, logarithmic)) {
      svg.append(make("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), stroke: "#ddd" }));
      svg.append(make("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end", "font-size": 12 }, show(tick)));
    }
    for (const step of steps) {
      svg.append(make("text", { x: x(step), y: height - bottom + 18, "text-anchor": "middle", "font-size": 12 }, step));
    }
    svg.append(make("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", "font-size": 13 }, "inner step"));

    const label = data.metrics.find((one) => one.name === metric.value).label;
    const middle = (top + height - bottom) / 2;
    svg.append(make("text", { x: 14, y: middle, "text-anchor": "middle", "font-size": 13, transform: `rotate(-90 14 ${middle})` }, label));

    const labels = [];
    for (const one of data.algorithms) {
      const own = rows.filter((row) => row.algorithm === one.name).sort((a, b) => a.step - b.step);
      if (!own.length) continue;
      if (bands.checked && own.every((row) => row.low !== null && (!logarithmic || row.low > 0))) {
        const around = [...own.map((row) => [row.step, row.high]), ...own.map((row) => [row.step, row.low]).reverse()];
        const points = around.map(([step, value]) => `${x(step)},${y(value)}`).join(" ");
        svg.append(make("polygon", { points, fill: one.color, opacity: 0.08 }));
      }
      const points = own.map((row) => `${x(row.step)},${y(row.mean)}`).join(" ");
      svg.append(make("polyline", { points, fill: "none", stroke: one.color, "stroke-width": 2, "stroke-dasharray": one.dash }));
      for (const row of own) {
        const dot = make("circle", { cx: x(row.step), cy: y(row.mean), r: 4, fill: one.color });
        const ends = row.low === null ? "" : ` [${show(row.low)}, ${show(row.high)}]`;
        dot.append(make("title", {}, `${one.name}, step ${row.step}: ${show(row.mean)}${ends}`));
        svg.append(dot);
      }
      labels.push({ one, at: y(own[own.length - 1].mean) });
    }
    // Names stand beside the lines' ends, and none on another.
    labels.sort((a, b) => a.at - b.at);
    labels.forEach((label, place) => {
      label.y = place ? Math.max(label.at, labels[place - 1].y + 15) : label.at;
    });
    const over = labels.length ? labels[labels.length - 1].y - (height - 8) : 0;
    for (const label of labels) {
      svg.append(make("text", { x: width - right + 10, y: label.y + 4 - Math.max(over, 0), fill: label.one.color, "font-size": 13 }, label.one.name));
    }
    document.getElementById("chart").replaceChildren(svg);
  }

  function ticks(low, high, logarithmic) {
    if (logarithmic) {
      const found = [];
      const decades = (high - low) / Math.LN10;
      for (let power = Math.floor(low / Math.LN10); power <= high / Math.LN10; power += Math.max(1, Math.floor(decades / 6))) {
        for (const factor of decades > 2.5 ? [1] : decades > 0.8 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]) {
          const value = factor * 10 ** power;
          if (Math.log(value) >= low && Math.log(value) <= high) found.push(value);
        }
      }
      if (found.length > 1) return found;
      return [0.1, 0.5, 0.9].map((part) => Number(Math.exp(low + part * (high - low)).toPrecision(4)));
    }
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
    const found = [];
    for (let number = Math.ceil(low / step); number * step <= high; number++) found.push(number * step);
    return found;
  }

  metric.addEventListener("change", chooseMetric);
  for (const control of [shots, bands, log]) control.addEventListener("change", draw);
  chooseMetric();
}
