// Colours of the prompts: by cluster, by distance from the pinned prompt, or by a column.
const GREY = "#85858f";
const paletteOf = (k) => data.palette[k % data.palette.length];
const hueOf = (share) => {
  const last = data.hues.length - 1;
  return data.hues[Math.max(0, Math.min(last, Math.round(share * last)))];
};

const colourings = () => [
  ...levels.map((_, k) => [`level-${k}`, k ? (levels.length > 2 ? `finer clusters, ${k}` : "finer clusters") : "clusters"]),
  ["distance", "distance from the pinned prompt"],
  ...columns.map(({ name }, k) => [`column-${k}`, name]),
];

let colours = []; // of each prompt
let range = null; // [low, high] of a scale of numbers
let before = "level-0"; // what the colour was before a prompt was pinned

const scale = (values) => {
  const known = values.filter((value) => value !== null);
  if (!known.length) return values.map(() => GREY);
  range = d3.extent(known);
  const width = range[1] - range[0] || 1;
  return values.map((value) => (value === null ? GREY : hueOf((value - range[0]) / width)));
};

const byDistance = () => {
  const away = prompts.map((_, i) => (i === state.pinned ? null : distance(state.pinned, i)));
  const shades = scale(away);
  shades[state.pinned] = hueOf(0);
  return shades;
};

const paint = () => {
  const [kind, at] = state.colour.split("-");
  range = null;
  if (kind === "distance") colours = byDistance();
  else if (kind === "column" && columns[at].kind === "number") colours = scale(columns[at].values);
  else {
    const codes = kind === "level" ? levels[at].of : columns[at].values;
    colours = codes.map((code) => (code === null || code < 0 ? GREY : paletteOf(code)));
  }
};

const colourBy = (name) => {
  const possible = colourings().some(([known]) => known === name);
  if (!possible || (name === "distance" && state.pinned === null)) return;
  state.colour = name;
  events.call("colour");
};

const shapes = [
  d3.symbolCircle, d3.symbolSquare, d3.symbolTriangle, d3.symbolTriangle, d3.symbolDiamond,
  d3.symbolStar, d3.symbolCross,
].map((kind, k) => {
  const path = new Path2D();
  const turned = new DOMMatrix(k === 3 ? [1, 0, 0, -1, 0, 0] : [1, 0, 0, 1, 0, 0]);
  path.addPath(new Path2D(d3.symbol(kind, 100)()), turned); // 100 square pixels
  return path;
});
const shapeOf = (index) => {
  const cluster = levels[0].of[index];
  return shapes[cluster < 0 ? 0 : cluster % shapes.length];
};

// A small picture of a shape in a colour, for the legend and the table.
const swatch = (parent, colour, shape = 0) => {
  const node = add(parent, "canvas", "swatch");
  const ratio = window.devicePixelRatio || 1;
  node.width = 14 * ratio;
  node.height = 14 * ratio;
  node.setAttribute("aria-hidden", "true");
  const brush = node.getContext("2d");
  brush.setTransform(ratio, 0, 0, ratio, 7 * ratio, 7 * ratio);
  brush.fillStyle = colour;
  brush.fill(shapes[shape % shapes.length]);
  return node;
};

const legendOfScale = (legend) => {
  const [low, high] = range.map((value) => d3.format(",.3~r")(value));
  const [first, last] = state.colour === "distance" ? ["near, ", "far, "] : ["", ""];
  const item = add(legend, "li", "gradient");
  add(item, "span", "", first + low);
  add(item, "span", "scale").style.background = `linear-gradient(to right, ${data.hues.join(", ")})`;
  add(item, "span", "", last + high);
};

const legendOfGroups = (legend, codes, names, typical) => {
  const members = d3.group(d3.range(n), (i) => codes[i] ?? -1);
  const of = (code) => members.get(code) ?? [];
  const shaped = state.colour === "level-0";
  names.forEach((name, code) => {
    if (!of(code).length) return;
    const button = add(add(legend, "li"), "button", "group");
    button.type = "button";
    swatch(button, paletteOf(code), shaped ? code : 0);
    for (const i of typical[code] ?? []) {
      const uri = picturesOf.get(i)?.[0];
      if (uri) Object.assign(add(button, "img"), { src: uri, alt: "" });
    }
    add(button, "span", "", name);
    add(button, "span", "number", ` ${of(code).length}`);
    button.title = "Select and show these prompts";
    button.addEventListener("click", () => {
      select(of(code));
      flyTo(of(code));
    });
  });
  if (names.length > data.palette.length) add(legend, "li", "", `${data.palette.length} colours repeat`);
  if (members.has(-1)) {
    const item = add(legend, "li");
    swatch(item, GREY);
    add(item, "span", "", `none ${of(-1).length}`);
  }
};

const showLegend = () => {
  const legend = byId("legend");
  legend.replaceChildren();
  const [kind, at] = state.colour.split("-");
  if (range !== null) legendOfScale(legend);
  else if (kind === "level") legendOfGroups(legend, levels[at].of, levels[at].names, levels[at].typical);
  else if (kind === "column") legendOfGroups(legend, columns[at].values, columns[at].names ?? [], []);
};

const startColours = () => {
  const choice = byId("colour");
  for (const [name, label] of colourings()) add(choice, "option", "", label).value = name;
  choice.addEventListener("change", () => colourBy(choice.value));
  events.on("colour.colours", () => {
    if (state.colour !== "distance") before = state.colour;
    paint();
    choice.value = state.colour;
    showLegend();
  });
  events.on("pin.colours", () => {
    choice.querySelector("[value=distance]").disabled = state.pinned === null;
    if (state.pinned !== null) colourBy("distance");
    else if (state.colour === "distance") colourBy(before);
  });
  choice.querySelector("[value=distance]").disabled = true;
  paint();
  showLegend();
};
