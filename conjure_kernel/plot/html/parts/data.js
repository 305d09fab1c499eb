// What the file holds: prompts, places, pictures, distances, clusters and columns; and the state of
// the page, of which the other parts are told by `events`.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const { prompts, levels, columns, pictured, pictures } = data;
const n = prompts.length;

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const unpack = (text, Kind = Float32Array) => (text === undefined ? null : new Kind(bytes(text)));
const points = unpack(data.points);
const [distances, errors, vectors] = ["distances", "errors", "vectors"].map((name) => unpack(data[name]));
const picturesOf = new Map(pictures.map((uris, k) => [pictured[k], uris]));
const neighbors = {
  k: data.neighbors.k,
  at: unpack(data.neighbors.at, Int32Array),
  distances: unpack(data.neighbors.distances),
  errors: unpack(data.neighbors.errors),
};

const state = {
  pinned: null, // position of a prompt
  hovered: null,
  colour: "level-0",
  query: "",
  hits: null, // positions of what matches the query, in the order of the prompts
  selected: new Set(),
};
const events = d3.dispatch("pin", "colour", "search", "select");

const distance = (a, b) => {
  if (distances !== null) return distances[a * n + b];
  const size = vectors.length / n;
  let sum = 0;
  for (let k = 0; k < size; k += 1) sum += (vectors[a * size + k] - vectors[b * size + k]) ** 2;
  return data.unit_length ? sum / 2 : Math.sqrt(sum);
};

// Two digits of the middle one of the distances that are listed, and two decimals at least.
const usual = d3.median(neighbors.distances.filter((value) => value > 0)) ?? 1;
const decimals = Math.max(2, Math.min(20, 1 - Math.floor(Math.log10(usual))));
const describe = (value, error) =>
  value.toFixed(decimals) + (Number.isFinite(error) ? ` ± ${error.toFixed(decimals)}` : "");
const apart = (a, b) => describe(distance(a, b), errors === null ? NaN : errors[a * n + b]);

// The nearest prompts of one: [position, distance and error as text].
const nearest = (index) => d3.range(index * neighbors.k, (index + 1) * neighbors.k).map((at) => [
  neighbors.at[at],
  describe(neighbors.distances[at], neighbors.errors === null ? NaN : neighbors.errors[at]),
]);

const clusterName = (level, index) => {
  const cluster = levels[level].of[index];
  return cluster < 0 ? "none" : levels[level].names[cluster];
};

// The clusters of a prompt, from coarse to fine.
const clusterPath = (index) => [...new Set(levels.map((_, k) => clusterName(k, index)))].join(" › ");

// A new element with text, never with markup: nothing in a prompt is ever read as HTML.
const add = (parent, tag, className, text) => {
  const node = parent.appendChild(document.createElement(tag));
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

const pin = (index) => {
  if (index === state.pinned) return;
  state.pinned = index;
  events.call("pin");
};
