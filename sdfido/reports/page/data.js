// The data of the page, and how it is written for people.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ROWS = DATA.rows;
ROWS.forEach((row, index) => { row.index = index; });

const byId = (id) => document.getElementById(id);

// An element with attributes and children. Text is only ever set as text, never as markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const isNumber = (value) => typeof value === "number";

// A number as people read it: in percent, or with three digits.
function written(value, percent) {
  if (!isNumber(value)) return "–";
  if (!percent) return Number(value.toPrecision(3)).toString().replace("-", "\u2212");
  return value > 0 && value < 0.001 ? "< 0.1%" : `${(100 * value).toFixed(1)}%`;
}

const quantity = (key) => DATA.quantities.find((each) => each.key === key);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function mean(values) {
  const known = values.filter(isNumber);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

// What a picture shows, in words, for those who do not see it.
function described(row, mode) {
  const title = DATA.views.find((view) => view.key === mode)?.title ?? "Photo";
  return `${title} of ${row.photo}: ${row.label}, ${row.confidence}. ${row.sentence}`;
}
