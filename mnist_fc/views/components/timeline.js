// The name and settings of the run, and a slider over the steps whose weights were kept, with a button that plays them. The slider
// is aligned with the step axis of the charts. The default function is called when it appears and again with each new data, once
// the whole page is drawn; see timeline.py.

const FRAME = 450; // the least number of milliseconds for each step while it plays
const NEWEST = -1;
const THUMB = 12; // pixels, as in the style sheet; its middle marks the value
const PLOT_RIGHT = 18; // pixels to the right of a chart's plot, as in chart.js, which also tells how many are to its left
const LEAST_BEFORE = 200; // pixels; charts that begin further left stand below the drawing, not beside it

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.timeline ??= new Timeline(parentElement.querySelector(".timeline"));
  parentElement.timeline.show(data, setTriggerValue);
}

class Timeline {
  constructor(root) {
    this.root = root;
    this.turn = 0; // counts the requests, to tell the page's answer from a tick in between
    this.isAnswered = true;
    const shown = add(root, "div", { className: "shown" });
    this.run = add(shown, "button", { type: "button", className: "run" });
    this.words = add(this.run, "span", { className: "words" });
    this.run.addEventListener("click", () => this.showAll(this.isCut && this.run.ariaExpanded !== "true"));
    this.run.addEventListener("blur", () => this.showAll(false));
    this.run.addEventListener("keydown", ({ key }) => key === "Escape" && this.showAll(false));
    this.note = add(shown, "span", { className: "note", textContent: "Side panel differs" });
    this.use = add(shown, "button", { type: "button", className: "use", textContent: "Use these settings" });
    this.use.title = "The side panel shows other settings than this run has: copy the run's settings to it";
    this.use.addEventListener("click", () => this.send("use", this.data.run));
    this.button = add(shown, "button", { type: "button", className: "play" });
    this.button.addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    this.output = add(shown, "output", {});
    this.scale = add(root, "div", { className: "scale" });
    this.ticks = add(this.scale, "div", { className: "ticks" });
    this.input = add(this.scale, "input", { type: "range", min: 0, step: "any" });
    this.input.setAttribute("aria-label", "Look back at an earlier step of the network");
    this.input.addEventListener("input", () => {
      this.pause();
      this.choose(this.nearest(Number(this.input.value)));
    });
    this.input.addEventListener("keydown", (event) => this.walk(event));
    new ResizeObserver(() => this.align()).observe(root);
    this.page = new MutationObserver((changes) => {
      this.compare();
      if (changes.some(({ attributeName }) => attributeName === "data-plot-left")) this.align();
    });
    this.page.observe(document.body, { subtree: true, childList: true, attributeFilter: ["data-settings", "data-plot-left"] });
    this.pause();
  }

  show(data, send) {
    this.data = data;
    this.send = send;
    this.places = [...data.steps, data.newest]; // the kept steps, then the newest weights
    this.words.replaceChildren(element("b", { textContent: data.name }), element("i", { textContent: " · " }), element("span", { textContent: data.settings }));
    this.run.title = this.run.textContent;
    this.compare();
    this.findCut();
    this.button.disabled = this.input.disabled = !data.steps.length;
    this.output.style.visibility = data.steps.length ? "" : "hidden"; // it keeps its place
    this.input.max = data.end;
    this.ticks.replaceChildren(...this.places.map((step) => {
      const tick = element("i", {});
      tick.style.left = `${(100 * step) / data.end}%`;
      return tick;
    }));
    this.isAnswered ||= data.turn === this.turn;
    this.input.ariaBusy = !this.isAnswered;
    const place = data.chosen === null ? data.steps.length : data.steps.indexOf(data.chosen);
    if (this.isAnswered && this.wanted !== undefined) this.ask(this.wanted);
    else if (this.isAnswered) this.place = place;
    if (!this.isAligned) this.align(); // later only when something moves: to measure it, the browser lays out the page
    this.say();
  }

  /** Put the scale on the charts' own axis, in a row of its own where they do not stand beside the drawing. */
  align() {
    const chart = document.querySelector(".st-key-loss_chart .line-chart");
    if (!chart?.clientWidth || !chart.dataset.plotLeft) return this.root.isConnected && requestAnimationFrame(() => this.align());
    const row = this.root.getBoundingClientRect(), { left, right } = chart.getBoundingClientRect();
    const isBeside = left - row.left > LEAST_BEFORE;
    this.root.style.gridTemplateColumns = isBeside ? `${left - row.left}px 1fr` : "1fr";
    const before = Number(chart.dataset.plotLeft), after = PLOT_RIGHT + (isBeside ? row.right - right : 0);
    Object.assign(this.ticks.style, { left: `${before}px`, right: `${after}px` });
    Object.assign(this.input.style, { left: `${before - THUMB / 2}px`, width: `calc(100% - ${before + after - THUMB}px)` });
    this.isAligned = true;
    this.findCut();
  }

  /** Where there is no room for all of the run's words, they are a button that shows them over what is below. */
  findCut() {
    if (this.run.ariaExpanded === "true") return;
    this.isCut = [...this.words.children].some((line) => line.scrollWidth > line.clientWidth);
    this.run.tabIndex = this.isCut ? 0 : -1;
    this.showAll(false);
  }

  showAll(isOpen) {
    this.run.ariaExpanded = this.isCut ? String(isOpen) : null;
  }

  /** Offer the run's settings while the side panel shows others; it is drawn without the rest of the page. */
  compare() {
    if (!this.root.isConnected) return this.page.disconnect();
    const panel = document.querySelector(".panel-settings");
    this.note.hidden = this.use.hidden = !this.data.run || !this.data.settingsMark || !panel || panel.dataset.settings === this.data.settingsMark;
  }

  nearest(step) {
    const distances = this.places.map((place) => Math.abs(place - step));
    return distances.lastIndexOf(Math.min(...distances));
  }

  /** Move from one moment to the next with the arrow keys: there is nothing between two. */
  walk(event) {
    const last = this.places.length - 1;
    const place = {
      ArrowLeft: this.place - 1, ArrowDown: this.place - 1, PageDown: this.place - 3, Home: 0,
      ArrowRight: this.place + 1, ArrowUp: this.place + 1, PageUp: this.place + 3, End: last,
    }[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.pause();
    this.choose(Math.max(0, Math.min(last, place)));
  }

  /** Look at the moment with this index; while the page answers, only the newest request waits. */
  choose(place) {
    this.place = place;
    const step = place >= this.data.steps.length ? NEWEST : this.data.steps[place];
    if (this.isAnswered) this.ask(step);
    else this.wanted = step;
    this.say();
  }

  ask(step) {
    this.wanted = undefined;
    this.isAnswered = false;
    this.input.ariaBusy = true;
    this.turn += 1;
    this.send("moment", { step, turn: this.turn });
  }

  play() {
    const end = () => this.data.steps.length;
    let place = this.place >= end() ? -1 : this.place;
    const next = () => {
      if (!this.root.isConnected) return this.pause();
      if (!this.isAnswered) return; // the page has not drawn the previous step yet
      place += 1;
      this.choose(place);
      if (place >= end()) this.pause();
    };
    this.timer = setInterval(next, FRAME);
    this.button.textContent = "❚❚";
    this.button.setAttribute("aria-label", "Pause playback");
    next();
  }

  pause() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.button.textContent = "▶";
    this.button.setAttribute("aria-label", "Play");
  }

  say() {
    const step = this.places[this.place], isNewest = this.place >= this.data.steps.length;
    this.input.value = step;
    const words = `step ${step.toLocaleString("en")}`;
    this.output.textContent = isNewest ? `${words}, ${this.data.isDone ? "final" : "latest"}` : words;
    this.input.setAttribute("aria-valuetext", this.data.steps.length ? this.output.textContent : "no earlier steps yet");
  }
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

function add(parent, name, properties) {
  return parent.appendChild(element(name, properties));
}
