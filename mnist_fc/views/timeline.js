// A slider over the moments of a run whose weights were kept, and a button that plays them. The default function is called when
// the slider appears and again with each new data, when all of the page is drawn; see moment.py. Its last place stands for the
// newest weights.

const FRAME = 450; // milliseconds that a moment is shown while it plays, at least
const NEWEST = -1;

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.timeline ??= new Timeline(parentElement.querySelector(".timeline"));
  parentElement.timeline.show(data, (moment) => setTriggerValue("moment", moment));
}

class Timeline {
  constructor(root) {
    this.root = root;
    this.turn = 0; // counts what was asked, so that the page's answer is told from a tick that came between
    this.isAnswered = true;
    root.appendChild(document.createElement("span")).textContent = "Look back";
    this.button = root.appendChild(document.createElement("button"));
    this.button.type = "button";
    this.button.addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    this.input = root.appendChild(document.createElement("input"));
    Object.assign(this.input, { type: "range", min: 0, step: 1 });
    this.input.setAttribute("aria-label", "Look back: the network after so many steps");
    this.input.addEventListener("input", () => {
      this.pause();
      this.choose(Number(this.input.value));
    });
    this.output = root.appendChild(document.createElement("output"));
    this.pause();
  }

  show(data, send) {
    this.data = data;
    this.send = send;
    this.input.max = data.steps.length;
    this.isAnswered ||= data.turn === this.turn;
    this.input.ariaBusy = !this.isAnswered;
    const shown = data.chosen === null ? data.steps.length : data.steps.indexOf(data.chosen);
    if (this.isAnswered && this.wanted !== undefined) this.ask(this.wanted);
    else if (this.isAnswered) this.input.value = shown;
    this.say();
  }

  /** Look at one moment, by its place on the slider; while the page answers, only the newest wish waits. */
  choose(place) {
    this.input.value = place;
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
    this.send({ step, turn: this.turn });
  }

  play() {
    const end = () => this.data.steps.length;
    let place = Number(this.input.value) >= end() ? -1 : Number(this.input.value);
    const next = () => {
      if (!this.root.isConnected) return this.pause();
      if (!this.isAnswered) return; // the page has not yet drawn the moment before
      place += 1;
      this.choose(place);
      if (place >= end()) this.pause();
    };
    this.timer = setInterval(next, FRAME);
    this.button.textContent = "❚❚";
    this.button.setAttribute("aria-label", "Hold");
    next();
  }

  pause() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.button.textContent = "▶";
    this.button.setAttribute("aria-label", "Play");
  }

  say() {
    const place = Number(this.input.value), { steps, newest, isLive } = this.data;
    const isNewest = place >= steps.length;
    const step = (isNewest ? newest : steps[place]).toLocaleString("en");
    this.output.textContent = isNewest ? `step ${step}, ${isLive ? "the newest" : "the last"}` : `step ${step}`;
    this.input.setAttribute("aria-valuetext", this.output.textContent);
  }
}
