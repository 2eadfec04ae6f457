// The list of photos. Only the cards in and near the window exist, so that any number of photos scrolls well.

const LIST = byId("list");
const CARDS = new Map(); // by row
const GAP = 14, NARROWEST = 235;
let shown = [], current = -1, grid = { columns: 1, width: NARROWEST, height: NARROWEST };

function makeCard(row) {
  const picture = element("div", { class: "pic" });
  const verdict = row.right === null ? null : element("span", { class: row.right ? "right" : "wrong" }, row.right ? "✓ right" : `✗ is ${row.truth}`);
  const warning = [...row.flags, ...row.notes];
  const link = element("a", { href: `#photo=${encodeURIComponent(row.results)}` },
    picture,
    element("div", { class: "words" },
      element("b", {}, element("span", {}, row.label), element("span", {}, row.confidence)),
      element("span", { class: "file", title: row.photo }, row.photo),
      verdict,
      element("span", { class: "told" }, row.sentence),
      warning.length ? element("span", { class: "mark noted", title: warning.join("\n") }, `⚠ ${warning[0]}`) : null,
    ));
  link.addEventListener("focus", () => { current = shown.indexOf(row); });
  const card = element("div", { class: "card", role: "listitem" }, link);
  card.row = row;
  picture.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return; // it scrolls
    const box = picture.getBoundingClientRect();
    picture.style.setProperty("--cut", `${(100 * (event.clientX - box.left)) / box.width}%`);
    picture.classList.add("wiped");
  });
  picture.addEventListener("pointerleave", () => {
    picture.style.removeProperty("--cut");
    picture.classList.remove("wiped");
  });
  return card;
}

// Draws what is to be shown on a card; a promise that it is done. Those wait for their turn that are not near it.
function drawCard(card) {
  if (card.mode !== CHOICE.show) {
    card.mode = CHOICE.show;
    card.drawn = new Promise((resolve) => { QUEUE.push(() => drawNow(card).then(resolve)); });
    work();
  }
  return card.drawn;
}

async function drawNow(card) {
  const mode = CHOICE.show, row = card.row, picture = card.querySelector(".pic");
  const view = card.isConnected && card.mode === mode ? await load(row) : undefined;
  if (view === undefined || card.mode !== mode) return;
  if (!view) {
    picture.replaceChildren(row.picture
      ? element("img", { src: row.picture, alt: described(row, "photo") })
      : element("span", { class: "none" }, "no picture of these results"));
    return;
  }
  if (!picture.querySelector("canvas")) picture.replaceChildren(view.photo.cloneNode(), element("canvas", { role: "img" }));
  const [photo, canvas] = picture.children;
  photo.alt = described(row, "photo");
  canvas.hidden = mode === "photo";
  if (mode !== "photo") paint(canvas, view, mode);
  canvas.setAttribute("aria-label", described(row, canvas.dataset.shown));
}

// Pictures are drawn a few at a time, so that scrolling stays smooth.
const QUEUE = [], AT_ONCE = 6;
let busy = 0;
function work() {
  while (busy < AT_ONCE && QUEUE.length) {
    busy++;
    QUEUE.shift()().finally(() => { busy--; setTimeout(work); });
  }
}

// Shows other rows, or the same ones anew.
function showRows(rows) {
  const before = shown[current];
  shown = rows;
  current = before ? shown.indexOf(before) : -1;
  for (const card of CARDS.values()) card.remove();
  CARDS.clear();
  LIST.replaceChildren();
  if (!rows.length) LIST.append(element("p", { class: "empty" }, "No photo is like that. “Reset” shows all of them."));
  measure();
}

function measure() {
  const room = LIST.clientWidth;
  const columns = Math.max(1, Math.floor((room + GAP) / (NARROWEST + GAP)));
  const width = (room - GAP * (columns - 1)) / columns;
  const text = parseFloat(getComputedStyle(document.documentElement).fontSize) * 9.6;
  grid = { columns, width, height: Math.ceil(width + text + 2) };
  LIST.style.height = shown.length ? `${Math.ceil(shown.length / columns) * (grid.height + GAP)}px` : "";
  place();
}

// Makes the cards that the window needs, and drops the others.
function place() {
  if (LIST.classList.contains("printing")) return;
  const { columns, width, height } = grid, top = LIST.getBoundingClientRect().top;
  const room = height + GAP, first = Math.max(0, Math.floor((-top - innerHeight / 2) / room));
  const last = Math.ceil((1.5 * innerHeight - top) / room);
  const wanted = new Set();
  for (let index = first * columns; index < Math.min(last * columns, shown.length); index++) wanted.add(shown[index]);
  for (const [row, card] of CARDS) if (!wanted.has(row) && !card.contains(document.activeElement)) { card.remove(); CARDS.delete(row); }
  let before = null;
  for (const row of wanted) {
    const index = shown.indexOf(row, first * columns);
    let card = CARDS.get(row);
    if (!card) {
      card = makeCard(row);
      CARDS.set(row, card);
      if (before) before.after(card);
      else LIST.prepend(card);
    }
    before = card;
    card.setAttribute("aria-setsize", shown.length);
    card.setAttribute("aria-posinset", index + 1);
    card.style.width = `${width}px`;
    card.style.height = `${height}px`;
    card.style.transform = `translate(${(index % columns) * (width + GAP)}px, ${Math.floor(index / columns) * room}px)`;
    drawCard(card);
  }
}

// Moves the focus to the photo at an index of the shown ones.
function goTo(index) {
  if (!shown.length) return;
  current = Math.min(Math.max(index, 0), shown.length - 1);
  const top = LIST.getBoundingClientRect().top + Math.floor(current / grid.columns) * (grid.height + GAP);
  const controls = byId("controls"), covered = getComputedStyle(controls).position === "sticky" ? controls.offsetHeight + GAP : GAP;
  if (top < covered) scrollBy(0, top - covered);
  else if (top + grid.height > innerHeight) scrollBy(0, top + grid.height - innerHeight + GAP);
  place();
  CARDS.get(shown[current])?.firstChild.focus({ preventScroll: true });
}

// All shown cards at once, as many as are sensible on paper; a promise that they are drawn.
const ON_PAPER = 400;
function spread() {
  LIST.classList.add("printing");
  const cards = shown.slice(0, ON_PAPER).map((row) => CARDS.get(row) ?? makeCard(row));
  cards.forEach((card, index) => CARDS.set(shown[index], card));
  LIST.replaceChildren(...cards);
  return Promise.all(cards.map(drawCard));
}

// How many of the cards have no picture yet.
const undrawn = () => [...CARDS.values()].filter((card) => !card.querySelector(".pic > *")).length;

function gather() {
  LIST.classList.remove("printing");
  showRows(shown);
}

let waiting = false;
addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; place(); });
}, { passive: true });
new ResizeObserver(() => measure()).observe(document.body);
