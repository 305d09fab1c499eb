// What is known of one prompt: a card beside the pointer, and the panel of the pinned one.
const fill = (card, index) => {
  card.replaceChildren();
  add(card, "p", "name", prompts[index]);
  const row = add(card, "div", "pictures");
  for (const [k, uri] of (picturesOf.get(index) ?? []).entries()) {
    Object.assign(add(row, "img"), { src: uri, alt: `Image ${k + 1} conjured by “${prompts[index]}”` });
  }
  if (levels[0].names.length > 1) {
    add(card, "p", "facts", `Cluster: ${clusterPath(index)}`);
  }
  for (const column of columns) {
    const value = column.values[index];
    const text = value === null ? "unknown" : column.kind === "number" ? d3.format(".4~r")(value) : column.names[value];
    add(card, "p", "facts", `${column.name}: ${text}`);
  }
  if (state.pinned !== null && state.pinned !== index) {
    add(card, "p", "facts", `${apart(state.pinned, index)} from “${prompts[state.pinned]}”`);
  }
};

const listNearest = (card, index, withButtons) => {
  const found = nearest(index);
  if (!found.length) return;
  add(card, "p", "facts", `Nearest prompts, ${data.measure}`);
  const list = add(card, "ol", "nearest");
  for (const [i, away] of found) {
    const item = add(list, "li");
    const uri = picturesOf.get(i)?.[0];
    if (uri) Object.assign(add(item, "img"), { src: uri, alt: "" });
    const name = add(item, withButtons ? "button" : "span", withButtons ? "link" : "", prompts[i]);
    if (withButtons) {
      name.type = "button";
      name.addEventListener("click", () => { pin(i); flyTo([i]); });
    }
    add(item, "span", "number", away);
  }
};

const showCard = (index, spot) => {
  const card = byId("card");
  card.hidden = index === null;
  if (card.hidden) return;
  fill(card, index);
  listNearest(card, index, false);
  const flip = spot[0] + card.offsetWidth + 30 > frame[0];
  card.style.left = `${Math.max(4, flip ? spot[0] - card.offsetWidth - 18 : spot[0] + 18)}px`;
  card.style.top = `${Math.max(4, Math.min(spot[1] + 12, frame[1] - card.offsetHeight - 4))}px`;
};

const button = (parent, text, act) => {
  const node = add(parent, "button", "", text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
};

const showPanel = () => {
  const panel = byId("panel");
  panel.replaceChildren();
  if (state.pinned === null) {
    add(panel, "p", "hint", "Point at a prompt to see what it conjures; click to pin it and to "
      + "colour the others by their distance from it. Zoom in for more names. Draw a lasso, or hold "
      + "Ctrl and click, to select prompts for export.");
    return;
  }
  const index = state.pinned;
  fill(panel, index);
  const row = add(panel, "div", "row");
  button(row, "Unpin", () => pin(null)).id = "unpin";
  button(row, "Show", () => flyTo([index]));
  button(row, state.selected.has(index) ? "Deselect" : "Select", () => toggle(index));
  listNearest(panel, index, true);
};

const startCards = () => {
  events.on("pin.cards", showPanel);
  events.on("select.cards", showPanel);
  showPanel();
};
