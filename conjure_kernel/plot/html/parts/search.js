// Search: what matches stays bright and is flown to; Enter and the arrow keys go through the hits.
const plain = (text) => text.normalize("NFKC").replace(/[\s\u2400-\u241f\u2421]+/g, " ").trim().toLowerCase();
const searched = prompts.map(plain);
let current = -1; // of the hits
let pause = null;

const sayHits = () => {
  const { hits } = state;
  const some = hits !== null && hits.length > 0;
  byId("pick").hidden = !some;
  byId("next").hidden = !some;
  if (hits === null) byId("hits").textContent = "";
  else if (current < 0) byId("hits").textContent = `${hits.length} of ${n} prompts`;
  else byId("hits").textContent = `${current + 1} of ${hits.length}: ${prompts[hits[current]]}`;
};

const search = (query, flying = true) => {
  const wanted = plain(query);
  state.query = query;
  state.hits = wanted ? d3.range(n).filter((i) => searched[i].includes(wanted)) : null;
  current = -1;
  events.call("search");
  clearTimeout(pause);
  if (flying) pause = setTimeout(() => (state.hits === null ? reset() : flyTo(state.hits)), 350);
};

const stayHere = () => clearTimeout(pause); // who moves the map is not taken elsewhere

const goThrough = (by) => {
  const { hits } = state;
  if (hits === null || !hits.length) return;
  clearTimeout(pause);
  current = current < 0 ? (by > 0 ? 0 : hits.length - 1) : (current + by + hits.length) % hits.length;
  pin(hits[current]);
  flyTo([hits[current]]);
  sayHits();
};

const startSearch = () => {
  const box = byId("search");
  box.addEventListener("input", () => search(box.value));
  box.addEventListener("keydown", (event) => {
    const by = { Enter: event.shiftKey ? -1 : 1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    goThrough(by);
  });
  byId("next").addEventListener("click", () => goThrough(1));
  byId("pick").addEventListener("click", () => select([...state.selected, ...state.hits]));
  events.on("search.search", () => {
    if (box.value !== state.query) box.value = state.query;
    sayHits();
  });
  sayHits();
};
