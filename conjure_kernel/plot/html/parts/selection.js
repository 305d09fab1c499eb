// Selected prompts: by lasso, by click or in the table; and what can be done with them.
let lassoing = false; // whether the next drag draws a lasso
const isLassoing = (event) => event.type !== "wheel" && (lassoing || event.shiftKey);

const select = (members) => {
  state.selected = new Set([...members].sort((a, b) => a - b));
  events.call("select");
};
const toggle = (index) => {
  const kept = new Set(state.selected);
  if (!kept.delete(index)) kept.add(index);
  select(kept);
};

// A text that a spreadsheet would run as a formula gets an apostrophe before it.
const cell = (value) => {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

// The selected prompts as CSV, with their clusters, columns and distances from the pinned one.
const toCsv = () => {
  const { pinned } = state;
  const head = ["prompt", ...levels.map((_, k) => (k ? `cluster ${k + 1}` : "cluster")), ...columns.map(({ name }) => name)];
  if (pinned !== null) head.push(`distance from ${prompts[pinned]}`);
  const rows = [...state.selected].map((i) => [
    prompts[i],
    ...levels.map((_, k) => clusterName(k, i)),
    ...columns.map(({ kind, values, names }) => (kind === "number" ? values[i] : names[values[i]])),
    ...(pinned === null ? [] : [i === pinned ? 0 : distance(pinned, i)]),
  ]);
  return `${[head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
};

const download = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", toCsv()], { type: "text/csv;charset=utf-8" }));
  link.download = "selected_prompts.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

const copy = async () => {
  const text = [...state.selected].map((i) => prompts[i]).join("\n");
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = add(document.body, "textarea", "", text); // where the clipboard is not allowed
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  byId("said").textContent = `${state.selected.size} prompts copied`;
};

const showSelection = () => {
  const { size } = state.selected;
  byId("selection").hidden = size === 0;
  byId("said").textContent = size ? `${size} selected` : "";
};

const setLasso = (on) => {
  lassoing = on;
  byId("lasso").setAttribute("aria-pressed", String(on));
  canvas.classList.toggle("lassoing", on);
};

const endLasso = (event) => {
  if (lasso === null) return;
  const corners = lasso;
  lasso = null;
  setLasso(false);
  const [xs, ys] = [0, 1].map((axis) => d3.extent(corners, (corner) => corner[axis]));
  if (xs[1] - xs[0] + ys[1] - ys[0] < 8) {
    const index = promptUnder(corners[0]);
    if (index !== null) toggle(index);
    draw();
    return;
  }
  const inside = d3.range(n).filter((i) => d3.polygonContains(corners, at(i)));
  select(event.ctrlKey || event.metaKey ? [...state.selected, ...inside] : inside);
};

const startSelection = () => {
  byId("lasso").addEventListener("click", () => setLasso(!lassoing));
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || !isLassoing(event)) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    lasso = [d3.pointer(event, canvas)];
    hover(null);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (lasso === null) return;
    lasso.push(d3.pointer(event, canvas));
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (lasso === null) return;
    endLasso(event);
    canvas.addEventListener("click", (clicked) => clicked.stopImmediatePropagation(), { once: true, capture: true });
  });
  canvas.addEventListener("pointercancel", () => { lasso = null; draw(); });
  byId("copy").addEventListener("click", copy);
  byId("download").addEventListener("click", download);
  byId("clear").addEventListener("click", () => select([]));
  events.on("select.selection", showSelection);
};
