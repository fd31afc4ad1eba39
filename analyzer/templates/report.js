// Sorts and filters tables, and lets charts be read second by second and zoomed, all of them together.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const make = (name, attributes = {}, ...inside) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...inside);
    return element;
  };
  const draw = (name, attributes = {}) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // --- tables

  const keyOf = (cell) => {
    if (!cell) return null;
    if (cell.dataset.v === undefined) return cell.textContent.trim();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other
      : String(one).localeCompare(String(other), "en", { numeric: true });

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        const numeric = head.classList.contains("n");
        const down = was ? was === "ascending" : numeric;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
        // What is not known stands last, whichever way the others go.
        rows.sort(([one], [other]) =>
          one === null || other === null ? (one === null) - (other === null)
            : (down ? -1 : 1) * compare(one, other));
        body.append(...rows.map(([, row]) => row));
      });
    });
    if (body.rows.length > 12) {
      const box = make("input", { type: "search", placeholder: "filter" });
      const label = make("label", { class: "filter" }, "Rows with ", box);
      const told = make("span", { class: "faint", role: "status" });
      label.append(" ", told);
      box.addEventListener("input", () => {
        const wanted = box.value.toLowerCase();
        let seen = 0;
        for (const row of body.rows) {
          row.hidden = !row.textContent.toLowerCase().includes(wanted);
          seen += !row.hidden;
        }
        told.textContent = wanted ? `${seen} of ${body.rows.length}` : "";
      });
      table.parentElement.before(label);
    }
  }

  // A table that is wider than the page can be scrolled with the keyboard, too.
  const scrollers = [...document.querySelectorAll(".scroll")];
  const reach = () => {
    for (const scroller of scrollers) {
      if (scroller.scrollWidth > scroller.clientWidth) scroller.tabIndex = 0;
      else scroller.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reach);
  reach();

  // --- texts

  const clock = (seconds, fine) => {
    const whole = Math.floor(seconds);
    const parts = [Math.floor(whole / 60) % 60, whole % 60];
    const text = whole >= 3600
      ? [Math.floor(whole / 3600), ...parts].map((part, at) => (at ? String(part).padStart(2, "0") : part)).join(":")
      : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
    return fine && seconds !== whole ? text + (seconds - whole).toFixed(1).slice(1) : text;
  };
  const number = (value) =>
    value.toLocaleString("en", value >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 });
  const written = (value, unit) => {
    if (value === null || value === undefined) return "–";
    if (unit !== " ms") return number(value) + unit;
    if (value < 1) return `${number(value * 1000)} µs`;
    return value < 1000 ? `${number(value)} ms` : `${number(value / 1000)} s`;
  };

  // --- charts

  const view = { from: 0, to: data.end };
  let cursor = null;
  const charts = [];
  const changed = { zoom: [], cursor: [] };
  const tell = (what) => changed[what].forEach((listener) => listener());

  const zoom = (from, to) => {
    const length = clamp(to - from, Math.min(data.end, 4), data.end);
    view.from = clamp(from, 0, data.end - length);
    view.to = view.from + length;
    tell("zoom");
    tell("cursor");
  };
  const scale = (factor) => {
    const middle = cursor !== null && cursor >= view.from && cursor <= view.to ? cursor : (view.from + view.to) / 2;
    zoom(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
  };
  const pan = (share) => {
    const by = (view.to - view.from) * share;
    zoom(view.from + by, view.to + by);
  };
  const read = (second) => {
    cursor = second === null ? null : clamp(second, 0, data.end);
    tell("cursor");
  };

  const ticks = (from, to, wanted) => {
    const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
    const step = steps.find((one) => (to - from) / one <= wanted) ?? 86400;
    const found = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
    return found;
  };

  // What Vega drew is moved and stretched in place: it has no life of its own here.
  const bind = (svg, number_) => {
    const frame = svg.querySelector(".role-frame > g");
    const size = /h([\d.]+)v([\d.]+)/.exec(frame.querySelector(":scope > .background").getAttribute("d"));
    const [width, height] = [Number(size[1]), Number(size[2])];
    const clip = draw("clipPath", { id: `clip-${number_}` });
    clip.append(draw("rect", { width, height }));
    svg.prepend(clip);
    const moving = [...svg.querySelectorAll('[class*=" time_"]')].filter((one) => !one.parentElement.closest('[class*=" time_"]'));
    const texts = [];
    for (const group of moving) {
      const wrapper = draw("g", { "clip-path": `url(#clip-${number_})` });
      group.replaceWith(wrapper);
      wrapper.append(group);
      if (!group.classList.contains("mark-text")) continue;
      for (const text of group.querySelectorAll("text")) {
        const place = /translate\(([-\d.e]+),\s*([-\d.e]+)\)/.exec(text.getAttribute("transform"));
        // Five pixels beside its moment, on one side or the other.
        const beside = text.getAttribute("text-anchor") === "end" ? -5 : 5;
        texts.push({ text, x: Number(place[1]) - beside, y: Number(place[2]), beside });
      }
    }
    const shapes = moving.filter((group) => !group.classList.contains("mark-text"));
    const axis = [...svg.querySelectorAll(".role-axis > g")].find((one) =>
      one.querySelector(".role-axis-label") && Math.abs(Number(/,([-\d.]+)\)/.exec(one.getAttribute("transform"))[1]) - height) < 2);
    const marks = axis.querySelector(".role-axis-tick");
    const labels = axis.querySelector(".role-axis-label");
    const drawn = { marks: [...marks.children], labels: [...labels.children] };
    const line = draw("line", { class: "cursor", y1: 0, y2: height });
    const brush = draw("rect", { class: "brush", y: 0, height });
    line.style.display = brush.style.display = "none";
    frame.append(brush, line);
    const at = (second) => ((second - view.from) / (view.to - view.from)) * width;

    changed.zoom.push(() => {
      const times = data.end / (view.to - view.from);
      const left = (-view.from / data.end) * width * times;
      for (const shape of shapes) shape.setAttribute("transform", `translate(${left} 0) scale(${times} 1)`);
      for (const { text, x, y, beside } of texts) text.setAttribute("transform", `translate(${x * times + left + beside},${y})`);
      if (times === 1) {
        marks.replaceChildren(...drawn.marks);
        labels.replaceChildren(...drawn.labels);
        return;
      }
      const [mark, label] = [drawn.marks[0], drawn.labels[0]];
      const y = /,([-\d.]+)\)/.exec(label.getAttribute("transform"))[1];
      const places = ticks(view.from, view.to, width > 500 ? 9 : 4);
      marks.replaceChildren(...places.map((second) => {
        const one = mark.cloneNode(true);
        one.setAttribute("transform", `translate(${at(second)},0)`);
        return one;
      }));
      labels.replaceChildren(...places.map((second) => {
        const one = label.cloneNode(true);
        one.textContent = clock(second, true);
        one.setAttribute("text-anchor", at(second) > width - 15 ? "end" : "middle");
        one.setAttribute("transform", `translate(${at(second)},${y})`);
        return one;
      }));
    });
    changed.cursor.push(() => {
      const shown = cursor !== null && cursor >= view.from && cursor <= view.to;
      line.style.display = shown ? "" : "none";
      if (shown) line.setAttribute("transform", `translate(${at(cursor)} 0)`);
    });
    return {
      brush,
      height,
      at,
      /** Run time and height in the plot under a pointer; the time may lie outside the plot. */
      under: (event) => {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(frame.getScreenCTM().inverse());
        return { second: view.from + (point.x / width) * (view.to - view.from), x: point.x, y: point.y };
      },
    };
  };

  const lineText = (chart, second) => {
    const index = clamp(Math.floor(second / chart.step), 0, chart.t.length - 1);
    const from = index * chart.step;
    const when = chart.step > 1 ? `${clock(from)} to ${clock(from + chart.step)}` : clock(from);
    return { when, values: Object.entries(chart.series).map(([name, values]) => ({
      name: name.replaceAll("_", " "), colour: chart.colours[name], text: written(values[index], chart.unit) })) };
  };
  const edge = (bucket) => ((4 + (bucket % 4)) * 2 ** Math.floor(bucket / 4)) / 1000;
  const between = (bucket) => `${written(edge(bucket), " ms")} to ${written(edge(bucket + 1), " ms")}`;
  const heatText = (chart, second, share) => {
    const index = Math.floor(second / chart.step);
    const column = new Map(chart.columns[index] ?? []);
    const when = chart.step > 1 ? `${clock(index * chart.step)} to ${clock((index + 1) * chart.step)}` : clock(index);
    const found = [...column.entries()];
    if (!found.length) return { when, values: [{ name: "ok requests", text: "none" }] };
    const sum = found.reduce((total, [, count]) => total + count, 0);
    const most = found.reduce((one, other) => (other[1] > one[1] ? other : one));
    const values = [
      { name: "ok requests", text: number(sum) },
      { name: "most", text: between(most[0]) },
      { name: "slowest", text: between(found[found.length - 1][0]) },
    ];
    if (share !== undefined && share >= 0 && share <= 1) {
      const us = 1000 * chart.domain[0] * (chart.domain[1] / chart.domain[0]) ** (1 - share);
      const octave = Math.floor(Math.log2(us)) - 2;
      const bucket = 4 * octave + Math.floor(us / 2 ** octave) - 4;
      values.unshift({ name: between(bucket), text: `${number(column.get(bucket) ?? 0)} requests` });
    }
    return { when, values };
  };

  let bound = 0;
  for (const figure of document.querySelectorAll("figure.chart")) {
    const chart = data.charts[figure.dataset.chart];
    const plots = [...figure.querySelectorAll("svg.marks")].map((svg) => [svg, bind(svg, (bound += 1))]);
    const readout = make("div", { class: "readout", "aria-hidden": "true" });
    const area = figure.querySelector(".plot");
    area.before(readout);
    let share;
    if (chart) {
      for (const [key, value] of Object.entries({
        role: "slider", tabindex: 0, "aria-orientation": "horizontal", "aria-valuemin": 0, "aria-valuemax": data.end,
        "aria-valuenow": 0, "aria-valuetext": "whole run", "aria-label": `${figure.dataset.title}, second by second`,
      })) area.setAttribute(key, value);
      changed.cursor.push(() => {
        readout.replaceChildren();
        if (cursor === null) return;
        const told = chart.columns ? heatText(chart, cursor, share) : lineText(chart, cursor);
        readout.append(make("b", {}, told.when));
        for (const { name, colour, text } of told.values) {
          const item = make("span");
          if (colour) {
            const swatch = draw("svg", { width: 9, height: 9, viewBox: "0 0 9 9" });
            swatch.append(draw("rect", { width: 9, height: 9, fill: colour }));
            item.append(swatch);
          }
          item.append(` ${name} `, make("b", {}, text));
          readout.append(item);
        }
        area.setAttribute("aria-valuenow", Math.floor(cursor));
        area.setAttribute("aria-valuetext",
          `${told.when}: ${told.values.map(({ name, text }) => `${name} ${text}`).join(", ")}`);
      });
      area.addEventListener("keydown", (event) => {
        const step = Math.max(1, chart.step ?? 1) * (event.shiftKey ? 10 : 1);
        const here = cursor ?? view.from;
        const actions = {
          ArrowRight: () => read(cursor === null ? here : here + step), ArrowUp: () => read(here + step),
          ArrowLeft: () => read(here - step), ArrowDown: () => read(here - step),
          PageUp: () => pan(0.5), PageDown: () => pan(-0.5), Home: () => read(view.from), End: () => read(view.to - 1),
          "+": () => scale(0.5), "=": () => scale(0.5), "-": () => scale(2),
          0: () => zoom(0, data.end), Escape: () => { read(null); zoom(0, data.end); },
        };
        if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        share = undefined;
        actions[event.key]();
        if (cursor !== null && (cursor < view.from || cursor > view.to) && event.key.startsWith("Arrow")) {
          const half = (view.to - view.from) / 2;
          zoom(cursor - half, cursor + half);
        }
      });
    }
    for (const [svg, plot] of plots) {
      let since = null;
      const inside = (event) => {
        const place = plot.under(event);
        return place.x >= 0 && place.y >= 0 && place.y <= plot.height ? place : null;
      };
      svg.addEventListener("pointermove", (event) => {
        const place = plot.under(event);
        share = place.y / plot.height;
        if (since !== null) {
          const [left, right] = [Math.min(since.x, place.x), Math.max(since.x, place.x)];
          plot.brush.style.display = right - left > 3 ? "" : "none";
          plot.brush.setAttribute("x", Math.max(left, 0));
          plot.brush.setAttribute("width", Math.max(right - Math.max(left, 0), 0));
        }
        read(place.second < view.from || place.second > view.to ? cursor : place.second);
      });
      svg.addEventListener("pointerdown", (event) => {
        if (event.button === 0 && event.isPrimary) since = inside(event);
        if (since !== null && event.pointerType === "mouse") svg.setPointerCapture(event.pointerId);
      });
      svg.addEventListener("pointerup", (event) => {
        const place = plot.under(event);
        plot.brush.style.display = "none";
        if (since !== null && Math.abs(place.x - since.x) > 6) {
          zoom(...[since.second, place.second].map(Math.round).sort((one, other) => one - other));
        }
        since = null;
      });
      svg.addEventListener("pointercancel", () => { since = null; plot.brush.style.display = "none"; });
      svg.addEventListener("pointerleave", (event) => {
        if (event.pointerType === "mouse" && since === null) read(null);
      });
      svg.addEventListener("dblclick", () => zoom(0, data.end));
    }
  }

  const bar = document.getElementById("zoom");
  if (bar && bound) {
    const told = make("span", { class: "range", role: "status" });
    const button = (text, label, action) => {
      const one = make("button", { type: "button", "aria-label": label, title: label }, text);
      one.addEventListener("click", action);
      return one;
    };
    bar.append(
      button("−", "Zoom out", () => scale(2)), button("+", "Zoom in", () => scale(0.5)),
      button("◂", "Earlier", () => pan(-0.5)), button("▸", "Later", () => pan(0.5)),
      button("whole run", "Show the whole run", () => zoom(0, data.end)),
      ...data.phases.map(([name, from, to]) => button(name, `Zoom to phase ${name}`, () => zoom(from, to))),
      told,
    );
    bar.hidden = false;
    changed.zoom.push(() => {
      told.textContent = view.to - view.from < data.end
        ? `${clock(view.from, true)} to ${clock(view.to, true)}` : "Drag over a chart to zoom all of them.";
    });
    zoom(0, data.end);
  }

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
