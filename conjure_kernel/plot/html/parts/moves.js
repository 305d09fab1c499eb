// Moving about the map, and what a pointer or a key does on it.
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

const zoom = d3.zoom()
  .clickDistance(4)
  .filter((event) => !isLassoing(event) && !event.button && (!event.ctrlKey || event.type === "wheel"))
  .on("start", (event) => event.sourceEvent && stayHere())
  .on("zoom", (event) => {
    transform = event.transform;
    draw();
  })
  .on("end", () => rememberView());

const goTo = (target, slowly = true) => {
  const chosen = d3.select(canvas);
  if (slowly && !still.matches) chosen.transition().duration(450).call(zoom.transform, target);
  else chosen.interrupt().call(zoom.transform, target);
};

const around = (left, top, k) =>
  d3.zoomIdentity.translate(frame[0] / 2, frame[1] / 2).scale(k).translate(-left, -top);

// Show some prompts at the middle; one is shown from near.
const flyTo = (members) => {
  if (!members.length) return;
  const [xs, ys] = [0, 1].map((axis) => d3.extent(members, (i) => places[2 * i + axis]));
  const [width, height] = [xs[1] - xs[0], ys[1] - ys[0]];
  const fitting = Math.min(frame[0] / (width + 1e-6), frame[1] / (height + 1e-6)) * 0.7;
  const k = Math.min(Math.max(1, fitting), Math.max(transform.k, 1.3 * near()));
  goTo(around((xs[0] + xs[1]) / 2, (ys[0] + ys[1]) / 2, k));
};

const reset = () => goTo(d3.zoomIdentity);
const step = (factor) => d3.select(canvas).call(zoom.scaleBy, factor);

const resize = () => {
  const { width, height } = canvas.parentElement.getBoundingClientRect();
  if (!width || !height) return;
  const centre = fit && toPoint(...transform.invert([frame[0] / 2, frame[1] / 2]));
  frame = [width, height];
  ratio = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  gaps = [];
  chooseSide();
  fit = measureFit();
  for (let i = 0; i < n; i += 1) places.set(toPlace(points[2 * i], points[2 * i + 1]), 2 * i);
  tree = d3.quadtree(d3.range(n), (i) => places[2 * i], (i) => places[2 * i + 1]);
  arrange();
  chooseSide();
  groups = levels.map((_, level) => middles(level, places));
  zoom.extent([[0, 0], frame]).scaleExtent([0.7, Math.max(20, 4 * near())])
    .translateExtent([[-frame[0] / 2, -frame[1] / 2], [1.5 * frame[0], 1.5 * frame[1]]]);
  if (centre && transform.k !== 1) goTo(around(...toPlace(...centre), transform.k), false);
  else drawNow();
};

const isIn = ([x, y], box) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3];
const clusterUnder = (spot) => drawn.clusters.find(({ box }) => isIn(spot, box));

const promptUnder = (spot, reach = 8) => {
  const half = drawn.side / 2;
  for (const index of drawn.pictures) {
    const [x, y] = at(index);
    if (Math.abs(spot[0] - x) <= half && Math.abs(spot[1] - y) <= half) return index;
  }
  const [left, top] = transform.invert(spot);
  return tree.find(left, top, (drawn.radius + reach) / transform.k) ?? null;
};

const hover = (index, spot) => {
  if (index !== state.hovered) {
    state.hovered = index;
    draw();
  }
  showCard(index, spot);
};

const click = (event) => {
  const spot = d3.pointer(event, canvas);
  const cluster = clusterUnder(spot);
  if (cluster) return flyTo(cluster.members);
  const index = promptUnder(spot, event.pointerType === "touch" ? 16 : 8);
  if (event.ctrlKey || event.metaKey) return index === null ? null : toggle(index);
  return pin(index === state.pinned ? null : index);
};

const KEYS = {
  ArrowLeft: () => d3.select(canvas).call(zoom.translateBy, 60 / transform.k, 0),
  ArrowRight: () => d3.select(canvas).call(zoom.translateBy, -60 / transform.k, 0),
  ArrowUp: () => d3.select(canvas).call(zoom.translateBy, 0, 60 / transform.k),
  ArrowDown: () => d3.select(canvas).call(zoom.translateBy, 0, -60 / transform.k),
  "+": () => step(1.4),
  "=": () => step(1.4),
  "-": () => step(1 / 1.4),
  0: reset,
  Escape: () => pin(null),
};

const startView = () => {
  d3.select(canvas).call(zoom).on("dblclick.zoom", null);
  canvas.addEventListener("click", click);
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" || event.buttons || lasso !== null) return;
    const spot = d3.pointer(event, canvas);
    const cluster = clusterUnder(spot);
    const index = cluster ? null : promptUnder(spot);
    canvas.style.cursor = cluster || index !== null ? "pointer" : "";
    hover(index, spot);
  });
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  byId("reset").addEventListener("click", reset);
  byId("closer").addEventListener("click", () => step(1.6));
  byId("further").addEventListener("click", () => step(1 / 1.6));
  const move = (event) => {
    const shrink = small.clientWidth / frame[0];
    goTo(around(...d3.pointer(event, small).map((value) => value / shrink), transform.k), false);
  };
  small.addEventListener("pointerdown", move);
  small.addEventListener("pointermove", (event) => event.buttons && move(event));
  for (const name of ["pin", "colour", "search", "select"]) events.on(`${name}.view`, draw);
  resize();
  new ResizeObserver(resize).observe(canvas.parentElement);
};
