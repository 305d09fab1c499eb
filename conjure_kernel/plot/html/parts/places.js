// Where everything is on the canvas: from points to places, in which order pictures find room, and how
// large they are.
const canvas = byId("canvas");
const pen = canvas.getContext("2d");
const small = byId("minimap");

let frame = [0, 0]; // width and height of the canvas in CSS pixels
let ratio = 1;
let fit = null; // from points to places
let places = new Float32Array(2 * n); // of prompts at zoom 1, in CSS pixels
let tree = null; // to find places
let order = []; // of pictured prompts: each is as far from those before it as can be
let gaps = []; // of each in that order, how far it is from those before it
let side = 0; // of a picture at zoom 1
let groups = []; // middles of the clusters, by level
let transform = d3.zoomIdentity;

const room = (count) => Math.sqrt((frame[0] * frame[1]) / count); // for each of so many, at zoom 1
const near = () => Math.max(1.6, 90 / room(n)); // the zoom at which prompts take over from clusters
const sideOf = (k) => Math.min(132, side * k ** 0.7);
const radiusOf = (k) => Math.min(9, (n > 1000 ? 2.6 : pictures.length ? 4 : 6) * k ** 0.4);

// Where distances on the map mean nothing (`stretch` > 1), it may fill the canvas by so much more.
const measureFit = () => {
  const [xs, ys] = [0, 1].map((axis) => d3.extent(d3.range(n), (i) => points[2 * i + axis]));
  const spans = [xs[1] - xs[0], ys[1] - ys[0]];
  const turned = (frame[0] - frame[1]) * (spans[0] - spans[1]) < 0; // a tall canvas, a wide map
  const margin = sideOf(1) / 2 + 18;
  const sizes = (turned ? [spans[1], spans[0]] : spans).map(
    (span, axis) => Math.max(1, frame[axis] - 2 * margin) / span);
  const least = Math.min(...sizes);
  const size = sizes.map((one) => (Number.isFinite(least) ? Math.min(one, least * data.stretch) : 1));
  return { turned, size, middle: [(xs[0] + xs[1]) / 2, (ys[0] + ys[1]) / 2] };
};
// As large as there is room for each; where all are about as far apart, none has to become a dot.
const chooseSide = () => {
  side = Math.max(16, Math.min(110, 0.74 * room(pictured.length)));
  const closest = gaps.at(-1);
  if (closest > side / 2) side = Math.min(side, 0.92 * closest);
};

const toPlace = (x, y) => {
  const [right, up] = [x - fit.middle[0], y - fit.middle[1]];
  const [across, down] = fit.turned ? [up, right] : [right, -up];
  return [frame[0] / 2 + fit.size[0] * across, frame[1] / 2 + fit.size[1] * down];
};
const toPoint = (left, top) => {
  const [across, down] = [(left - frame[0] / 2) / fit.size[0], (top - frame[1] / 2) / fit.size[1]];
  const [right, up] = fit.turned ? [down, across] : [across, -down];
  return [fit.middle[0] + right, fit.middle[1] + up];
};

// Farthest first: at any zoom the pictures that have room are the first ones of one order.
const arrange = () => {
  order = [];
  gaps = [];
  const away = new Float64Array(pictured.length).fill(Infinity);
  let next = 0;
  while (order.length < pictured.length) {
    const i = pictured[next];
    order.push(i);
    gaps.push(away[next]);
    away[next] = -1;
    let farthest = 0;
    for (let k = 0; k < pictured.length; k += 1) {
      if (away[k] < 0) continue;
      const j = pictured[k];
      const gap = Math.max(Math.abs(places[2 * i] - places[2 * j]), Math.abs(places[2 * i + 1] - places[2 * j + 1]));
      if (gap < away[k]) away[k] = gap;
      if (away[farthest] < 0 || away[k] > away[farthest]) farthest = k;
    }
    next = farthest;
  }
};
