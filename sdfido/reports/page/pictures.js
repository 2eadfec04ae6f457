// Pictures of a photo: the photo, maps drawn over it, and composites, all from its view.

const LOADED = new Map(); // views by row, the ones used last at the end
const KEPT = 240; // views that stay in memory

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// A promise of the view of a row, with its pictures decoded; null where there is none.
function load(row) {
  let found = LOADED.get(row.index);
  if (found) LOADED.delete(row.index);
  else found = fetched(row).then((view) => (view ? decoded(view) : null)).catch(() => null);
  LOADED.set(row.index, found);
  if (LOADED.size > KEPT) LOADED.delete(LOADED.keys().next().value);
  return found;
}

function fetched(row) {
  if (DATA.embedded) return Promise.resolve(DATA.embedded[row.index] ?? null);
  if (!row.view) return Promise.resolve(null);
  return new Promise((resolve) => {
    const script = element("script", { src: row.view });
    script.addEventListener("load", () => { resolve(script.view ?? null); script.remove(); });
    script.addEventListener("error", () => { resolve(null); script.remove(); });
    document.head.append(script);
  });
}

// What the script of a view calls: from a page that lies in the file system, scripts are all that can be read.
window.sdfidoView = (view) => { document.currentScript.view = view; };

async function decoded(view) {
  const [photo, infill] = await Promise.all([view.photo, view.infill].map(async (text) => {
    const image = new Image();
    image.src = `data:image/webp;base64,${text}`;
    await image.decode();
    return image;
  }));
  return { ...view, photo, infill };
}

// Draws a picture of a view into a canvas, whose size becomes the photo's; the photo itself where the view has no such one.
function paint(canvas, view, mode) {
  const width = view.photo.naturalWidth, height = view.photo.naturalHeight;
  canvas.width = width;
  canvas.height = height;
  canvas.dataset.shown = mode;
  const context = canvas.getContext("2d");
  const [kind, name] = mode.split(/:(.*)/s);
  if (kind === "map" && view.maps[name]) paintMap(context, view.photo, view.maps[name], width, height);
  else if (kind === "cut" && view.regions[name]) paintComposite(context, view, view.regions[name], width, height);
  else if (mode === "infill") context.drawImage(view.infill, 0, 0);
  else {
    canvas.dataset.shown = "photo";
    context.drawImage(view.photo, 0, 0);
  }
}

// A map over its photo: (1 - a) * grey + a * colour(m), where a = opacity * |m| ** gamma, as in all pictures of sdfido.
function paintMap(context, photo, map, width, height) {
  const { floor, range } = DATA.scale;
  context.filter = "grayscale(1)";
  context.drawImage(photo, 0, 0);
  context.filter = "none";
  const base = Math.round((255 * floor) / (1 - range));
  context.fillStyle = `rgb(${base} ${base} ${base} / ${1 - range})`;
  context.fillRect(0, 0, width, height);
  context.drawImage(coloured(map, width, height), 0, 0);
}

function coloured(map, width, height) {
  const values = bytes(map.values), [rows, columns] = map.size, colours = palette(map.signed);
  const layer = element("canvas", { width, height });
  const context = layer.getContext("2d");
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const across = places(width, columns), down = places(height, rows);
  for (let y = 0, at = 0; y < height; y++) {
    const [top, bottom, v] = down[y];
    for (let x = 0; x < width; x++) {
      const [left, right, u] = across[x];
      const above = values[top * columns + left] * (1 - u) + values[top * columns + right] * u;
      const below = values[bottom * columns + left] * (1 - u) + values[bottom * columns + right] * u;
      pixels[at++] = colours[Math.round(above * (1 - v) + below * v)];
    }
  }
  context.putImageData(image, 0, 0);
  return layer;
}

// For each pixel the two cells that it lies between, and how far it is from the first: bilinear, half-pixel centres.
function places(pixels, cells) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const place = Math.min(Math.max(((pixel + 0.5) * cells) / pixels - 0.5, 0), cells - 1);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, cells - 1), place - first];
  });
}

// The colours of a map's values 0..255, as pixels; of signed maps, cold colours are below the middle.
function palette(signed) {
  const { colours, opacity, gamma } = DATA.scale;
  const shades = new Uint8ClampedArray(4 * 256);
  for (let value = 0; value < 256; value++) {
    const amount = signed ? (2 * value) / 255 - 1 : value / 255, size = Math.abs(amount);
    const [red, green, blue] = colours[Math.round(size * (colours.length - 1))];
    const warm = amount < 0 ? [blue, green, red] : [red, green, blue];
    shades.set([...warm, Math.round(255 * opacity * size ** gamma)], 4 * value);
  }
  return new Uint32Array(shades.buffer);
}

// The infill, and over it the photo where the region's mask keeps it.
function paintComposite(context, view, region, width, height) {
  const bits = bytes(region.kept), [rows, columns] = region.size;
  const mask = element("canvas", { width: columns, height: rows });
  const drawing = mask.getContext("2d");
  const image = drawing.createImageData(columns, rows);
  for (let cell = 0; cell < rows * columns; cell++) {
    image.data[4 * cell + 3] = (bits[cell >> 3] >> (7 - (cell & 7))) & 1 ? 255 : 0;
  }
  drawing.putImageData(image, 0, 0);
  const layer = element("canvas", { width, height });
  const kept = layer.getContext("2d");
  kept.imageSmoothingQuality = "low"; // bilinear, as the masks are
  kept.drawImage(mask, 0, 0, width, height);
  kept.globalCompositeOperation = "source-in";
  kept.drawImage(view.photo, 0, 0);
  context.drawImage(view.infill, 0, 0);
  context.drawImage(layer, 0, 0);
}

// The colour scale over a mid-grey photo, from 0 to 1, or from −1 to 1.
function paintScale(canvas, signed) {
  canvas.width = 220;
  canvas.height = 1;
  const context = canvas.getContext("2d"), grey = Math.round(255 * (DATA.scale.floor + DATA.scale.range / 2));
  context.fillStyle = `rgb(${grey} ${grey} ${grey})`;
  context.fillRect(0, 0, canvas.width, 1);
  const whole = { size: [1, 256], values: btoa(String.fromCharCode(...Array(256).keys())), signed };
  context.drawImage(coloured(whole, canvas.width, 1), 0, 0);
}
