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
  const distances = unpack(data.distances);
  const errors = unpack(data.errors);
  const prompts = rows.map((row) => row.querySelector(".prompt").textContent);
  let pinned = null;
  let source = null; // of the spots, which can be selected
  let art = null; // of what is drawn on and beside them
  let clusterColours = null;

  const change = (columns) => {
    for (const each of [source, art]) each.data = { ...each.data, ...columns };
  };
  const add = (parent, tag, className, text) => {
    const node = parent.appendChild(document.createElement(tag));
    node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const apart = (a, b) => {
    const error = errors[a * n + b];
    return distances[a * n + b].toFixed(2) + (Number.isFinite(error) ? ` ± ${error.toFixed(2)}` : "");
  };

  const fill = (card, index) => {
    card.replaceChildren();
    add(card, "p", "name", prompts[index]);
    const pictures = add(card, "div", "pictures");
    for (const image of rows[index].querySelectorAll("img")) pictures.append(image.cloneNode());
    card.append(rows[index].querySelector(".neighbours").cloneNode(true));
    if (pinned !== null && pinned !== index) {
      add(card, "p", "away", `${apart(pinned, index)} from “${prompts[pinned]}”`);
    }
  };

  const hover = (indices, at) => {
    const card = byId("card");
    card.hidden = indices.length === 0;
    if (card.hidden) return;
    fill(card, indices[0]);
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

  const pin = (indices) => {
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
      const away = Array.from(distances.subarray(pinned * n, (pinned + 1) * n));
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

  const search = () => {
    const wanted = byId("search").value.trim().toLowerCase();
    const hits = prompts.map((prompt) => prompt.toLowerCase().includes(wanted));
    rows.forEach((row, i) => { row.hidden = !hits[i]; });
    change({ alpha: hits.map((hit) => (hit ? 1 : 0.12)) });
    byId("found").textContent = wanted ? `${hits.filter(Boolean).length} of ${n} prompts` : "";
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
    const select = (indices) => { source.selected.indices = indices; };
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
