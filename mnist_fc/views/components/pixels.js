// Pictures whose every pixel shows its value: weights, contributions, activations. The default function is called when they appear
// and again with each new data; see pixels.py.

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.pictures ??= new Pictures(parentElement.querySelector(".pixel-pictures"));
  parentElement.pictures.show(data, (place) => setTriggerValue("clicked", place));
}

class Pictures {
  constructor(root) {
    this.root = root;
    this.tiles = [];
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.legend = document.createElement("div");
    this.legend.className = "legend";
    whenThemeChanges(root, () => {
      this.colours = undefined;
      if (this.data) this.show(this.data, this.click);
    });
  }

  show(data, click) {
    this.click = click;
    while (this.tiles.length > data.tiles.length) this.tiles.pop().figure.remove();
    while (this.tiles.length < data.tiles.length) this.tiles.push(new Tile(this));
    this.data = data;
    if (this.root.lastChild !== this.tip) this.root.append(this.legend, this.tip);
    this.colours ??= coloursAt(this.tip); // asked once, since the browser would compute the page's styles for it
    this.tiles.forEach((tile, i) => tile.show(data.tiles[i]));
    this.legend.hidden = !data.legend;
    if (data.legend) this.showLegend(data.limit);
    this.root.setAttribute("aria-label", data.label);
    this.makeStops();
    this.point(...(this.tiles.includes(this.pointed?.[0]) ? this.pointed : [null]));
  }

  showLegend(limit) {
    const stops = Array.from({ length: 21 }, (_, i) => colour(i / 10 - 1, this.colours)).map(([r, g, b, a]) => `rgb(${r} ${g} ${b} / ${a / 255})`);
    const bar = document.createElement("i");
    bar.style.background = `linear-gradient(to right, ${stops})`;
    this.legend.replaceChildren(formatNumber(-limit), bar, formatNumber(limit));
  }

  /** Make a gallery one stop of the Tab key, with arrow keys from tile to tile. Each grid is a stop of its own; see `press`. */
  makeStops() {
    const { click } = this.data, current = this.tiles.includes(this.current) ? this.current : this.tiles[0];
    for (const tile of this.tiles) tile.canvas.tabIndex = click === "cell" || (click && tile === current) ? 0 : -1;
  }

  /** Focus the tile that is `step` places further on. */
  walk(tile, step) {
    const next = this.tiles[this.tiles.indexOf(tile) + step];
    next?.canvas.focus();
  }

  /** The number of tiles in the first row. */
  get numColumns() {
    const top = this.tiles[0].figure.offsetTop;
    return this.tiles.filter(({ figure }) => figure.offsetTop === top).length;
  }

  /** Show the value of one pixel of a tile; nothing if there is no pixel. */
  point(tile, pixel) {
    this.pointed = tile && [tile, pixel];
    this.tip.hidden = !Number.isFinite(tile?.values[pixel]);
    if (this.tip.hidden) return;
    const { columns } = tile.data, row = Math.floor(pixel / columns), column = pixel % columns;
    this.tip.textContent = tile.describe(pixel);
    const box = tile.canvas.getBoundingClientRect(), own = this.root.getBoundingClientRect();
    const left = box.left - own.left + (column + 0.5) * box.width / columns;
    this.tip.style.left = `${Math.max(0, Math.min(left, own.width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${box.top - own.top + row * box.height / tile.data.rows - this.tip.offsetHeight - 4}px`;
  }
}

class Tile {
  constructor(pictures) {
    this.pictures = pictures;
    this.figure = pictures.root.appendChild(document.createElement("figure"));
    this.canvas = this.figure.appendChild(document.createElement("canvas"));
    this.frame = this.figure.appendChild(document.createElement("span"));
    this.caption = this.figure.appendChild(document.createElement("figcaption"));
    this.canvas.addEventListener("pointermove", (event) => pictures.point(this, this.pixelAt(event)));
    this.canvas.addEventListener("pointerdown", (event) => pictures.point(this, this.pixelAt(event)));
    this.canvas.addEventListener("pointerleave", ({ pointerType }) => pointerType === "touch" || pictures.point(null));
    this.canvas.addEventListener("focus", () => {
      pictures.current = this;
      pictures.makeStops();
    });
    this.canvas.addEventListener("blur", () => pictures.point(null));
    this.canvas.addEventListener("click", (event) => this.choose(this.pixelAt(event)));
    this.canvas.addEventListener("keydown", (event) => this.press(event));
  }

  show(tile) {
    const { data: { click, limit, size }, colours } = this.pictures;
    const isNew = tile.values !== this.data?.values || tile.limit !== this.data?.limit;
    const isOther = limit !== this.limit || colours !== this.colours;
    Object.assign(this, { data: tile, limit, colours });
    if (isNew || isOther) this.paint(tile, tile.limit ?? limit);
    this.canvas.style.width = `${size}px`;
    this.canvas.style.aspectRatio = `${tile.columns} / ${tile.rows}`;
    this.canvas.classList.toggle("ink", Boolean(tile.ink));
    this.canvas.setAttribute("role", { tile: "button", cell: "slider" }[click] ?? "img");
    this.canvas.setAttribute("aria-label", tile.caption);
    if (click === "cell") this.say();
    this.figure.classList.toggle("clickable", Boolean(click));
    this.figure.classList.toggle("chosen", Boolean(tile.chosen));
    this.frame.hidden = tile.cell === null;
    Object.assign(this.frame.style, {
      width: `${100 / tile.columns}%`, aspectRatio: 1,
      left: `${100 * (tile.cell % tile.columns) / tile.columns}%`,
      top: `${size * Math.floor(tile.cell / tile.columns) / tile.columns}px`,
    });
    this.caption.textContent = tile.caption;
    this.caption.style.maxWidth = `${Math.max(size, 60)}px`;
  }

  /** The pixel from which the keyboard moves: the one that the tip shows, else the one with the frame. */
  get at() {
    const [tile, pixel] = this.pictures.pointed ?? [];
    return tile === this ? pixel : this.data.cell ?? 0;
  }

  /** Return a pixel in words, with its value. */
  describe(pixel) {
    const { columns, each } = this.data, row = Math.floor(pixel / columns), column = pixel % columns;
    const name = { unit: `neuron ${(pixel + 1).toLocaleString("en")}`, digit: `${pixel}`, pixel: `row ${row + 1}, column ${column + 1}` }[each];
    return `${name}: ${formatNumber(this.values[pixel])}`;
  }

  /** Tell screen readers where the keyboard is. To them a grid is a slider over its pixels: they read each value that it moves to. */
  say() {
    const now = { valuemin: 1, valuemax: this.last + 1, valuenow: this.at + 1, valuetext: this.describe(this.at) };
    for (const [name, value] of Object.entries(now)) this.canvas.setAttribute(`aria-${name}`, value);
  }

  /** The last pixel; after it the row is filled up with NaN. */
  get last() {
    return this.values.findLastIndex(Number.isFinite);
  }

  paint(tile, limit) {
    const bytes = Uint8Array.from(atob(tile.values), (letter) => letter.charCodeAt(0));
    this.values = new Float32Array(bytes.buffer);
    this.canvas.width = tile.columns;
    this.canvas.height = tile.rows;
    const image = new ImageData(tile.columns, tile.rows);
    const paint = tile.ink ? ink : tile.each === "pixel" ? colour : cell;
    this.values.forEach((value, i) => image.data.set(paint(tile.ink ? value : value / limit, this.colours), 4 * i));
    this.canvas.getContext("2d").putImageData(image, 0, 0);
  }

  pixelAt({ offsetX, offsetY }) {
    const { rows, columns } = this.data;
    const row = Math.floor(offsetY * rows / this.canvas.clientHeight), column = Math.floor(offsetX * columns / this.canvas.clientWidth);
    return row >= 0 && row < rows && column >= 0 && column < columns ? row * columns + column : undefined;
  }

  choose(pixel) {
    if (this.pictures.data.click && Number.isFinite(this.values[pixel])) this.pictures.click([this.data.id, pixel]);
  }

  /** Handle the keyboard: arrows, Home and End move over the tiles of a gallery or the pixels of a grid, Enter chooses one. */
  press(event) {
    const { data, tiles, numColumns } = this.pictures, isGallery = data.click === "tile";
    const at = isGallery ? tiles.indexOf(this) : this.at, last = isGallery ? tiles.length - 1 : this.last;
    const columns = isGallery ? numColumns : this.data.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: last - at };
    if (event.key === "Enter" || event.key === " ") this.choose(this.at);
    else if (event.key in steps && isGallery) this.pictures.walk(this, steps[event.key]);
    else if (event.key in steps) {
      this.pictures.point(this, Math.max(0, Math.min(last, at + steps[event.key])));
      this.say();
    } else return;
    event.preventDefault();
  }
}
