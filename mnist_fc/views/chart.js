// Draws a line chart as SVG. The default function is called when the chart appears and again with each new data; see chart.py.
// An update draws the curves anew, one path each, and the axes only when they have changed: it costs the processor next to nothing.

const MARGIN = { top: 8, right: 18, bottom: 32, left: 46 };
const ROOM = 5; // pixels around the plot in which the dots at its edge are still drawn
const REACH = 40; // pixels from the pointer within which a point is found

export default function ({ data, parentElement }) {
  parentElement.chart ??= new Chart(parentElement.querySelector(".line-chart"));
  parentElement.chart.show(data);
}

class Chart {
  constructor(root) {
    this.root = root;
    this.svg = root.appendChild(element("svg", { role: "img" }));
    this.axes = this.svg.appendChild(element("g", { class: "axes" }));
    this.curves = this.svg.appendChild(element("svg", { class: "curves" })); // an svg within an svg cuts off what is outside
    this.marker = this.svg.appendChild(element("circle", { class: "marker", r: 5, visibility: "hidden" }));
    this.tip = root.appendChild(document.createElement("div"));
    this.tip.className = "tip";
    this.tip.hidden = true;
    new ResizeObserver(() => this.data && this.draw()).observe(root);
    for (const kind of ["pointermove", "pointerdown"]) {
      this.svg.addEventListener(kind, (event) => {
        const box = this.svg.getBoundingClientRect();
        this.point(event.clientX - box.left, event.clientY - box.top);
      });
    }
    this.svg.addEventListener("pointerleave", () => this.point(Infinity, Infinity));
  }

  show(data) {
    this.data = data;
    this.svg.setAttribute("aria-label", data.label);
    this.draw();
  }

  draw() {
    const width = this.root.clientWidth;
    if (!width) return; // not in view; the observer calls again
    const { x, y, series, height } = this.data;
    set(this.svg, { width, height });
    const inside = { x: MARGIN.left - ROOM, y: MARGIN.top - ROOM };
    inside.width = width - MARGIN.right + ROOM - inside.x;
    inside.height = height - MARGIN.bottom + ROOM - inside.y;
    set(this.curves, { ...inside, viewBox: Object.values(inside).join(" ") });
    this.x = scale(x, MARGIN.left, width - MARGIN.right);
    this.y = scale(y, height - MARGIN.bottom, MARGIN.top);
    this.drawAxes(width, height);
    const curves = series.map((one) =>
      one.x.map((value, i) => ({ one, i, left: this.x.place(value), top: this.y.place(one.y[i]) }))
        .filter(({ top }) => Number.isFinite(top))); // a logarithmic axis has no place for 0
    this.curves.replaceChildren(...curves.flatMap((points, i) => this.curve(series[i], points)));
    this.points = curves.flat().filter(({ top }) => top > inside.y && top < inside.y + inside.height);
    this.point(...(this.pointer ?? [Infinity, Infinity]));
  }

  drawAxes(width, height) {
    const key = JSON.stringify([this.data.x, this.data.y, this.data.mark, width, height]);
    if (key === this.axesKey) return;
    this.axesKey = key;
    const bottom = height - MARGIN.bottom, right = width - MARGIN.right;
    const horizontal = this.y.ticks.flatMap((value) => {
      const top = this.y.place(value);
      return [
        element("line", { x1: MARGIN.left, x2: right, y1: top, y2: top }),
        element("text", { x: MARGIN.left - 6, y: top + 4, "text-anchor": "end" }, short(value, this.data.y)),
      ];
    });
    const vertical = this.x.ticks.map((value) =>
      element("text", { x: this.x.place(value), y: bottom + 16, "text-anchor": "middle" }, short(value, this.data.x)));
    const title = element("text", { x: (MARGIN.left + right) / 2, y: height - 2, "text-anchor": "middle" }, this.data.x.title);
    const at = this.x.place(this.data.mark);
    const mark = this.data.mark === null ? [] : [element("line", { class: "mark", x1: at, x2: at, y1: MARGIN.top, y2: bottom })];
    this.axes.replaceChildren(...horizontal, ...vertical, title, ...mark);
  }

  curve(one, points) {
    const line = points.map(({ left, top }, i) => `${i ? "L" : "M"}${left.toFixed(1)} ${top.toFixed(1)}`).join("");
    const dots = one.dots ? points.map(({ left, top }) => element("circle", { cx: left, cy: top, r: 3.5, fill: one.color })) : [];
    return [element("path", { d: line, stroke: one.color, "data-series": one.name }), ...dots];
  }

  /** Mark the point nearest to the pointer and say its exact values, or none when none is near. */
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

/** From a value of `axis` to its place between the pixels `from` and `to`, and the values to write beside it. */
function scale(axis, from, to) {
  const turn = axis.log ? Math.log10 : (value) => value;
  const [low, high] = axis.domain.map(turn);
  const place = (value) => from + (to - from) * (turn(value) - low) / (high - low);
  return { place, ticks: axis.ticks ?? (axis.log ? powersOfTen(low, high) : roundNumbers(low, high)) };
}

function powersOfTen(low, high) {
  return Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, i) => 10 ** (Math.ceil(low) + i));
}

/** About five multiples of 1, 2 or 5 times a power of ten. */
function roundNumbers(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.99) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

function short(value, axis) {
  return axis.percent ? `${Number((value * 100).toPrecision(4))} %` : rounded(value);
}

function exact(value, axis) {
  if (axis.percent) return `${(value * 100).toFixed(2)} %`;
  return Number.isInteger(value) ? value.toLocaleString("en") : rounded(value);
}

function rounded(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}
