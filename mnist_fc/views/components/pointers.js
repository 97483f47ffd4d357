// Lets one pointer at a time draw. Fabric.js handles mouse and touch events itself, but its stroke never ends if the mouse-up is
// lost, after a right click or a touchcancel, and the first touch blocks all others. So Fabric.js gets none of the browser's own
// events: this script turns pointer events into the mouse events of one well-formed stroke after the other.

const NATIVE_EVENTS = ["mousedown", "mousemove", "mouseup", "touchstart", "touchmove", "touchend"];
const RESTING_PIXELS = 6; // a touch that has moved less is at rest, like a palm
const PINCHING_PIXELS = 12; // a second touch that has moved so far during a stroke's beginning is a finger that pinches
const BEGINNING_PIXELS = 30; // a stroke that is longer is meant as one

class Pen {
  // `onStroke` is called whenever a stroke has ended, `onCancel` when one is not to be kept; `signal` removes all listeners.
  constructor(surface, onStroke, onCancel, signal) {
    this.surface = surface;
    this.onStroke = onStroke;
    this.onCancel = onCancel;
    this.pointer = null; // the id of the pointer that draws
    this.last = null; // its last event
    this.length = 0; // of its stroke, in pixels
    this.resting = new Map(); // touches that do not draw: where each began, whether it becomes a dot if it ends now, or pinches
    const stage = surface.parentElement;
    for (const type of NATIVE_EVENTS) stage.addEventListener(type, stop, { capture: true, passive: false, signal });
    stage.addEventListener("pointerdown", (event) => this.down(event), { signal });
    const everywhere = { capture: true, signal };
    window.addEventListener("pointermove", (event) => this.move(event), everywhere);
    window.addEventListener("pointerup", (event) => this.up(event), everywhere);
    for (const type of ["pointercancel", "lostpointercapture"])
      window.addEventListener(type, (event) => this.cancel(event), everywhere);
    window.addEventListener("blur", () => this.finish(), { signal });
    document.addEventListener("visibilitychange", () => this.finish(), { signal });
    // The context menu would receive the mouse-up; on touch it opens when a finger rests.
    window.addEventListener("contextmenu", (event) => this.isBusy && event.preventDefault(), everywhere);
  }

  get isDown() {
    return this.pointer !== null;
  }

  get isBusy() {
    return this.isDown || this.resting.size > 0;
  }

  // Whether a second finger would make the stroke a pinch. A pen is never one of two fingers.
  get isBeginning() {
    return this.isDown && this.last.pointerType === "touch" && this.length < BEGINNING_PIXELS;
  }

  down(event) {
    if (event.button !== 0) return;
    if (event.pointerType === "touch") {
      this.resting.set(event.pointerId, { start: event, isDot: !this.isDown });
      if (this.isBeginning) this.pinch();
      return;
    }
    this.finish();
    this.surface.setPointerCapture(event.pointerId); // no mouse-up arrives from a disabled button or from outside the window
    this.begin(event);
  }

  move(event) {
    if (event.pointerId === this.pointer) {
      if (event.pointerType !== "touch" && !(event.buttons & 1)) return this.finish();
      this.length += distance(this.last, event);
      this.last = event;
      return this.send("mousemove", event);
    }
    const touch = this.resting.get(event.pointerId);
    if (!touch || touch.isPinching) return;
    const moved = distance(touch.start, event);
    if (this.isBeginning && moved >= PINCHING_PIXELS) return this.pinch();
    if (this.isDown || moved < RESTING_PIXELS) return;
    this.resting.delete(event.pointerId);
    for (const other of this.resting.values()) other.isDot = false;
    this.begin(touch.start, event.pointerId);
    this.move(event);
  }

  up(event) {
    if (event.pointerId === this.pointer) return this.finish();
    const touch = this.resting.get(event.pointerId);
    this.resting.delete(event.pointerId);
    if (!touch?.isDot || this.isDown) return;
    this.begin(touch.start);
    this.finish();
  }

  cancel(event) {
    if (event.pointerId === this.pointer) this.finish();
    if (event.type === "pointercancel") this.resting.delete(event.pointerId);
  }

  begin(event, pointer = event.pointerId) {
    this.pointer = pointer;
    this.last = event;
    this.length = 0;
    this.send("mousedown", event);
  }

  // Two fingers pinch: drop the stroke, and let neither draw until it has left.
  pinch() {
    this.resting.set(this.pointer, { start: this.last });
    for (const touch of this.resting.values()) Object.assign(touch, { isDot: false, isPinching: true });
    this.pointer = null;
    this.send("mouseup", this.last);
    this.onCancel();
  }

  finish() {
    if (!this.isDown) return;
    this.pointer = null;
    this.send("mouseup", this.last);
    this.onStroke();
  }

  send(type, { clientX, clientY, shiftKey }) {
    const buttons = type === "mouseup" ? 0 : 1;
    const options = { clientX, clientY, shiftKey, buttons, bubbles: true, cancelable: true, composed: true };
    this.surface.dispatchEvent(new MouseEvent(type, options));
  }
}

function distance(from, to) {
  return Math.hypot(to.clientX - from.clientX, to.clientY - from.clientY);
}

function stop(event) {
  if (!event.isTrusted) return; // created by this script
  event.stopPropagation();
  if (event.type === "touchstart") event.preventDefault(); // no mouse events follow, and nothing scrolls
}
