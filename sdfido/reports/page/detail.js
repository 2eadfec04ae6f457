// The large view of one photo: two pictures with a slider between them, all pictures, and all numbers.

const DETAIL = byId("detail"), COMPARE = byId("compare"), SLIDER = byId("slider");
let opened = null; // the row

function openDetail(row) {
  opened = row;
  if (CHOICE.show !== "photo") byId("right").value = CHOICE.show;
  else if (!byId("right").value || byId("right").value === "photo") byId("right").selectedIndex = Math.min(1, DATA.views.length - 1);
  fillDetail(row);
  if (!DETAIL.open) DETAIL.showModal();
  COMPARE.focus();
  DETAIL.scrollTop = 0;
  drawDetail();
}

function fillDetail(row) {
  const index = shown.indexOf(row);
  byId("place").textContent = index < 0 ? "" : `${(index + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
  byId("previous").disabled = index <= 0;
  byId("next").disabled = index < 0 || index >= shown.length - 1;
  byId("detail-title").textContent = row.label;
  byId("detail-name").textContent = [row.photo, row.site && `site ${row.site}`, row.sequence && `sequence ${row.sequence}`].filter(Boolean).join(" · ");
  const verdict = byId("detail-verdict");
  verdict.hidden = row.truth === null;
  verdict.className = row.right === null ? "" : row.right ? "right" : "wrong";
  verdict.textContent = row.right === null ? `True class: ${row.truth}` : row.right ? "✓ right" : `✗ wrong: it is ${row.truth}`;
  byId("detail-sentence").textContent = `The model says “${row.label}”, ${row.confidence}. ${row.sentence}`;
  byId("detail-notes").replaceChildren(...[...row.flags, ...row.notes].map((note) => element("li", {}, note)));
  const main = DATA.quantities.filter(({ key }) => isNumber(row.numbers[key]));
  const others = Object.keys(row.numbers).filter((key) => isNumber(row.numbers[key]) && !quantity(key));
  byId("detail-numbers").replaceChildren(element("tbody", {},
    ...main.map(({ key, title, percent }) => element("tr", {}, element("th", { scope: "row" }, title), element("td", {}, written(row.numbers[key], percent)))),
  ));
  byId("detail-others").hidden = !others.length;
  byId("detail-others").querySelector("table").replaceChildren(element("tbody", {},
    ...others.map((key) => element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, written(row.numbers[key], false)))),
  ));
  byId("detail-links").replaceChildren(row.picture ? element("a", { href: row.picture, target: "_blank", rel: "noopener" }, "The picture of these results, in full size") : "");
}

async function drawDetail() {
  const row = opened, view = await load(row);
  if (row !== opened) return;
  COMPARE.hidden = !view;
  byId("strip").hidden = !view;
  if (!view) return;
  const [left, right] = [byId("left").value, byId("right").value];
  paint(byId("under"), view, left);
  paint(byId("over"), view, right);
  COMPARE.style.aspectRatio = `${view.photo.naturalWidth} / ${view.photo.naturalHeight}`;
  for (const id of ["under", "over"]) byId(id).setAttribute("aria-label", described(row, byId(id).dataset.shown));
  byId("strip").replaceChildren(...available(view).map(({ key, title }) => {
    const canvas = element("canvas", { "aria-hidden": true });
    paint(canvas, view, key);
    const button = element("button", { type: "button", title, "aria-pressed": String(key === right) }, canvas, element("span", {}, title));
    button.addEventListener("click", () => { byId("right").value = key; drawDetail(); });
    return button;
  }));
}

function available(view) {
  return DATA.views.filter(({ key }) => {
    const [kind, name] = key.split(/:(.*)/s);
    return kind === "map" ? name in view.maps : kind === "cut" ? name in view.regions : true;
  });
}

function slide(percent) {
  SLIDER.value = percent;
  COMPARE.style.setProperty("--cut", `${percent}%`);
}

function step(by) {
  const index = shown.indexOf(opened) + by;
  if (shown[index]) location.replace(`#photo=${encodeURIComponent(shown[index].results)}`);
}

function follow() {
  const [, name] = location.hash.match(/^#photo=(.*)$/s) ?? [];
  let results = name;
  try { results = name && decodeURIComponent(name); } catch { /* a link that somebody has cut */ }
  const row = name === undefined ? null : ROWS.find((each) => each.results === results);
  if (row) openDetail(row);
  else if (DETAIL.open) DETAIL.close();
}

function startDetail() {
  for (const id of ["left", "right"]) {
    byId(id).append(...DATA.views.map(({ key, title }) => element("option", { value: key }, title)));
    byId(id).addEventListener("change", drawDetail);
  }
  byId("under").setAttribute("role", "img");
  byId("over").setAttribute("role", "img");
  byId("right").selectedIndex = Math.min(1, DATA.views.length - 1);
  SLIDER.addEventListener("input", () => slide(SLIDER.value));
  const drag = (event) => {
    const box = COMPARE.getBoundingClientRect();
    slide(Math.min(Math.max((100 * (event.clientX - box.left)) / box.width, 0), 100));
  };
  COMPARE.addEventListener("pointerdown", (event) => { COMPARE.setPointerCapture(event.pointerId); drag(event); });
  COMPARE.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  DETAIL.addEventListener("close", () => {
    const index = shown.indexOf(opened);
    opened = null;
    if (location.hash) history.replaceState(null, "", location.href.split("#")[0]);
    if (index >= 0) goTo(index);
  });
  addEventListener("hashchange", follow);
}
