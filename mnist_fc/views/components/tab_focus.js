// Brings a tab that was opened into view, and keeps the keyboard's focus on the open tab. While the page is redrawn, Streamlit (1.67) sometimes disables the tabs for a moment
// or makes them anew. The browser then drops the focus, and the next arrow key scrolls the page. The default function is called
// whenever the tabs are drawn; see tabs.py.

const PATIENCE = 5000; // milliseconds until the tabs are there again

const MOST_ABOVE = 0.4; // of the window's height: tabs above that are in view, and so is what they show

let turn; // counts the tabs that were opened from elsewhere on the page
let isWatching = false;
let isPressing = false; // a press elsewhere drops the focus, too, and that is meant

export default function ({ data }) {
  if (turn !== undefined && data.turn !== turn) requestAnimationFrame(show);
  turn = data.turn;
  if (isWatching) return;
  isWatching = true;
  addEventListener("click", ({ target }) => target.closest("[role=tab]") && show());
  addEventListener("pointerdown", () => (isPressing = true), true);
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (isPressing = false), true);
  addEventListener("focusout", ({ target, relatedTarget }) => {
    if (!relatedTarget && !isPressing && document.hasFocus() && target.matches("[role=tab]"))
      restore(lists().indexOf(target.closest("[role=tablist]")), performance.now() + PATIENCE);
  });
}

/** Scroll to the tabs unless they are in view with what they show. */
function show() {
  const list = document.querySelector(".st-key-tabs [role=tablist]"), { top } = list.getBoundingClientRect();
  if (top < 0 || top > MOST_ABOVE * innerHeight) list.scrollIntoView();
}

function lists() {
  return [...document.querySelectorAll("[role=tablist]")];
}

/** Focus the open tab of a list as soon as it can be, unless the person has moved the focus. */
function restore(list, until) {
  requestAnimationFrame(() => {
    if (isPressing || document.activeElement !== document.body || performance.now() > until) return;
    const tab = lists()[list]?.querySelector("[role=tab][aria-selected=true][tabindex]");
    if (tab) tab.focus({ preventScroll: true });
    else restore(list, until);
  });
}
