// The same data as a table, for keyboards and screen readers: of what is searched for, in pieces.
const PIECE = 100;
let listed = []; // positions of the prompts that the table is about
const rows = new Map();

const showRow = (index) => {
  const row = document.createElement("tr");
  row.dataset.index = index;
  const box = add(add(row, "td"), "input");
  Object.assign(box, { type: "checkbox", checked: state.selected.has(index) });
  box.setAttribute("aria-label", `Select “${prompts[index]}”`);
  box.addEventListener("change", () => toggle(index));
  const pinning = add(add(row, "th"), "button", "link prompt", prompts[index]);
  row.lastChild.scope = "row";
  pinning.type = "button";
  pinning.addEventListener("click", () => {
    pin(index === state.pinned ? null : index);
    if (state.pinned !== null) flyTo([index]);
  });
  const of = add(row, "td");
  const cluster = levels[0].of[index];
  swatch(of, cluster < 0 ? GREY : paletteOf(cluster), Math.max(0, cluster));
  add(of, "span", "", clusterPath(index));
  if (pictures.length) {
    const images = add(row, "td", "images");
    for (const [k, uri] of (picturesOf.get(index) ?? []).entries()) {
      Object.assign(add(images, "img"), { src: uri, alt: `Image ${k + 1} conjured by “${prompts[index]}”` });
    }
  }
  const list = add(add(row, "td"), "ol", "neighbors");
  for (const [i, away] of nearest(index)) {
    const item = add(list, "li", "", `${prompts[i]} `);
    add(item, "span", "number", away);
  }
  return row;
};

const markRow = (row, index) => {
  row.classList.toggle("pinned", index === state.pinned);
  row.querySelector(".prompt").setAttribute("aria-pressed", String(index === state.pinned));
  row.querySelector("input").checked = state.selected.has(index);
};

const showMore = () => {
  const from = rows.size;
  for (const index of listed.slice(from, from + PIECE)) {
    const row = byId("rows").appendChild(showRow(index));
    rows.set(index, row);
    markRow(row, index);
  }
  const left = listed.length - rows.size;
  byId("more").hidden = left === 0;
  byId("more").textContent = `Show ${Math.min(PIECE, left)} more of ${left.toLocaleString("en")}`;
};

const showTable = () => {
  listed = state.hits ?? d3.range(n);
  rows.clear();
  byId("rows").replaceChildren();
  showMore();
};

const startTable = () => {
  const mark = () => rows.forEach(markRow);
  events.on("pin.table", mark);
  events.on("select.table", mark);
  events.on("search.table", showTable);
  byId("more").addEventListener("click", () => {
    const from = rows.size;
    showMore();
    rows.get(listed[from])?.querySelector("button").focus();
  });
  showTable();
};
