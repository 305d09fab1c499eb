// The map on its canvas: what is shown at a zoom, and how it is drawn.
const LABEL_FONT = `12px ${FONT}`;

let drawn = { pictures: new Set(), spots: [], side: 0, radius: 0, labels: [], clusters: [] };
let lasso = null; // [x, y] of its corners while it is drawn

const atlases = [96, 32].map((tile) => ({ tile, sheet: document.createElement("canvas"), at: new Map() }));

const loadPictures = () => {
  const across = Math.ceil(Math.sqrt(picturesOf.size));
  for (const { tile, sheet } of atlases) sheet.width = sheet.height = across * tile;
  return Promise.all([...picturesOf].map(async ([index, [uri]], k) => {
    if (!uri) return;
    const image = new Image();
    image.src = uri;
    await image.decode().catch(() => null);
    for (const { tile, sheet, at } of atlases) {
      const grown = tile / Math.max(image.width, image.height);
      const [width, height] = [image.width * grown, image.height * grown];
      const corner = [(k % across) * tile, Math.floor(k / across) * tile];
      const brush = sheet.getContext("2d");
      const box = [corner[0] + (tile - width) / 2, corner[1] + (tile - height) / 2, width, height];
      brush.save();
      brush.beginPath();
      brush.roundRect(...box, 0.1 * tile);
      brush.clip();
      brush.imageSmoothingQuality = "high";
      brush.drawImage(image, ...box);
      brush.restore();
      at.set(index, corner);
    }
  }));
};

const drawPicture = (index, x, y, side) => {
  const { tile, sheet, at } = side * ratio <= 36 ? atlases[1] : atlases[0];
  const corner = at.get(index);
  if (corner) pen.drawImage(sheet, corner[0], corner[1], tile, tile, x - side / 2, y - side / 2, side, side);
};

const colourOfPage = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const at = (index) => [transform.applyX(places[2 * index]), transform.applyY(places[2 * index + 1])];
const isInside = (x, y, reach) => x > -reach && y > -reach && x < frame[0] + reach && y < frame[1] + reach;

const drawDot = (index, x, y, radius, rim = null) => {
  const grown = ratio * radius / 5.6; // as wide as a circle of 100 square pixels
  pen.setTransform(grown, 0, 0, grown, ratio * x, ratio * y);
  if (rim !== null) {
    pen.strokeStyle = rim;
    pen.lineWidth = 4;
    pen.stroke(shapeOf(index));
  }
  pen.fillStyle = colours[index];
  pen.fill(shapeOf(index));
};

const ring = (index, x, y, colour, width) => {
  const reach = drawn.pictures.has(index) ? drawn.side / 2 : drawn.radius + 2;
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  if (drawn.pictures.has(index)) pen.roundRect(x - reach - 1, y - reach - 1, 2 * reach + 2, 2 * reach + 2, 3);
  else pen.arc(x, y, reach, 0, 7);
  pen.stroke();
};

const drawLabels = (ink, page) => {
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.font = LABEL_FONT;
  pen.lineJoin = "round";
  pen.lineWidth = 3;
  pen.strokeStyle = page;
  pen.fillStyle = ink;
  for (const { text, box } of drawn.labels) {
    const middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    pen.strokeText(text, ...middle);
    pen.fillText(text, ...middle);
  }
};

const drawClusters = (ink, page) => {
  for (const { lines, size, font, box, cluster } of drawn.clusters) {
    const [left, top, right, bottom] = box;
    const middle = (left + right) / 2;
    pen.globalAlpha = 0.72 * drawn.fade;
    pen.fillStyle = page;
    pen.beginPath();
    pen.roundRect(left, top, right - left, bottom - top, 7);
    pen.fill();
    pen.globalAlpha = drawn.fade;
    pen.font = font;
    pen.lineWidth = 4;
    pen.strokeStyle = page;
    pen.fillStyle = ink;
    for (const write of ["strokeText", "fillText"]) {
      lines.forEach((line, k) => pen[write](line, middle, top + 2 + (k + 0.55) * size * 1.15));
    }
    pen.fillStyle = state.colour === `level-${drawn.level}` ? paletteOf(cluster) : GREY;
    pen.beginPath();
    pen.roundRect(left + 7, bottom - 4, right - left - 14, 3, 1.5);
    pen.fill();
  }
  pen.globalAlpha = 1;
};

const clustersAt = (k) => {
  const last = near();
  const share = Math.log(k) / Math.log(last);
  const level = Math.max(0, Math.min(levels.length - 1, Math.floor(share * levels.length)));
  const fade = Math.max(0, Math.min(1, (1.05 - k / last) / 0.15));
  const some = n >= 20 && levels[level].names.length > 1 && state.hits === null;
  return { level, fade: some ? fade : 0 };
};

// What is where at this zoom: pictures that have room, dots of the others, and labels.
const compose = () => {
  const { k } = transform;
  const side = sideOf(k);
  const radius = radiusOf(k);
  const seen = pictures.length ? order.slice(0, d3.bisector((gap) => -gap).right(gaps, -side / k)) : [];
  const shown = new Set(seen.filter((i) => picturesOf.get(i).length));
  const { level, fade } = clustersAt(k);
  drawn = { pictures: shown, side, radius, level, fade, labels: [], clusters: [] };
  const [busy, taken] = [newGrid(), newGrid()];
  if (!small.hidden) taken.take([frame[0] - small.clientWidth - 12, frame[1] - small.clientHeight - 12, ...frame]);
  const spots = [];
  for (let index = 0; index < n; index += 1) {
    const [x, y] = at(index);
    const reach = shown.has(index) ? side / 2 : radius;
    if (!isInside(x, y, reach)) continue;
    spots.push(index);
    if (shown.has(index)) busy.take([x - reach, y - reach, x + reach, y + reach]);
  }
  drawn.spots = spots;
  if (fade > 0.02) {
    const toScreen = (x, y) => ({ x: transform.applyX(x), y: transform.applyY(y), k });
    drawn.clusters = placeClusters(pen, groups[level], toScreen, frame, busy, taken);
  }
  for (const index of spots) {
    const [x, y] = at(index);
    const reach = shown.has(index) ? side / 2 : radius;
    taken.take([x - reach, y - reach, x + reach, y + reach]);
  }
  const markerOf = (index) => {
    const [x, y] = at(index);
    const reach = (shown.has(index) ? side / 2 : radius) + 1;
    return isInside(x, y, 0) ? { x, y, reach } : null;
  };
  drawn.labels = placePrompts(pen, labelOrder(spots), markerOf, frame, taken, LABEL_FONT);
};

const labelOrder = (spots) => {
  if (state.hits !== null) return state.hits;
  const first = state.pinned === null ? [] : [state.pinned, ...nearest(state.pinned).map(([i]) => i)];
  return [...new Set([...first, ...order, ...spots])];
};

// The colour of a picture: the shape of its cluster at a corner, or a bar at its foot.
const drawBadge = (index, x, y, side, page) => {
  const reach = Math.max(2.5, Math.min(5, side * 0.09));
  drawDot(index, x - side / 2 + reach, y + side / 2 - reach, reach, page);
};
const drawBar = (index, x, y, side) => {
  const height = Math.max(3, Math.min(8, side * 0.1));
  pen.fillStyle = colours[index];
  pen.beginPath();
  pen.roundRect(x - side / 2, y + side / 2 - height, side, height, height / 2);
  pen.fill();
};

const drawMarkers = (page) => {
  const { pictures: shown, side, radius, spots } = drawn;
  const hits = state.hits === null ? null : new Set(state.hits);
  const isBright = (index) => hits === null || hits.has(index) || index === state.pinned;
  const alphaOf = (index) => (isBright(index) ? 1 : 0.12);
  for (const index of spots) {
    if (shown.has(index)) continue;
    pen.globalAlpha = alphaOf(index);
    drawDot(index, ...at(index), radius);
  }
  for (const index of spots) {
    if (!shown.has(index)) continue;
    const [x, y] = at(index);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.globalAlpha = alphaOf(index);
    drawPicture(index, x, y, side);
    if (state.colour.startsWith("level")) drawBadge(index, x, y, side, page);
    else drawBar(index, x, y, side);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.globalAlpha = 1;
};

const drawRings = (ink) => {
  for (const index of drawn.spots) {
    if (state.selected.has(index)) ring(index, ...at(index), colourOfPage("--mark"), 2.5);
  }
  if (state.pinned !== null) ring(state.pinned, ...at(state.pinned), colourOfPage("--pin"), 4);
  if (state.hovered !== null) ring(state.hovered, ...at(state.hovered), ink, 2);
};

const drawLasso = () => {
  pen.beginPath();
  lasso.forEach((corner, k) => (k ? pen.lineTo(...corner) : pen.moveTo(...corner)));
  pen.closePath();
  pen.strokeStyle = colourOfPage("--mark");
  pen.lineWidth = 2;
  pen.stroke();
  pen.globalAlpha = 0.12;
  pen.fillStyle = pen.strokeStyle;
  pen.fill();
  pen.globalAlpha = 1;
};

const drawNow = () => {
  const [ink, page] = [colourOfPage("--ink"), colourOfPage("--page")];
  drawMinimap(ink);
  compose();
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, ...frame);
  drawMarkers(page);
  drawRings(ink);
  drawLabels(ink, page);
  drawClusters(ink, page);
  if (lasso !== null) drawLasso();
};

let waiting = false;
const draw = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawNow();
  });
};

const drawMinimap = (ink) => {
  small.hidden = transform.k < 1.15;
  if (small.hidden) return;
  const shrink = 130 / Math.max(...frame);
  const [width, height] = frame.map((side) => Math.round(side * shrink));
  Object.assign(small, { width: width * ratio, height: height * ratio });
  Object.assign(small.style, { width: `${width}px`, height: `${height}px` });
  const brush = small.getContext("2d");
  brush.setTransform(ratio * shrink, 0, 0, ratio * shrink, 0, 0);
  const dot = (n > 1000 ? 1.2 : 2.2) / shrink;
  for (let i = 0; i < n; i += 1) {
    brush.fillStyle = colours[i];
    brush.fillRect(places[2 * i] - dot / 2, places[2 * i + 1] - dot / 2, dot, dot);
  }
  brush.strokeStyle = ink;
  brush.lineWidth = 1.5 / shrink;
  const [left, top] = transform.invert([0, 0]);
  brush.strokeRect(left, top, frame[0] / transform.k, frame[1] / transform.k);
};
