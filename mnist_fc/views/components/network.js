// The network at work: the picture that it sees, every hidden layer as a grid of neurons, ten outputs, and the connections that
// matter most. The default function is called when it appears and again with each new data; see live_network.py. It draws only
// when something has changed: for a moment after a stroke or a step of the training, and never while nothing happens.

const LEAST_SPACE = 4; // pixels between two names
const FADE = 250; // milliseconds from old values to new ones
const FLOW = 900; // milliseconds in which a new drawing runs along the connections
const LARGEST_CELL = 22, LARGEST_GRID = 150, LARGEST_PICTURE = 150; // pixels
const OUTPUTS = 6, LABELS = 1.4; // rem: the width of an answer with its probability, and the height of the names below
const LIKELY = 0.5, WORTH_SAYING = 0.01; // probabilities: the answer's, and one that is written beside its digit
const GAP = 0.7; // between two grids, as a share of a grid's width

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.network ??= new Network(parentElement.querySelector(".live-network"));
  parentElement.network.show(data, (chosen) => setTriggerValue("chosen", chosen));
}

class Network {
  constructor(root) {
    this.root = root;
    this.canvas = add(root, "canvas");
    this.picture = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
    this.stops = []; // an element over each grid, for the pointer and the keyboard
    this.labels = [];
    this.outputs = [];
    this.tip = add(root, "div", "tip");
    this.tip.hidden = true;
    this.isStill = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.data && this.place()).observe(root);
    whenThemeChanges(root, () => {
      this.colours = undefined;
      if (this.data) this.paint(1, 1);
    });
  }

  show(data, send) {
    this.send = send;
    if (JSON.stringify(data) === this.shown) return;
    this.shown = JSON.stringify(data);
    const before = this.data, old = this.layers;
    this.data = data;
    this.layers = data.layers.map(({ values, limit }) => floats(values).map((value) => value / limit));
    const isSame = old?.length === this.layers.length && old.every((layer, i) => layer.length === this.layers[i].length);
    if (!isSame) {
      this.pointed = null; // it may be in a layer that is gone
      this.tip.hidden = true;
    }
    this.old = isSame ? old : this.layers;
    this.oldConnections = isSame ? before.connections : [];
    this.root.setAttribute("aria-label", data.label);
    this.showPicture();
    this.showOutputs();
    if (!isSame || !this.boxes || before.caption !== data.caption) this.place();
    this.stops.forEach((_, i) => this.say(i, this.pointed?.i === i ? this.pointed.unit : this.strongest(i)));
    if (this.pointed) this.point(this.pointed.i, this.pointed.unit);
    this.animate(before?.picture !== data.picture && data.picture);
  }

  showPicture() {
    const image = new ImageData(28, 28);
    bytes(this.data.picture ?? "").forEach((value, i) => image.data.set([255, 255, 255, value], 4 * i));
    this.picture.getContext("2d").putImageData(image, 0, 0);
  }

  showOutputs() {
    const { outputs, digit } = this.data;
    while (this.outputs.length < outputs.length) this.outputs.push(this.newOutput(this.outputs.length));
    this.outputs.forEach((output, i) => {
      const { words, share, shown } = outputs[i];
      output.button.setAttribute("aria-label", words);
      output.button.title = words;
      output.button.style.setProperty("--share", share);
      output.button.classList.toggle("best", i === digit);
      output.button.classList.toggle("likely", share > LIKELY);
      output.button.disabled = !this.data.picture;
      output.share.textContent = share > WORTH_SAYING && digit !== null ? shown : "";
    });
    this.root.classList.toggle("doubtful", digit === null);
  }

  newOutput(i) {
    const button = add(this.root, "button", "output");
    button.type = "button";
    add(button, "b").textContent = i;
    const share = add(button, "span");
    button.addEventListener("click", () => this.send(["output", i]));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.outputs[i + step]?.button.focus();
    });
    button.addEventListener("focus", () => this.outputs.forEach((output) => (output.button.tabIndex = output.button === button ? 0 : -1)));
    button.tabIndex = i ? -1 : 0;
    return { button, share };
  }

  /** Find the place of everything, for the size that the component now has. */
  place() {
    const { clientWidth: width, clientHeight: height } = this.root, num = this.layers.length;
    if (!width) return;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), outputs = OUTPUTS * rem;
    const tall = height - LABELS * rem, side = Math.min(LARGEST_PICTURE, 0.24 * width, tall);
    const rest = width - side - outputs;
    const grid = Math.min(LARGEST_GRID, rest / (num + GAP * (num + 1))), gap = (rest - num * grid) / (num + 1);
    this.boxes = [{ left: 0, top: (tall - side) / 2, columns: 28, cell: side / 28, width: side, height: side }];
    this.layers.forEach((layer, i) => {
      const { columns, cell } = fit(layer.length, grid, tall);
      const box = { columns, cell, width: columns * cell, height: Math.ceil(layer.length / columns) * cell };
      this.boxes.push({ ...box, left: side + gap * (i + 1) + grid * i + (grid - box.width) / 2, top: (tall - box.height) / 2 });
    });
    this.boxes.push({ left: width - outputs, top: 0, columns: 1, cell: tall / this.outputs.length, width: 0, height: tall });
    Object.assign(this.canvas, { width: width * devicePixelRatio, height: height * devicePixelRatio });
    this.outputs.forEach(({ button }, i) => {
      Object.assign(button.style, { left: `${width - outputs}px`, width: `${outputs}px`, top: `${(i * tall) / this.outputs.length}px`, height: `${tall / this.outputs.length}px` });
    });
    this.placeStops(tall);
    this.paint(1, 1);
  }

  placeStops(tall) {
    const grids = this.boxes.slice(1, -1);
    while (this.stops.length > grids.length) this.stops.pop().remove();
    while (this.stops.length < grids.length) this.stops.push(this.newStop(this.stops.length));
    this.stops.forEach((stop, i) => {
      const { left, top, width, height } = grids[i];
      Object.assign(stop.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
      stop.ariaLabel = this.data.layers[i].name;
      stop.ariaValueMax = this.layers[i].length;
      stop.ariaValueMin = 1;
    });
    const names = [this.data.caption, ...this.data.layers.map(({ size }) => `${size.toLocaleString("en")} neurons`)];
    while (this.labels.length > names.length) this.labels.pop().remove();
    while (this.labels.length < names.length) this.labels.push(add(this.root, "span", "label"));
    let free = 0; // where the next name may begin; one for which there is no room is not shown
    this.labels.forEach((label, i) => {
      const { left, width } = this.boxes[i];
      label.textContent = names[i];
      const half = label.offsetWidth / 2, center = Math.max(half, left + width / 2);
      Object.assign(label.style, { left: `${center}px`, top: `${tall}px`, visibility: center - half < free ? "hidden" : "" });
      if (center - half >= free) free = center + half + LEAST_SPACE;
    });
  }

  newStop(i) {
    const stop = document.createElement("div");
    stop.className = "stop";
    this.root.insertBefore(stop, this.outputs[0].button); // so the Tab key leads from left to right
    stop.tabIndex = 0;
    stop.role = "slider"; // to a screen reader, which reads each value that the arrow keys move to
    const unitAt = ({ offsetX, offsetY }) => {
      const { columns, cell } = this.boxes[i + 1], unit = Math.floor(offsetY / cell) * columns + Math.floor(offsetX / cell);
      return unit >= 0 && unit < this.layers[i].length ? unit : null;
    };
    stop.addEventListener("pointermove", (event) => this.point(i, unitAt(event)));
    stop.addEventListener("pointerdown", (event) => this.point(i, unitAt(event)));
    stop.addEventListener("pointerleave", ({ pointerType }) => pointerType === "touch" || this.point(null));
    stop.addEventListener("click", (event) => this.choose(i, unitAt(event)));
    stop.addEventListener("focus", () => stop.matches(":focus-visible") && this.point(i, this.strongest(i)));
    stop.addEventListener("blur", () => this.point(null));
    stop.addEventListener("keydown", (event) => this.press(event, i));
    return stop;
  }

  press(event, i) {
    const { columns } = this.boxes[i + 1], last = this.layers[i].length - 1, at = this.pointed?.i === i ? this.pointed.unit : this.strongest(i);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: last - at };
    if (event.key === "Enter" || event.key === " ") this.choose(i, at);
    else if (event.key in steps) this.point(i, Math.max(0, Math.min(last, at + steps[event.key])));
    else return;
    event.preventDefault();
  }

  /** The neuron of a layer with the largest value, where the keyboard begins. */
  strongest(i) {
    return this.layers[i].reduce((best, value, unit, all) => (value > all[best] ? unit : best), 0);
  }

  choose(i, unit) {
    if (unit !== null && this.data.picture) this.send(["unit", i + 1, unit]);
  }

  /** Show the value of one neuron. */
  point(i, unit = null) {
    this.pointed = unit === null ? null : { i, unit };
    this.tip.hidden = unit === null;
    if (unit !== null) {
      const { left, top, columns, cell } = this.boxes[i + 1];
      this.tip.textContent = this.say(i, unit);
      const middle = left + ((unit % columns) + 0.5) * cell, row = Math.floor(unit / columns);
      this.tip.style.left = `${Math.max(0, Math.min(middle - this.tip.offsetWidth / 2, this.root.clientWidth - this.tip.offsetWidth))}px`;
      this.tip.style.top = `${Math.max(0, top + row * cell - this.tip.offsetHeight - 4)}px`;
    }
    if (!this.frame) this.paint(1, 1);
  }

  /** Return a neuron in words with its value, and tell screen readers that the keyboard is there. */
  say(i, unit) {
    const value = this.data.picture ? `: ${formatNumber(this.layers[i][unit] * this.data.layers[i].limit)}` : "";
    const words = `neuron ${(unit + 1).toLocaleString("en")}${value}`;
    Object.assign(this.stops[i], { ariaValueNow: unit + 1, ariaValueText: words });
    return words;
  }

  /** Fade to the new values; with `flows`, let the drawing run through the layers. */
  animate(flows) {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    if (this.isStill.matches || document.hidden) return this.paint(1, 1);
    const begun = performance.now(), length = flows ? FLOW : FADE;
    const next = (now) => {
      const passed = Math.max(0, now - begun);
      this.frame = passed < length ? requestAnimationFrame(next) : undefined;
      this.paint(Math.min(1, passed / FADE), flows ? Math.min(1, passed / FLOW) : 1);
    };
    this.frame = requestAnimationFrame(next);
  }

  /** Draw everything: `faded` of the way from old values to new ones, and the flow `flowed` of its way from left to right. */
  paint(faded, flowed) {
    if (!this.boxes) return;
    this.colours ??= coloursAt(this.tip); // asked once, since the browser would compute the page's styles for it
    const to = this.canvas.getContext("2d");
    to.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    to.clearRect(0, 0, this.root.clientWidth, this.root.clientHeight);
    this.paintPicture(to);
    this.layers.forEach((layer, i) => this.paintGrid(to, this.boxes[i + 1], layer, this.old[i], faded));
    if (faded < 1) this.paintConnections(to, this.oldConnections, 1 - faded, 1);
    this.paintConnections(to, this.data.connections, faded, flowed);
    if (this.pointed) this.paintFrame(to, this.boxes[this.pointed.i + 1], this.pointed.unit);
  }

  paintPicture(to) {
    const { left, top, width } = this.boxes[0];
    to.imageSmoothingEnabled = false;
    to.fillStyle = "#000";
    to.beginPath();
    to.roundRect(left, top, width, width, 6);
    to.fill();
    to.drawImage(this.picture, left, top, width, width);
  }

  paintGrid(to, { left, top, columns, cell: size }, values, old, faded) {
    const space = size > 6 ? 1 : size > 3 ? 0.5 : 0;
    values.forEach((value, unit) => {
      const [red, green, blue, opacity] = cell(old[unit] + (value - old[unit]) * faded || 0, this.colours);
      to.fillStyle = `rgb(${red} ${green} ${blue} / ${opacity / 255})`;
      to.fillRect(left + (unit % columns) * size, top + Math.floor(unit / columns) * size, size - space, size - space);
    });
  }

  paintConnections(to, gaps, opacity, flowed) {
    gaps.forEach((connections, gap) => {
      const largest = Math.max(...connections.map(([, , contribution]) => Math.abs(contribution)));
      const reached = Math.max(0, Math.min(1, flowed * gaps.length - gap)); // the share of this gap that the flow has passed
      for (const [source, target, contribution] of connections) {
        const strength = Math.abs(contribution) / largest;
        const [red, green, blue] = contribution < 0 ? this.colours.negative : this.colours.positive;
        const curve = curveBetween(middle(this.boxes[gap], source), middle(this.boxes[gap + 1], target));
        to.strokeStyle = `rgb(${red} ${green} ${blue} / ${opacity * (0.2 + 0.6 * strength)})`;
        to.lineWidth = 0.6 + 2.2 * strength;
        to.beginPath();
        to.moveTo(...curve[0]);
        to.bezierCurveTo(...curve[1], ...curve[2], ...curve[3]);
        to.stroke();
        if (reached <= 0 || reached >= 1) continue;
        to.fillStyle = `rgb(${red} ${green} ${blue})`;
        to.beginPath();
        to.arc(...pointOn(curve, reached), 1.5 + 2 * strength, 0, 2 * Math.PI);
        to.fill();
      }
    });
  }

  paintFrame(to, { left, top, columns, cell: size }, unit) {
    to.strokeStyle = getComputedStyle(this.root).color;
    to.lineWidth = 2;
    to.strokeRect(left + (unit % columns) * size - 1, top + Math.floor(unit / columns) * size - 1, size + 1, size + 1);
  }
}

/** Return the number of columns and the size of a cell with which a layer fills a place best. */
function fit(number, width, height) {
  let best = { columns: 1, cell: 0 };
  for (let columns = 1; columns <= number; columns++) {
    const cell = Math.min(LARGEST_CELL, width / columns, height / Math.ceil(number / columns));
    if (cell > best.cell) best = { columns, cell };
  }
  return best;
}

function middle({ left, top, columns, cell }, i) {
  return [left + ((i % columns) + (columns > 1 ? 0.5 : 0)) * cell, top + (Math.floor(i / columns) + 0.5) * cell];
}

function curveBetween([x1, y1], [x2, y2]) {
  const bend = (x2 - x1) / 2;
  return [[x1, y1], [x1 + bend, y1], [x2 - bend, y2], [x2, y2]];
}

function pointOn(curve, t) {
  const weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t), t ** 3];
  return [0, 1].map((axis) => curve.reduce((sum, point, i) => sum + weights[i] * point[axis], 0));
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function floats(text) {
  return new Float32Array(bytes(text).buffer);
}

function add(parent, tag, className = "") {
  return parent.appendChild(Object.assign(document.createElement(tag), { className }));
}
