// Draws a line chart as SVG. The default function is called when the chart appears and again with each new data; see chart.py,
// also for why no library is used. An update redraws the curves, one path each, and the axes only if they have changed.
// Two buttons save the chart; its file is made in the browser when one is pressed. A third shows its values as a table.

const MARGIN = { top: 8, right: 18, bottom: 20, left: 46 }; // the left one grows with the numbers beside the axis
const AXIS_TITLE = 12; // pixels for the title of the x axis, if it has one
const LABEL_GAP = 6; // pixels between a number and its axis
const ROOM = 5; // pixels around the plot, so that the dots at its edge are drawn in full
const REACH = 40; // pixels from the pointer within which a point is found
const TABLE_ROWS = 12; // about as many, evenly over the steps
const MAX_POWERS = 7; // of ten beside a logarithmic axis, and one more

const EDGE = 14; // pixels around the content of a file
const TITLE = { "font-size": 16, "font-weight": 600 }; // the font of a file's title
const NAME = { "font-size": 12, "font-weight": 400 }; // and of its legend
const LINE = { title: 21, name: 18 }; // pixels from one line to the next
const DOT = 4, GAP = 18; // pixels: the radius of a curve's dot in the legend, and the space between two entries
const PNG_SCALE = 2; // pixels of a PNG to one of the page

/** The properties that the page's style sheet sets for the parts of a chart, which a file must contain itself. */
const STYLES = {
  "text": ["fill", "font-size"],
  "line": ["stroke"],
  "line.mark": ["stroke-dasharray"],
  "path": ["fill", "stroke-width", "stroke-linejoin"],
};

export default function ({ data, parentElement }) {
  parentElement.chart ??= new Chart(parentElement.querySelector(".line-chart"), data.name);
  parentElement.chart.show(data);
}

class Chart {
  constructor(root, name) {
    this.root = root;
    this.svg = root.appendChild(element("svg", { role: "img" }));
    this.axes = this.svg.appendChild(element("g", { class: "axes" }));
    this.curves = this.svg.appendChild(element("svg", { class: "curves" })); // an svg within an svg clips its content
    this.marker = this.svg.appendChild(element("circle", { class: "marker", r: 5, visibility: "hidden" }));
    this.tip = root.appendChild(document.createElement("div"));
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.files = root.appendChild(document.createElement("div"));
    this.files.className = "files";
    this.tableButton = this.button("Table", `The ${name.replaceAll("_", " ")} chart as a table`, () => this.toggleTable());
    this.tableButton.setAttribute("aria-expanded", false);
    this.files.append(this.tableButton, this.download(name, "SVG", svgAddress), this.download(name, "PNG", pngAddress));
    this.table = root.appendChild(document.createElement("table"));
    this.table.hidden = true;
    new ResizeObserver(([{ contentRect }]) => {
      this.width = Math.round(contentRect.width);
      if (this.data) this.draw();
    }).observe(root);
    for (const kind of ["pointermove", "pointerdown"]) {
      this.svg.addEventListener(kind, (event) => {
        const box = this.svg.getBoundingClientRect();
        this.point(event.clientX - box.left, event.clientY - box.top);
      });
    }
    this.svg.addEventListener("pointerleave", ({ pointerType }) => pointerType === "touch" || this.point(Infinity, Infinity));
  }

  button(text, what, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.title = button.ariaLabel = what;
    button.addEventListener("click", act);
    return button;
  }

  download(name, format, address) {
    return this.button(format, `Download the ${name.replaceAll("_", " ")} chart as ${format}`, async () => {
      const link = document.createElement("a");
      link.download = `${name}.${format.toLowerCase()}`;
      link.href = await address(this.standalone());
      link.click();
    });
  }

  toggleTable() {
    this.table.hidden = !this.table.hidden;
    this.tableButton.setAttribute("aria-expanded", !this.table.hidden);
    this.drawTable();
  }

  /** Show each curve's values at about TABLE_ROWS values of x, the last ones included. */
  drawTable() {
    if (this.table.hidden) return;
    const { label, series, x, y } = this.data;
    const all = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
    const every = Math.max(1, Math.ceil(all.length / TABLE_ROWS));
    const shown = all.filter((_, i) => (all.length - 1 - i) % every === 0);
    const row = (tag, texts) => {
      const made = document.createElement("tr");
      texts.forEach((text, i) => {
        const cell = made.appendChild(document.createElement(i ? tag : "th"));
        cell.textContent = text;
      });
      return made;
    };
    const values = series.map((one) => new Map(one.x.map((value, i) => [value, exact(one.y[i], y)])));
    const caption = document.createElement("caption");
    caption.textContent = label.split(":")[0];
    this.table.replaceChildren(
      caption, row("th", [x.title || "x", ...series.map(({ name }) => name)]),
      ...shown.map((value) => row("td", [exact(value, x), ...values.map((each) => valueBefore(each, value))])));
  }

  show(data) {
    this.data = data;
    this.svg.setAttribute("aria-label", data.label);
    this.files.hidden = !data.series.length;
    this.draw();
    this.drawTable();
  }

  draw() {
    const width = (this.width ||= this.root.clientWidth); // asked once, since the browser would lay out the page for it
    if (!width) return; // not in view; the observer calls again
    const { series, height } = this.data;
    set(this.svg, { width, height });
    this.drawAxes(width, height);
    const inside = { x: this.left - ROOM, y: MARGIN.top - ROOM };
    inside.width = width - MARGIN.right + ROOM - inside.x;
    inside.height = height - this.below + ROOM - inside.y;
    set(this.curves, { ...inside, viewBox: Object.values(inside).join(" ") });
    const curves = series.map((one) =>
      one.x.map((value, i) => ({ one, i, left: this.x.place(value), top: this.y.place(one.y[i]) })));
    this.curves.replaceChildren(...curves.flatMap((points, i) => this.curve(series[i], points)));
    this.points = curves.flat().filter(({ top }) => top > inside.y && top < inside.y + inside.height);
    this.point(...(this.pointer ?? [Infinity, Infinity]));
  }

  /** The pixels below the plot. */
  get below() {
    return MARGIN.bottom + (this.data.x.title ? AXIS_TITLE : 0);
  }

  drawAxes(width, height) {
    const key = JSON.stringify([this.data.x, this.data.y, this.data.mark, width, height]);
    if (key === this.axesKey) return;
    this.axesKey = key;
    const { x, y, mark } = this.data;
    const bottom = height - this.below, right = width - MARGIN.right;
    this.y = scale(y, bottom, MARGIN.top);
    const beside = this.labels(this.y.ticks, y, "end"), widest = Math.max(0, ...beside.map((label) => label.getComputedTextLength()));
    this.left = Math.max(MARGIN.left, Math.ceil(widest) + LABEL_GAP + 2);
    this.root.dataset.plotLeft = this.left; // for timeline.js, whose axis is this one
    const lines = beside.map((label, i) => {
      const top = this.y.place(this.y.ticks[i]);
      set(label, { x: this.left - LABEL_GAP, y: top + 4 });
      return element("line", { x1: this.left, x2: right, y1: top, y2: top });
    });
    this.x = scale(x, this.left, right);
    const below = this.labels(this.x.ticks, x, "middle");
    below.forEach((label, i) => {
      const half = label.getComputedTextLength() / 2 + 1;
      set(label, { x: Math.max(half, Math.min(width - half, this.x.place(this.x.ticks[i]))), y: bottom + 16 });
    });
    const title = element("text", { x: (this.left + right) / 2, y: height - 5, "text-anchor": "middle" }, x.title);
    const at = this.x.place(mark);
    const marks = mark === null ? [] : [element("line", { class: "mark", x1: at, x2: at, y1: MARGIN.top, y2: bottom })];
    this.axes.replaceChildren(...lines, ...beside, ...below, title, ...marks);
  }

  /** Draw the numbers of an axis, so that they can be measured; their positions follow. */
  labels(ticks, axis, anchor) {
    const asPowers = axis.log && ticks.some((value) => value < LEAST || value >= MOST); // all of them alike
    const text = asPowers ? scientific : (value) => short(value, axis);
    const made = ticks.map((value) => element("text", { "text-anchor": anchor }, text(value)));
    this.axes.append(...made);
    return made;
  }

  curve(one, points) {
    const line = points.map(({ left, top }, i) => `${i ? "L" : "M"}${left.toFixed(1)} ${top.toFixed(1)}`).join("");
    const dots = one.dots ? points.map(({ left, top }) => element("circle", { cx: left, cy: top, r: one.dots, fill: one.color })) : [];
    return [element("path", { d: line, stroke: one.color, "data-series": one.name }), ...dots];
  }

  /** Mark the point nearest to the pointer and show its exact values, if one is near. */
  point(left, top) {
    this.pointer = [left, top];
    let nearest = null, shortest = REACH;
    for (const point of this.points) {
      const distance = Math.hypot(point.left - left, point.top - top);
      if (distance < shortest) [nearest, shortest] = [point, distance];
    }
    this.tip.hidden = !nearest;
    this.marker.setAttribute("visibility", nearest ? "visible" : "hidden");
    if (!nearest) return;
    const { one, i } = nearest, { x, y } = this.data;
    set(this.marker, { cx: nearest.left, cy: nearest.top, fill: one.color });
    this.tip.textContent = `${one.name} · ${x.title} ${exact(one.x[i], x)} · ${exact(one.y[i], y)}`;
    const isRight = nearest.left > this.root.clientWidth / 2;
    this.tip.style.left = isRight ? "" : `${nearest.left + 10}px`;
    this.tip.style.right = isRight ? `${this.root.clientWidth - nearest.left + 10}px` : "";
    this.tip.style.top = `${Math.max(0, nearest.top - 34)}px`;
  }

  /** Return the chart, with title and legend, as an SVG element that needs no page around it. */
  standalone() {
    const { label, series } = this.data;
    const { color: paper, backgroundColor: ink } = getComputedStyle(this.tip); // the tip has the page's colours, swapped
    const [width, height] = ["width", "height"].map((side) => Number(this.svg.getAttribute(side)));
    const entry = (one) => Math.ceil(3.5 * DOT + textWidth(one.name, NAME) + GAP);
    const inside = Math.max(width, ...series.map(entry)); // a long name makes the file wider
    const heading = [];
    let top = EDGE; // of the next part

    const title = label.split(/[:,]/)[0];
    const words = `${title[0].toUpperCase()}${title.slice(1)}`.split(" ");
    for (const row of rows(words, (word) => textWidth(`${word} `, TITLE), inside)) {
      const text = row.map(({ item }) => item).join(" ");
      heading.push(element("text", { ...TITLE, x: EDGE, y: top + 15, fill: ink }, text));
      top += LINE.title;
    }
    top += 5;
    for (const row of rows(series, entry, inside + GAP)) {
      for (const { item: one, left } of row) {
        heading.push(
          element("circle", { cx: EDGE + left + DOT, cy: top + 7, r: DOT, fill: one.color }),
          element("text", { ...NAME, x: EDGE + left + 3.5 * DOT, y: top + 11, fill: ink }, one.name));
      }
      top += LINE.name;
    }
    top += 3;

    const size = { width: inside + 2 * EDGE, height: top + height + EDGE };
    const font = getComputedStyle(this.root).fontFamily;
    const file = element("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}`, "font-family": font });
    const chart = element("g", { transform: `translate(${EDGE} ${top})` });
    chart.append(styled(this.axes), styled(this.curves));
    file.append(element("title", {}, label), element("rect", { ...size, fill: paper }), ...heading, chart);
    return file;
  }
}

function svgAddress(svg) {
  return `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
}

async function pngAddress(svg) {
  const image = new Image();
  image.src = svgAddress(svg);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = PNG_SCALE * image.width;
  canvas.height = PNG_SCALE * image.height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}

/** Return a copy of a part of the chart that looks the same without the page's style sheet. */
function styled(part) {
  const copy = part.cloneNode(true);
  for (const [selector, names] of Object.entries(STYLES)) {
    const copies = copy.querySelectorAll(selector);
    part.querySelectorAll(selector).forEach((original, i) => {
      const style = getComputedStyle(original);
      set(copies[i], Object.fromEntries(names.map((name) => [name, style.getPropertyValue(name)])));
    });
  }
  return copy;
}

/** Return `items` in rows no wider than `room`, each item with its left edge. */
function rows(items, width, room) {
  const made = [];
  let left = Infinity;
  for (const item of items) {
    if (left + width(item) > room) {
      made.push([]);
      left = 0;
    }
    made.at(-1).push({ item, left });
    left += width(item);
  }
  return made;
}

/** Return the width of a text in pixels, in a common font: few who open a file have the page's own. */
function textWidth(text, letters) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `${letters["font-weight"]} ${letters["font-size"]}px sans-serif`;
  return context.measureText(text).width;
}

function element(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  made.textContent = text;
  set(made, attributes);
  return made;
}

function set(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) target.setAttribute(name, value);
}

/** Return a function from a value of `axis` to its place between the pixels `from` and `to`, and the values of its ticks. */
function scale(axis, from, to) {
  const turn = axis.log ? Math.log10 : (value) => value;
  const [low, high] = axis.domain.map(turn);
  const place = (value) => from + (to - from) * (axis.log && value <= 0 ? 0 : (turn(value) - low) / (high - low));
  return { place, ticks: axis.ticks ?? (axis.log ? powersOfTen(low, high) : roundNumbers(low, high)) };
}

/** Return the powers of ten between two exponents, or every second, third and so on if there are many. */
function powersOfTen(low, high) {
  const first = Math.ceil(low), every = Math.ceil((Math.floor(high) - first) / MAX_POWERS) || 1;
  return Array.from({ length: Math.floor((Math.floor(high) - first) / every) + 1 }, (_, i) => 10 ** (first + i * every));
}

/** Return about five multiples of 1, 2 or 5 times a power of ten. */
function roundNumbers(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.99) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

/** Return a curve's value at `x`, or the last one before; nothing before its first. */
function valueBefore(values, x) {
  let last = "";
  for (const [at, value] of values) if (at <= x) last = value;
  return last;
}

function short(value, axis) {
  return axis.percent ? `${Number((value * 100).toPrecision(6))}%` : formatNumber(value);
}

function exact(value, axis) {
  if (axis.percent) return inPercent(value);
  return Number.isInteger(value) && value < MOST ? value.toLocaleString("en") : formatNumber(value);
}
