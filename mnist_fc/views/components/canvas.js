// A canvas whose drawing survives latency, reloads and being mounted again; canvas.py describes the protocol. The strokes are drawn
// by the front end of streamlit-drawable-canvas, which this component imports and calls; see drawable_canvas.py.

const PAPER = "#ffffff";
const INK = { type: "Path", stroke: "#000000", fill: null, strokeLineCap: "round", strokeLineJoin: "round" };
const OPTIONS = {
  ...{ drawingMode: "freedraw", strokeColor: INK.stroke, fillColor: PAPER, backgroundColor: PAPER, label: "", fontSize: 20 },
  ...{ realtimeUpdateStreamlit: false, returnImageData: false, disabled: false, displayRadius: 3 },
  ...{ backgroundImageURL: null, backgroundImageFit: "stretch", maxDisplayHeight: null },
};
const MAX_SENT = 500; // entries in one message

const canvases = new WeakMap(); // by the element they are in
const drawings = new Map(); // by key; they outlast their canvases

export default function ({ data, parentElement, setStateValue }) {
  if (!canvases.has(parentElement)) canvases.set(parentElement, new Canvas(parentElement, data));
  canvases.get(parentElement).update(data, setStateValue);
  return () => {
    canvases.get(parentElement)?.close();
    canvases.delete(parentElement);
  };
}

class Canvas {
  constructor(root, { script }) {
    this.root = root;
    this.shown = null; // the strokes on the canvas
    this.closing = new AbortController();
    import(new URL(script, document.baseURI)).then((module) => this.open(module.default));
  }

  open(component) {
    const { signal } = this.closing;
    if (signal.aborted) return;
    this.component = component;
    this.render();
    const surface = this.root.querySelector("canvas.upper-canvas");
    surface.setAttribute("aria-label", "Draw a digit here with the mouse, a pen or a finger");
    surface.tabIndex = -1; // the keys 0 to 9 then say what was drawn; see correction.js
    surface.addEventListener("pointerdown", () => surface.focus({ preventScroll: true }), { signal });
    this.pen = new Pen(surface, () => this.collect(), () => this.reload(), signal);
    for (const type of ["pointerdown", "pointerup"])
      window.addEventListener(type, (event) => this.pressDisabled(event), { capture: true, signal });
    window.addEventListener("click", (event) => this.press(event), { capture: true, signal });
  }

  close() {
    this.pen?.finish();
    this.closing.abort();
    this.dispose?.();
  }

  update(data, setStateValue) {
    this.data = data;
    this.drawing = drawings.get(data.key) ?? new Drawing(data);
    drawings.set(data.key, this.drawing);
    this.drawing.send = (message) => setStateValue("drawing", message);
    this.drawing.receive(data);
    this.render();
  }

  // Show the drawing, except while the pen is down: that would cut its stroke short.
  render() {
    this.invite();
    if (!this.component || this.pen?.isDown) return;
    const { strokes } = this.drawing;
    if (!this.shown || !isSame(strokes, this.shown)) {
      this.shown = strokes;
      this.loaded = { objects: strokes, background: PAPER, load: (this.loaded?.load ?? 0) + 1 }; // a new one is loaded
    }
    const { brush, size } = this.data;
    this.root.querySelector(".paper").dataset.brush = brush; // tests wait for it
    const data = { ...OPTIONS, strokeWidth: brush, canvasWidth: size, canvasHeight: size, initialDrawing: this.loaded };
    const setStateValue = (name, value) => name === "drawing" && this.take(value.raw.objects);
    this.dispose = this.component({ data, parentElement: this.root, setStateValue });
  }

  // Say where to draw until the person does.
  invite() {
    const invitation = this.root.querySelector(".invitation");
    invitation.textContent = this.data.invitation;
    invitation.hidden = !this.data.invitation || this.drawing.hasStrokes;
  }

  // Make the component report its drawing at once. By itself it waits for 200 ms, and loses the drawing if loaded meanwhile.
  collect() {
    this.root.querySelector(".dc-toolbar button[aria-label^='Update']").click();
    this.render();
  }

  // Load the drawing again, without the stroke that was cancelled.
  reload() {
    this.shown = null;
    this.render();
  }

  take(objects) {
    for (const { path, strokeWidth } of objects.slice(this.shown.length)) {
      const stroke = { ...INK, path, strokeWidth };
      this.shown = [...this.shown, stroke];
      this.drawing.add({ stroke });
    }
  }

  // Handle the press of a button that changes the drawing before Streamlit does, so that it keeps its place among the strokes.
  press(event) {
    const { name } = this.pressed(event);
    if (!name) return;
    event.stopPropagation();
    event.preventDefault();
    this.carryOut(name);
  }

  // Handle the press of a button that the server disabled for an older drawing: no click comes from it.
  pressDisabled(event) {
    if (event.button !== 0) return;
    const { name, button } = this.pressed(event);
    const isWhole = event.type === "pointerup" && name === this.pressBegun;
    this.pressBegun = event.type === "pointerdown" ? name : null;
    if (isWhole && button?.disabled && this.drawing.isChangedBy(name)) this.carryOut(name);
  }

  // The button of this canvas that an event is for, and its key.
  pressed(event) {
    const buttons = Object.keys(this.data.presses).map((name) => ({ name, button: event.target.closest?.(`.st-key-${name} button`) }));
    return buttons.find(({ button }) => button) ?? {};
  }

  carryOut(name) {
    this.pen.finish();
    this.drawing.add({ press: name });
    this.render();
  }
}

// The drawing: the last one from the server, and the log of the changes made here since then.
class Drawing {
  constructor({ key, isKept }) {
    this.storage = isKept ? `mnist_fc drawing ${key}` : null;
    this.log = [];
  }

  receive({ session, done, given, presses }) {
    this.presses = presses;
    const kept = session === this.session ? null : this.session ? this.own : stored(this.storage);
    if (session !== this.session) Object.assign(this, { session, given, log: [], last: done, sent: done });
    if (given.revision !== this.given.revision) this.given = given;
    this.done = done;
    this.log = this.log.filter((entry) => entry.number > this.given.at);
    this.replay();
    if (kept && this.storage) this.add({ open: kept });
    else if (done >= this.sent) this.flush();
  }

  add(entry) {
    this.log.push({ number: ++this.last, ...entry });
    this.replay();
    this.flush();
  }

  flush() {
    const pending = this.log.filter((entry) => entry.number > this.done).slice(0, MAX_SENT);
    if (!pending.length) return;
    this.sent = pending.at(-1).number;
    const objects = pending.map(({ stroke, press, open }) => stroke ?? (press ? { press } : { open }));
    this.send({ session: this.session, first: pending[0].number, raw: { objects } });
  }

  // Whether the person has drawn anything that the server does not know yet.
  get hasStrokes() {
    return this.log.some(({ stroke, open }) => stroke || open);
  }

  // Whether a button would change the drawing as it is shown.
  isChangedBy(press) {
    return this.presses[press] === "undo" ? this.canUndo : this.strokes.length > 0;
  }

  // Apply the log as the server does. Only a part of the history is known here; the server's next answer corrects the rest.
  replay() {
    let now = this.given, numUnknown = Math.max(0, now.numPast - 1);
    const past = now.before ? [now.before] : [];
    for (const entry of this.log) {
      if (this.presses[entry.press] === "undo") {
        if (past.length) now = past.pop();
        else if (numUnknown-- > 0) now = beforeLast(now);
      } else if (entry.open) {
        now = after(now, entry);
        past.splice(0, Infinity, ...entry.open.map((_, i) => ({ strokes: entry.open.slice(0, i) })));
        numUnknown = 0;
      } else {
        const next = after(now, entry, this.presses[entry.press]);
        if (next !== now) past.push(now);
        now = next;
      }
    }
    this.strokes = now.strokes;
    this.own = now.isSample ? null : now.strokes; // what the person has drawn, to be kept
    this.canUndo = past.length > 0 || numUnknown > 0;
    if (this.storage && this.last) store(this.storage, this.own);
  }
}

function after(drawing, { stroke, open }, effect) {
  const { strokes, isCovered, isSample, beginsAnew } = drawing;
  if (stroke) return { strokes: beginsAnew ? [stroke] : [...strokes, stroke] };
  if (open) return { strokes: open };
  if (effect === "clear") return strokes.length || isCovered ? { strokes: [] } : drawing;
  return isCovered ? drawing : { strokes, isCovered: true, isSample, beginsAnew: true };
}

function beforeLast({ strokes, isCovered }) {
  return { strokes: isCovered ? strokes : strokes.slice(0, -1) };
}

function isSame(some, others) {
  return some.length === others.length && some.every((stroke, i) => stroke === others[i]);
}

function stored(name) {
  try {
    return name && JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null; // storage is blocked
  }
}

function store(name, strokes) {
  try {
    sessionStorage.setItem(name, JSON.stringify(strokes));
  } catch {
    // Storage is blocked or full: a reload begins with the first drawing.
  }
}
