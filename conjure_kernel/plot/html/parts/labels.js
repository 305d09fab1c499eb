// Names on the map, none over another: clusters from afar, prompts from near.
const FONT = "Arial, Helvetica, sans-serif";
const CELL = 32; // of the grid in which boxes are found, in pixels

// Boxes [left, top, right, bottom] that are taken.
const newGrid = () => {
  const cells = new Map();
  const over = (box, visit) => {
    for (let x = Math.floor(box[0] / CELL); x <= Math.floor(box[2] / CELL); x += 1) {
      for (let y = Math.floor(box[1] / CELL); y <= Math.floor(box[3] / CELL); y += 1) {
        if (visit(x * 100003 + y)) return true;
      }
    }
    return false;
  };
  const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
  return {
    take: (box) => over(box, (cell) => {
      if (cells.has(cell)) cells.get(cell).push(box);
      else cells.set(cell, [box]);
      return false;
    }),
    isFree: (box) => !over(box, (cell) => (cells.get(cell) ?? []).some((other) => meet(box, other))),
    covered: (box) => { // area that is taken already
      const found = new Set();
      over(box, (cell) => {
        for (const other of cells.get(cell) ?? []) if (meet(box, other)) found.add(other);
        return false;
      });
      return d3.sum(found, (other) => (Math.min(box[2], other[2]) - Math.max(box[0], other[0]))
        * (Math.min(box[3], other[3]) - Math.max(box[1], other[1])));
    },
  };
};

const widths = new Map(); // of texts, by font
const widthOf = (pen, font, text) => {
  const key = `${font}|${text}`;
  if (!widths.has(key)) {
    pen.font = font;
    widths.set(key, pen.measureText(text).width);
  }
  return widths.get(key);
};

// Two lines, cut at the space that is nearest to the middle, where one would be long.
const wrap = (text) => {
  if (text.length <= 16) return [text];
  const spaces = [...text.matchAll(/ /g)].map(({ index }) => index);
  if (!spaces.length) return [text];
  const at = d3.least(spaces, (index) => Math.abs(index - text.length / 2));
  return [text.slice(0, at), text.slice(at + 1)];
};
const clip = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// Where each cluster of a level is: the middle of its prompts, and how far they reach.
const middles = (level, places) => {
  const members = d3.group(d3.range(n), (i) => levels[level].of[i]);
  return levels[level].names.map((name, cluster) => {
    const of = members.get(cluster) ?? [];
    const [x, y] = [0, 1].map((axis) => d3.median(of, (i) => places[2 * i + axis]));
    const reach = Math.sqrt(d3.mean(of, (i) => (places[2 * i] - x) ** 2 + (places[2 * i + 1] - y) ** 2));
    return { name, cluster, members: of, x, y, reach };
  }).filter(({ members: of }) => of.length);
};

const SPIRAL = d3.range(40).map((k) => {
  const [angle, away] = [2.4 * k, Math.sqrt(k / 40)];
  return [away * Math.cos(angle), away * Math.sin(angle)];
});

// Labels of clusters at their middles, or near them where fewer pictures are covered.
const placeClusters = (pen, groups, toScreen, frame, busy, taken) => {
  const largest = d3.max(groups, ({ members }) => members.length);
  const [least, most] = frame[0] < 600 ? [12, 16] : [14, 22];
  const found = [];
  for (const group of groups) {
    const size = Math.round(least + (most - least) * Math.sqrt(group.members.length / largest));
    const font = `600 ${size}px ${FONT}`;
    const lines = wrap(clip(group.name, 40));
    const width = Math.max(...lines.map((line) => widthOf(pen, font, line))) + 14;
    const height = lines.length * size * 1.15 + 6;
    const { x, y, k } = toScreen(group.x, group.y);
    if (x < 0 || y < 0 || x > frame[0] || y > frame[1]) continue;
    const places = SPIRAL.map(([right, down], rank) => {
      const [left, top] = [x + right * group.reach * k - width / 2, y + down * group.reach * k - height / 2];
      const [l, t] = [Math.max(2, Math.min(frame[0] - width - 2, left)), Math.max(2, Math.min(frame[1] - height - 2, top))];
      return { box: [l, t, l + width, t + height], rank };
    }).filter(({ box }) => taken.isFree(box));
    if (!places.length) continue;
    const { box } = d3.least(places, ({ box: place, rank }) => busy.covered(place) / (width * height) + rank / 80);
    taken.take(box);
    found.push({ ...group, lines, size, font, box });
  }
  return found;
};

// A label below, above, right or left of its marker, the first of these that is free; at the rim of
// the map it may be shifted along its marker.
const placePrompts = (pen, order, markerOf, frame, taken, font) => {
  const found = [];
  const height = 14;
  for (const index of order) {
    const marker = markerOf(index);
    if (marker === null) continue;
    const { x, y, reach } = marker;
    const width = widthOf(pen, font, data.short[index]) + 4;
    const inner = Math.max(width / 2, Math.min(frame[0] - width / 2, x));
    const shifted = Math.abs(inner - x) < reach ? inner : x;
    const centres = [
      [shifted, y + reach + height / 2], [shifted, y - reach - height / 2],
      [x + reach + width / 2, y], [x - reach - width / 2, y],
    ];
    for (const [across, down] of centres) {
      const box = [across - width / 2, down - height / 2, across + width / 2, down + height / 2];
      const inside = box[0] >= 0 && box[1] >= 0 && box[2] <= frame[0] && box[3] <= frame[1];
      if (inside && taken.isFree(box)) {
        taken.take(box);
        found.push({ index, text: data.short[index], box });
        break;
      }
    }
  }
  return found;
};
