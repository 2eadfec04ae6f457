// Controls, keyboard, and the start.

function update() {
  const rows = chosen();
  byId("count").textContent = rows.length === ROWS.length ? counted(rows.length, "photo") : `${rows.length.toLocaleString("en")} of ${counted(ROWS.length, "photo")}`;
  showRows(rows);
  CLASSES.mark();
  tellPaper();
}

// What is shown, for the page on paper, where there are no controls.
function tellPaper(missing = 0) {
  const show = DATA.views.find(({ key }) => key === CHOICE.show).title, sort = byId("sort").selectedOptions[0]?.textContent ?? "";
  const cut = shown.length > ON_PAPER ? `; the first ${ON_PAPER} of them` : "";
  const late = missing ? ` ${counted(missing, "picture")} had not been drawn when this was printed; the page's button “Print” waits for them.` : "";
  byId("paper").textContent = `${show}. ${byId("count").textContent}, sorted by: ${sort}${CHOICE.reverse ? ", reversed" : ""}${cut}.${late}`;
}

function showAs(key) {
  CHOICE.show = key;
  tellPaper();
  for (const button of byId("show").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === key));
  for (const card of CARDS.values()) drawCard(card);
}

function options(select, entries) {
  select.replaceChildren(...entries.map(([value, title]) => element("option", { value }, title)));
}

function startControls() {
  for (const { key, title, note } of DATA.views) {
    const button = element("button", { type: "button", value: key, title: note || null }, title);
    button.addEventListener("click", () => showAs(key));
    byId("show").append(button);
  }
  options(byId("class"), [["", "all"], ...CLASSES.labels.map((label) => [label, label])]);
  const known = ROWS.some((row) => row.right !== null);
  byId("verdict-label").hidden = !known;
  options(byId("verdict"), [["", "all"], ["false", "wrong"], ["true", "right"]]);
  const sites = [...new Set(ROWS.map((row) => row.site).filter(Boolean))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  byId("site-label").hidden = !sites.length;
  options(byId("site"), [["", "all"], ...sites.map((site) => [site, site])]);
  options(byId("sort"), [["", "worst first"], ["photo", "name"], ["label", "class"], ...DATA.quantities.map(({ key, title }) => [key, title])]);
  for (const id of ["search", "class", "verdict", "site", "sort"]) {
    byId(id).addEventListener("input", () => { CHOICE[id] = byId(id).value; update(); });
  }
  for (const id of ["reverse", "look"]) {
    byId(id).addEventListener("input", () => { CHOICE[id] = byId(id).checked; update(); });
  }
  byId("ranges").append(...DATA.quantities.map(range));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("reset-all").addEventListener("click", reset);
  byId("save").addEventListener("click", save);
  byId("print").addEventListener("click", printAll);
  // The browser's own menu does not wait for pictures that are not there yet.
  addEventListener("beforeprint", () => {
    if (LIST.classList.contains("printing")) return;
    spread();
    tellPaper(undrawn());
  });
  addEventListener("afterprint", () => { gather(); tellPaper(); });
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  for (const button of document.querySelectorAll("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());
}

// Two fields for the least and the most of a quantity.
function range({ key, title, percent }) {
  const fields = ["from", "to"].map((word) => element("input", { type: "number", step: "any", "aria-label": `${title}, ${word}`, placeholder: word, "data-key": key }));
  const read = (field) => (field.value === "" ? null : Number(field.value) / (percent ? 100 : 1));
  for (const field of fields) {
    field.addEventListener("input", () => {
      const limits = fields.map(read);
      if (limits.every((limit) => limit === null)) delete CHOICE.ranges[key];
      else CHOICE.ranges[key] = limits;
      update();
    });
  }
  return element("label", {}, `${title}${percent ? ", %" : ""} `, fields[0], " – ", fields[1]);
}

// Chooses a class, a site, or both, as the controls do.
function choose(choice) {
  for (const [id, value] of Object.entries(choice)) {
    CHOICE[id] = value;
    byId(id).value = value;
  }
  update();
}

function reset() {
  Object.assign(CHOICE, { search: "", class: "", verdict: "", site: "", look: false, sort: "", reverse: false, ranges: {} });
  byId("controls").reset();
  update();
}

function save() {
  const link = element("a", { href: URL.createObjectURL(new Blob([asCsv(shown)], { type: "text/csv" })), download: "photos.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

async function printAll() {
  await spread();
  tellPaper();
  print();
}

const MOVES = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -grid.columns, ArrowDown: () => grid.columns };

function startKeyboard() {
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "p") {
      event.preventDefault();
      printAll();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "?" && !byId("help").open) byId("help").showModal();
    else if (byId("help").open) return;
    else if (event.key === "/" && !DETAIL.open) byId("search").focus();
    else if (/^[1-9]$/.test(event.key) && DATA.views[event.key - 1]) {
      const { key } = DATA.views[event.key - 1];
      if (DETAIL.open) { byId("right").value = key; drawDetail(); } else showAs(key);
    } else if (event.key === " " && DETAIL.open && !event.target.matches("button")) COMPARE.classList.add("held");
    else if (event.key in MOVES) {
      if (DETAIL.open) step(Math.sign(MOVES[event.key]()));
      else goTo(current < 0 ? 0 : current + MOVES[event.key]());
    } else return;
    event.preventDefault();
  });
  addEventListener("keyup", (event) => { if (event.key === " ") COMPARE.classList.remove("held"); });
  byId("search").addEventListener("keydown", (event) => { if (event.key === "Enter" && shown.length) goTo(0); });
}

function startTexts() {
  byId("reading").open = innerWidth > 700;
  byId("about").textContent = DATA.about;
  byId("links").append(...DATA.links.flatMap(([title, href], index) => [index ? " · " : "", element("a", { href }, title)]));
  byId("links").hidden = !DATA.links.length;
  const scale = (signed, low, high) => {
    const canvas = element("canvas", { role: "img", "aria-label": `Colour scale of the maps, from ${low} to ${high}` });
    paintScale(canvas, signed);
    return element("div", { class: "scale" }, low, canvas, high, element("small", { class: "muted" }, "importance, on the same scale for all photos"));
  };
  byId("legend").append(
    element("dl", {}, ...DATA.reading.flatMap(([term, meaning]) => [element("dt", {}, term), element("dd", {}, meaning)])),
    scale(false, "0", "1"),
    ...(DATA.signed ? [scale(true, "−1", "1")] : []),
  );
  byId("findings").hidden = !DATA.audited && !DATA.findings.length;
  byId("findings").querySelector("p").textContent = DATA.audited ?? "";
  byId("findings").querySelector("ul").append(...DATA.findings.map(({ reason, class: label, site }) => {
    const button = element("button", { type: "button" }, "show these photos");
    button.addEventListener("click", () => {
      reset();
      choose({ class: label ?? "", site: site ?? "" });
    });
    return element("li", {}, `${reason} `, button);
  }));
  byId("made").append(...DATA.made.map(({ title, entries }) => element("table", {}, element("caption", {}, title), element("tbody", {},
    ...entries.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)))))));
}

startTexts();
const CLASSES = showClasses((label) => choose({ class: CHOICE.class === label ? "" : label }));
startControls();
startDetail();
startKeyboard();
showAs(DATA.shown);
update();
follow();
