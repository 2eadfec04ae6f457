// Which photos are shown, in which order, and the summary of each class.

const CHOICE = { show: DATA.views[0].key, search: "", class: "", verdict: "", site: "", look: false, sort: "", reverse: false, ranges: {} };

const matches = (row) => {
  const words = CHOICE.search.toLowerCase().split(/\s+/).filter(Boolean);
  return (
    (!CHOICE.class || row.label === CHOICE.class) &&
    (!CHOICE.verdict || String(row.right) === CHOICE.verdict) &&
    (!CHOICE.site || row.site === CHOICE.site) &&
    (!CHOICE.look || row.notes.length + row.flags.length > 0) &&
    words.every((word) => row.text.includes(word)) &&
    Object.entries(CHOICE.ranges).every(([key, [low, high]]) => {
      const value = row.numbers[key];
      return isNumber(value) && (low === null || value >= low) && (high === null || value <= high);
    })
  );
};

ROWS.forEach((row) => {
  row.text = [row.photo, row.label, row.truth, row.site, row.sequence, ...row.flags, ...row.notes].filter(Boolean).join(" ").toLowerCase();
});

// The places of all texts of a kind in alphabetical order, with numbers in them by their value: found once.
const ORDERS = new Map();
function order(key) {
  if (!ORDERS.has(key)) {
    const { compare } = new Intl.Collator("en", { numeric: true });
    const sorted = [...new Set(ROWS.map((row) => row[key]))].sort(compare);
    ORDERS.set(key, new Map(sorted.map((text, place) => [text, place])));
  }
  return ORDERS.get(key);
}

// The rows that are shown, in order; those without the quantity that they are sorted by come last.
function chosen() {
  const key = CHOICE.sort, sign = CHOICE.reverse ? -1 : 1;
  const texts = key === "photo" || key === "label" ? order(key) : null;
  const value = texts ? (row) => texts.get(row[key]) : key ? (row) => row.numbers[key] : (row) => row.rank;
  return ROWS.filter(matches).sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    const [known, knownToo] = [a !== undefined && a !== null, b !== undefined && b !== null];
    if (!known || !knownToo) return knownToo - known || one.rank - other.rank;
    return sign * (a - b) || one.rank - other.rank;
  });
}

// A table of all classes; a click shows the photos of one.
function showClasses(choose) {
  const groups = new Map();
  for (const row of ROWS) {
    if (!groups.has(row.label)) groups.set(row.label, []);
    groups.get(row.label).push(row);
  }
  const columns = [
    ["Photos", (rows) => rows.length.toLocaleString("en")],
    ...(ROWS.some((row) => row.right !== null) ? [["Right", (rows) => written(mean(rows.map((row) => (row.right === null ? null : Number(row.right)))), true)]] : []),
    ...DATA.quantities.map(({ key, title, percent }) => [title, (rows) => written(mean(rows.map((row) => row.numbers[key])), percent)]),
    ["With notes", (rows) => rows.filter((row) => row.notes.length + row.flags.length).length.toLocaleString("en")],
  ];
  const sorted = [...groups].sort(([one, a], [other, b]) => b.length - a.length || one.localeCompare(other, "en"));
  const lines = sorted.map(([label, rows]) => {
    const button = element("button", { type: "button" }, label);
    button.addEventListener("click", () => choose(label));
    const line = element("tr", {}, element("td", {}, button), ...columns.map(([, told]) => element("td", {}, told(rows))));
    line.label = label;
    return line;
  });
  byId("classes").querySelector("table").replaceChildren(
    element("thead", {}, element("tr", {}, element("th", {}, "Class"), ...columns.map(([title]) => element("th", {}, title)))),
    element("tbody", {}, ...lines),
  );
  byId("classes").querySelector("summary").textContent = `${counted(groups.size, "class").replace("classs", "classes")}, means over their photos`;
  return { labels: sorted.map(([label]) => label), mark: () => lines.forEach((line) => line.setAttribute("aria-current", line.label === CHOICE.class)) };
}

// The shown rows as CSV, for spreadsheets.
function asCsv(rows) {
  const names = ["photo", "label", "truth", "right", "site", "sequence", ...DATA.numbers, "flags", "notes", "results"];
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    let text = Array.isArray(value) ? value.join(" ") : String(value);
    if (!isNumber(value) && /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text)) text = `'${text}`; // a spreadsheet would compute it
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = rows.map((row) => names.map((name) => cell(name in row.numbers ? row.numbers[name] : row[name])).join(","));
  return `\ufeff${[names.join(","), ...lines].join("\r\n")}\r\n`;
}
