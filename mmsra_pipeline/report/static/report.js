// Shows one user at a time out of the data beside it. Text is set as text, never as markup: titles are not trusted.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("case"), pick = document.getElementById("pick");
  const find = document.getElementById("find"), count = document.getElementById("count");
  const KINDS = { good: "Good: chosen by rule", median: "Median: chosen by rule", bad: "Bad: chosen by rule", test: "Others", served: "Users" };
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }
  const item = (number) => {
    const [id, title, seen, read, picture] = data.items[number];
    return { id, title, seen, read, picture };
  };
  const percent = (p) => (p === null ? "–" : p.toFixed(3));

  function picture(of, small = false) {
    if (of.picture) return element("img", { src: "pictures/" + of.picture, alt: "", loading: "lazy", ...(small ? { width: 40, height: 40 } : { width: 128, height: 128 }) });
    return small ? null : element("span", { class: "no-picture" }, "no picture");
  }
  function words(of, shared = []) {
    const line = element("p", {});
    of.seen.forEach((word) => line.append(element("span", { class: shared.includes(word) ? "word seen shared" : "word seen", title: "of the picture" }, word), " "));
    of.read.forEach((word) => { if (!of.seen.includes(word)) line.append(element("span", { class: shared.includes(word) ? "word shared" : "word", title: "of the text" }, word), " "); });
    return line;
  }
  function card(number, said, options = {}) {
    const of = item(number);
    return element("li", { class: options.target ? "card target" : "card" }, picture(of), element("div", {},
      said ? element("p", { class: "place" }, said) : null, element("h3", {}, of.title), words(of, options.shared), ...(options.more || [])));
  }
  const cards = (entries) => element("ul", { class: "cards" }, ...entries);

  function section(title, ...children) {
    return element("section", {}, element("h2", {}, title), ...children);
  }
  function table(caption, head, rows) {
    return element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, element("table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows)));
  }
  function bar(change, most) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "-50 0 100 10");
    svg.setAttribute("class", "bar");
    svg.setAttribute("aria-hidden", "true");
    const length = most ? (48 * Math.abs(change)) / most : 0;
    const parts = [["rect", { x: change < 0 ? -length : 0, y: 1, width: length, height: 8, class: change < 0 ? "down" : "up" }],
      ["line", { x1: 0, y1: 0, x2: 0, y2: 10, class: "reference" }]];
    for (const [name, attributes] of parts) {
      const part = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
      svg.append(part);
    }
    return svg;
  }
  function explanation(entry, why) {
    const of = item(why.item);
    const most = Math.max(0.01, ...why.without.map(([, , , change]) => Math.abs(change)));
    const rows = why.without.map(([part, left, p, change]) => {
      const named = left === null ? part : part + ": " + item(left).title;
      return element("tr", {}, element("th", { scope: "row", class: "item" }, named), element("td", {}, percent(p)),
        element("td", {}, (change < 0 ? "−" : "+") + Math.abs(change).toFixed(3)), element("td", {}, bar(change, most)));
    });
    const candidate = entry.candidates && entry.candidates.find(([number]) => number === why.item);
    const role = candidate && candidate[1] ? " (what came next)" : "";
    return [element("p", {}, of.title + role + ": p(Yes) of the language model is " + percent(why.p) + " with all."),
      table("What leaving out a part does to p of " + of.title, ["left out", "p without", "change", "down or up"], rows)];
  }
  function candidates(entry) {
    const rows = entry.candidates.map(([number, next, places, model, served, classes, shared]) => {
      const of = item(number);
      const name = element("th", { scope: "row", class: "item" }, picture(of, true), of.title, next ? element("strong", {}, " ← came next") : null);
      const evidence = data.evidence.map((word, at) => word + (classes[at] < 0 ? "-" : classes[at])).join(" ");
      return element("tr", next ? { class: "target" } : {}, name, element("td", {}, shared.join(", ") || "–"),
        element("td", {}, percent(served)), element("td", {}, percent(model)), ...places.map((rank) => element("td", {}, String(rank))), element("td", {}, evidence));
    });
    return table("Candidates, the best of what is served first: p and the rank under each row",
      ["item", "shared keywords", "p served", "p(Yes)", ...data.rows, "evidence"], rows);
  }
  function show(entry) {
    place.replaceChildren();
    const last = entry.history.length, before = entry.history_length - last;
    const when = entry.at ? ", " + entry.at : "";
    const history = section(entry.list ? "History" : entry.label + ": history", element("p", {}, entry.history_length + " taken before" + when + (before > 0 ? "; the last " + last + " are shown" : "") + ". The latest stands last."),
      cards(entry.history.map((number, at) => card(number, (before + at + 1) + "."))));
    if (!entry.list) place.append(history);
    if (entry.list) {
      place.append(section(entry.label + ": recommended", cards(entry.list.map(([number, p, model, rank, shared], at) => card(number, "", { shared, more: [
        element("p", {}, element("span", { class: "p" }, (at + 1) + ". p " + percent(p))),
        element("p", { class: "text" }, "language model " + percent(model) + ", first stage: place " + rank),
        element("p", { class: "text" }, shared.length ? "Shared with the history: " + shared.join(", ") : "No keyword is shared with the history.")] })))));
    }
    const parts = section(entry.list ? "Why: what leaving out a part does to p" : "What leaving out a part does to p");
    if (entry.explained) {
      entry.explained.forEach((why) => parts.append(...explanation(entry, why)));
      if (entry.list) place.append(parts);
    }
    if (entry.list) place.append(history);
    if (entry.similar.length) {
      place.append(section("Similar users took next", cards(entry.similar.map(([number, cosine]) => card(number, "likeness " + cosine.toFixed(2))))));
    }
    if (entry.candidates) {
      const next = entry.candidates.find(([, came]) => came);
      if (next) place.append(section("What came next", cards([card(next[0], "", { target: true, shared: next[6] })])));
      if (entry.explained) place.append(parts);
      place.append(section("Candidates under several rows", candidates(entry)));
    }
    if (!entry.explained) {
      parts.append(element("p", {}, "Not computed for this user: that takes the recommender, so it is done for a few (setting report.explained_cases), marked “explained” above."));
      place.append(parts);
    }
  }

  const text = new Map();
  function textOf(entry) {
    if (!text.has(entry)) {
      const numbers = [...entry.history, ...(entry.candidates || []).map(([number]) => number), ...(entry.list || []).map(([number]) => number)];
      const named = numbers.map((number) => { const of = item(number); return [of.id, of.title, ...of.seen, ...of.read].join(" "); });
      text.set(entry, (entry.label + " " + named.join(" ")).toLowerCase());
    }
    return text.get(entry);
  }
  let matching = data.cases;
  function choose(entry) {
    if (!entry) { place.replaceChildren(element("p", {}, "Nobody fits.")); return; }
    pick.value = String(data.cases.indexOf(entry));
    show(entry);
  }
  function list() {
    const wanted = find.value.trim().toLowerCase();
    const exact = data.cases.filter((entry) => entry.label.toLowerCase() === wanted || String(entry.case) === wanted);
    matching = !wanted ? data.cases : exact.length ? exact : data.cases.filter((entry) => textOf(entry).includes(wanted));
    pick.replaceChildren();
    for (const [kind, title] of Object.entries(KINDS)) {
      const own = matching.filter((entry) => entry.kind === kind).sort((a, b) => Number(!a.explained) - Number(!b.explained));
      if (own.length) pick.append(element("optgroup", { label: title }, ...own.map((entry) =>
        element("option", { value: String(data.cases.indexOf(entry)) }, entry.label + (entry.explained ? " (explained)" : "")))));
    }
    matching = [...pick.options].map((option) => data.cases[Number(option.value)]);
    count.textContent = matching.length + " of " + data.cases.length + " users";
  }
  function step(by) {
    const at = matching.indexOf(data.cases[Number(pick.value)]);
    choose(matching[(at + by + matching.length) % matching.length]);
  }
  document.querySelector(".pick").addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", () => { list(); choose(matching[0]); });
  pick.addEventListener("change", () => choose(data.cases[Number(pick.value)]));
  document.getElementById("before").addEventListener("click", () => step(-1));
  document.getElementById("after").addEventListener("click", () => step(1));
  const asked = decodeURIComponent(location.hash.replace(/^#/, ""));
  if (asked) find.value = asked;
  list();
  choose(matching[0]);
})();
