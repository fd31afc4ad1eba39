// The tabs that loadproof adds below Locust's page: asks once a second how the run stands, and draws what it is told.
"use strict";
(() => {
  const EVERY_MS = 1000;
  const make = (name, attributes = {}, ...inside) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...inside);
    return element;
  };
  const strip = make("div", { id: "loadproof-strip", role: "status" });
  const panel = make("section", { id: "loadproof-panel" });
  let latest = null;
  let drawn = "";

  const openTab = () => new URL(window.location.href).searchParams.get("tab");

  const cell = (content) => {
    if (typeof content === "string") return make("td", {}, content);
    return make("td", {}, make("span", { class: `mark ${content.mark}` }, content.text));
  };

  const drawTable = ({ title, columns, rows, note }) => {
    const parts = [make("h2", {}, title)];
    if (rows.length) {
      const table = make("table", {}, make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))));
      const head = make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column)));
      if (columns.length) table.prepend(make("thead", {}, head));
      parts.push(make("div", { class: "scroll" }, table));
    }
    if (note) parts.push(make("p", {}, note));
    return make("article", {}, ...parts);
  };

  const drawTimeline = ({ title, timeline, at }) => {
    const bar = make("div", { class: "timeline" });
    for (const { name, share } of timeline) {
      const phase = make("div", { title: name }, name);
      phase.style.flexGrow = String(share);
      bar.append(phase);
    }
    if (at !== null) {
      const now = make("i", { "aria-hidden": "true" });
      now.style.left = `${100 * at}%`;
      bar.append(now);
    }
    return make("article", {}, make("h2", {}, title), bar);
  };

  const drawFiles = (files) => {
    const lists = files.map(({ run, files: names }) => {
      const links = names.flatMap((name) => {
        const href = `./runs/${encodeURIComponent(run)}/${name}`;
        const link = make("a", { href: `${href}?download`, download: "" }, name);
        if (name !== "report.html") return [make("li", {}, link)];
        const open = make("a", { href, target: "_blank", rel: "noopener" }, "open the report");
        return [make("li", { class: "first" }, open), make("li", {}, link)];
      });
      return make("article", {}, make("h2", {}, `Run ${run}`), make("ul", {}, ...links));
    });
    if (lists.length) return lists;
    const note = make("p", {}, "The reports of a run stand here when it has ended.");
    return [make("article", {}, make("h2", {}, "Reports of loadproof"), note)];
  };

  const draw = () => {
    if (!latest) return;
    // Before a run Locust shows no tabs: what the plan is about to do is what there is to see.
    const tab = document.querySelector("[role=tab]") ? openTab() : "phases";
    const shown = JSON.stringify([tab, latest]);
    if (shown === drawn) return;
    drawn = shown;
    const verdict = latest.verdict
      ? [make("span", { class: `mark ${latest.verdict.toLowerCase()}` }, latest.verdict)]
      : [];
    const said = latest.said ? [make("span", { class: "said" }, latest.said)] : [];
    strip.replaceChildren(make("b", {}, latest.title), make("span", {}, latest.state), ...verdict, ...said);
    panel.className = tab;
    if (tab === "reports") panel.replaceChildren(...drawFiles(latest.files));
    else {
      const tables = latest.tabs[tab] || [];
      panel.replaceChildren(...tables.map((one) => (one.timeline ? drawTimeline(one) : drawTable(one))));
    }
  };

  // The plan says what Locust's form for a new run asks; its fields show it, and the moment is what is left to choose.
  const lockForm = () => {
    if (!latest) return;
    for (const input of document.querySelectorAll("form input[name=host]")) {
      for (const field of input.form.querySelectorAll("input")) {
        if (field.readOnly) continue;
        field.readOnly = true;
        // After an edit Locust would ask for the edited number again.
        if (field.name === "userCount") field.value = latest.users;
        field.title = "as the plan says; flags of loadproof change it";
      }
    }
  };

  const ask = async () => {
    try {
      const answer = await fetch("./loadproof/live", { cache: "no-store" });
      if (answer.status === 401) window.location.reload();
      if (answer.ok) latest = await answer.json();
      document.documentElement.classList.toggle("loadproof-lost", !answer.ok);
    } catch {
      document.documentElement.classList.add("loadproof-lost");
      strip.replaceChildren(make("b", {}, "loadproof has ended, or cannot be reached"));
      latest = null;
      drawn = "";
    }
    window.setTimeout(ask, EVERY_MS);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const root = document.getElementById("root");
    root.before(strip);
    // Locust's page has no word for a change of tab or theme; looking is cheap.
    window.setInterval(() => {
      document.documentElement.classList.toggle("loadproof-dark", isDark());
      const main = root.querySelector("main");
      if (main && main.lastElementChild !== panel) main.append(panel);
      draw();
    }, 100);
    // Before anybody can press what the form has for pressing.
    new MutationObserver(lockForm).observe(document.body, { childList: true, subtree: true });
    ask();
  });

  const isDark = () => {
    const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return red + green + blue < 384;
  };
})();
