// Keeps the keyboard's focus on the open tab. While the page is redrawn, Streamlit (1.67) sometimes disables the tabs for a moment
// or makes them anew. The browser then drops the focus, and the next arrow key scrolls the page. The default function is called
// whenever the tabs are drawn; see page.py.

const PATIENCE = 5000; // milliseconds until the tabs are there again

let isWatching = false;
let isPressing = false; // a press elsewhere drops the focus, too, and that is meant

export default function () {
  if (isWatching) return;
  isWatching = true;
  addEventListener("pointerdown", () => (isPressing = true), true);
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (isPressing = false), true);
  addEventListener("focusout", ({ target, relatedTarget }) => {
    if (!relatedTarget && !isPressing && document.hasFocus() && target.matches("[role=tab]")) restore(performance.now() + PATIENCE);
  });
}

/** Focus the open tab as soon as it can be, unless the person has moved the focus. */
function restore(until) {
  requestAnimationFrame(() => {
    if (isPressing || document.activeElement !== document.body || performance.now() > until) return;
    const tab = document.querySelector("[role=tab][aria-selected=true][tabindex]");
    if (tab) tab.focus({ preventScroll: true });
    else restore(until);
  });
}
