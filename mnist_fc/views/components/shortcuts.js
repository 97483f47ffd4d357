// Presses buttons of the page by single keys; see guide.py. Streamlit's own shortcuts cannot be C, R or "?", and do not reach the
// canvas in the order of its strokes. The default function is called whenever the page is drawn.

const TYPING = "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable=true], [role=combobox], [role=dialog]";
const PRESSED_BY_SPACE = "button, a, summary, label, input, [role=tab], [role=slider], [role=button], [role=switch], [role=radio]";

let buttons = {}; // the key of each shortcut's button

export default function ({ data }) {
  if (!window.hasShortcuts) addEventListener("keydown", press, { capture: true }); // before Streamlit, to which R and C mean other things
  window.hasShortcuts = true;
  buttons = data.buttons;
}

function press(event) {
  if (!event.key) return; // the browser fills in a form
  const key = event.key === " " ? "Space" : event.key.toUpperCase(), at = event.target;
  if (!(key in buttons) || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (at.closest?.(TYPING) || (key === "Space" && at.closest?.(PRESSED_BY_SPACE))) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (event.repeat) return;
  // Other than click(), an event reaches canvas.js from a button that is disabled for an older drawing, too. React ignores it there.
  const click = new MouseEvent("click", { bubbles: true, cancelable: true, composed: true });
  document.querySelector(`.st-key-${buttons[key]} button`)?.dispatchEvent(click);
}
