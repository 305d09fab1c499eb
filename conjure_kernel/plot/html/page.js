"use strict";
// The page around the map. The table is the one place that holds prompts and images: cards are
// made of its rows by textContent and cloned nodes, so nothing in a prompt is ever read as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll("tbody tr")];
  const data = JSON.parse(byId("data").textContent);
  const n = rows.length;
  const unpack = (text) =>
    new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const [distances, errors, vectors] = ["distances", "errors", "vectors"].map(
    (name) => (data[name] === undefined ? null : unpack(data[name])));
  const prompts = rows.map((row) => row.querySelector(".prompt").textContent);
  let pinned = null;
  let source = null; // of the spots, which can be selected
  let art = null; // of what is drawn on and beside them
  let clusterColours = null;

  const change = (columns) => {
    source.data = { ...source.data, ...columns };
    const shown = Object.entries(columns).map(
      ([name, values]) => [name, data.shown.map((i) => values[i])]);
    art.data = { ...art.data, ...Object.fromEntries(shown) };
  };
  const add = (parent, tag, className, text) => {
    const node = parent.appendChild(document.createElement(tag));
    node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const distance = (a, b) => {
    if (distances !== null) return distances[a * n + b];
    const size = vectors.length / n;
    let sum = 0;
    for (let k = 0; k < size; k += 1) sum += (vectors[a * size + k] - vectors[b * size + k]) ** 2;
    return Math.sqrt(sum);
  };
  const apart = (a, b) => {
    const error = errors === null ? NaN : errors[a * n + b];
    return distance(a, b).toFixed(2) + (Number.isFinite(error) ? ` ± ${error.toFixed(2)}` : "");
  };

  const fill = (card, index) => {
    card.replaceChildren();
    add(card, "p", "name", prompts[index]);
    const pictures = add(card, "div", "pictures");
    for (const image of rows[index].querySelectorAll("img")) pictures.append(image.cloneNode());
    card.append(rows[index].querySelector(".neighbors").cloneNode(true));
    if (pinned !== null && pinned !== index) {
      add(card, "p", "away", `${apart(pinned, index)} from “${prompts[pinned]}”`);
    }
  };

  const images = new Set(data.shown);
  const topmost = (indices) => indices.find((i) => images.has(i)) ?? indices.at(-1);

  const hover = (indices, at) => {
    const card = byId("card");
    card.hidden = indices.length === 0;
    if (card.hidden) return;
    fill(card, topmost(indices));
    const box = document.querySelector(".map").getBoundingClientRect();
    const left = box.left + at.sx + 18;
    const flip = left + card.offsetWidth > document.documentElement.clientWidth;
    card.style.left = `${Math.max(0, window.scrollX + (flip ? left - card.offsetWidth - 36 : left))}px`;
    card.style.top = `${window.scrollY + box.top + at.sy + 12}px`;
  };

  const colourOf = (share) => {
    const last = data.hues.length - 1;
    return data.hues[Math.max(0, Math.min(last, Math.round(share * last)))];
  };

  const select = (indices) => { source.selected.indices = indices; };

  const pin = (indices) => {
    if (indices.length > 1) { // what lies on each other is hit at once
      select([topmost(indices)]);
      return;
    }
    pinned = indices.length ? indices[0] : null;
    byId("unpin").disabled = pinned === null;
    rows.forEach((row, i) => {
      row.classList.toggle("pinned", i === pinned);
      row.querySelector(".prompt").setAttribute("aria-pressed", String(i === pinned));
    });
    const panel = byId("panel");
    panel.replaceChildren();
    if (pinned === null) {
      change({ colour: clusterColours });
      add(panel, "p", "hint", "Nothing is pinned: colours are clusters.");
    } else {
      const away = prompts.map((_, i) => distance(pinned, i));
      const others = away.filter((_, i) => i !== pinned);
      const [low, high] = others.length ? [Math.min(...others), Math.max(...others)] : [0, 1];
      change({ colour: away.map((d) => colourOf((d - low) / (high - low || 1))) });
      fill(panel, pinned);
      const scale = add(panel, "div", "scale");
      scale.style.background = `linear-gradient(to right, ${data.hues.join(", ")})`;
      const ends = add(panel, "p", "ends");
      add(ends, "span", "", `near, ${low.toFixed(1)}`);
      add(ends, "span", "", `far, ${high.toFixed(1)}`);
    }
  };

  const plain = (text) => text.replace(/[\s\u2400-\u241f]+/g, " ").trim().toLowerCase();

  const search = () => {
    const wanted = plain(byId("search").value);
    const hits = prompts.map((prompt) => plain(prompt).includes(wanted));
    let room = data.most_rows;
    rows.forEach((row, i) => { row.hidden = !(hits[i] && room-- > 0); });
    change({ alpha: hits.map((hit) => (hit ? 1 : 0.12)) });
    byId("hits").textContent = wanted ? `${hits.filter(Boolean).length} of ${n} prompts` : "";
  };

  const paint = (dark) => {
    document.documentElement.classList.toggle("dark", dark);
    const labels = Bokeh.documents[0].get_model_by_name("labels");
    if (labels) labels.glyph.text_color = { value: dark ? "#ececf1" : "#2b2b33" };
  };

  const start = () => {
    source = Bokeh.documents[0].get_model_by_name("points");
    art = Bokeh.documents[0].get_model_by_name("art");
    clusterColours = source.data.colour;
    change({ url: rows.map((row) => row.querySelector("img")?.src ?? "") });
    rows.forEach((row, i) => {
      row.querySelector(".prompt").addEventListener("click", () => select(i === pinned ? [] : [i]));
    });
    byId("unpin").addEventListener("click", () => select([]));
    byId("search").addEventListener("input", search);
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    paint(dark.matches);
    dark.addEventListener("change", (event) => paint(event.matches));
    byId("theme").addEventListener("click", () =>
      paint(!document.documentElement.classList.contains("dark")));
    document.documentElement.dataset.ready = "yes";
  };

  const wait = () => (window.Bokeh?.documents?.length ? start() : setTimeout(wait, 20));
  window.conjure = { hover, pin };
  wait();
})();
