// The state of the page in its address, so that a link shows the same; and the start of it all.
const rounded = (value) => Number(value.toPrecision(5));

const asRanges = (members) => {
  const found = [];
  for (const i of members) {
    if (found.length && found.at(-1)[1] === i - 1) found.at(-1)[1] = i;
    else found.push([i, i]);
  }
  return found.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(".");
};
const fromRanges = (text) => [...text.matchAll(/(\d+)(?:-(\d+))?/g)].flatMap(
  ([, from, to = from]) => d3.range(Number(from), Math.min(n - 1, Number(to)) + 1));

const toAddress = () => {
  const parts = new URLSearchParams();
  if (transform.k !== 1 || transform.x !== 0 || transform.y !== 0) {
    const centre = toPoint(...transform.invert([frame[0] / 2, frame[1] / 2]));
    parts.set("view", [transform.k, ...centre].map(rounded).join(","));
  }
  if (state.pinned !== null) parts.set("pin", state.pinned);
  if (state.colour !== (state.pinned === null ? "level-0" : "distance")) parts.set("colour", state.colour);
  if (state.query) parts.set("search", state.query);
  if (state.selected.size) parts.set("selected", asRanges(state.selected));
  return parts.toString();
};

let written = null;
let writing = null;
const remember = () => {
  clearTimeout(writing);
  writing = setTimeout(() => {
    written = toAddress();
    try {
      history.replaceState(null, "", `#${written}`);
    } catch { /* a page inside a notebook has no address */ }
  }, 250);
};
const rememberView = remember;

const fromAddress = () => {
  const text = location.hash.slice(1);
  if (text === written) return;
  const parts = new URLSearchParams(text);
  const pinned = Number(parts.get("pin") ?? NaN);
  search(parts.get("search") ?? "", false);
  select(fromRanges(parts.get("selected") ?? ""));
  pin(Number.isInteger(pinned) && pinned >= 0 && pinned < n ? pinned : null);
  colourBy(parts.get("colour") ?? (state.pinned === null ? "level-0" : "distance"));
  const [k, x, y] = (parts.get("view") ?? "").split(",").map(Number);
  const spot = toPlace(x, y);
  if (k > 0 && [k, ...spot].every((value) => Math.abs(value) < 1e5)) goTo(around(...spot, k), false);
  else goTo(d3.zoomIdentity, false);
};

const setDark = (dark) => {
  document.documentElement.classList.toggle("dark", dark);
  byId("theme").textContent = dark ? "Light" : "Dark";
  draw();
};

const start = async () => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  document.documentElement.classList.toggle("dark", dark.matches);
  startColours();
  startCards();
  startSearch();
  startSelection();
  startTable();
  startView();
  setDark(dark.matches);
  dark.addEventListener("change", (event) => setDark(event.matches));
  byId("theme").addEventListener("click", () => setDark(!document.documentElement.classList.contains("dark")));
  for (const name of ["pin", "colour", "search", "select"]) events.on(`${name}.address`, remember);
  if (location.hash.length > 1) fromAddress();
  window.addEventListener("hashchange", fromAddress);
  await loadPictures();
  drawNow();
  document.documentElement.dataset.ready = "yes";
};

// For tests and measurements: what is drawn, and moves without the animation.
window.conjure = {
  state,
  events,
  at,
  toCsv,
  colours: () => colours,
  drawn: () => drawn,
  frame: () => frame,
  zoom: () => transform.k,
  zoomTo: (k, index = null) => {
    const [x, y] = index === null ? [frame[0] / 2, frame[1] / 2] : [places[2 * index], places[2 * index + 1]];
    goTo(around(x, y, k), false);
    drawNow();
  },
};
start();
