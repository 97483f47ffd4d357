// Shows the page once it is complete. Streamlit draws one element after the other, and each moves those below it. The state of its
// script is an attribute of Streamlit's root element: if a new version does not have it, the page appears after PATIENCE.

(() => {
  const PATIENCE = 5000; // milliseconds until the page appears even if it is not complete
  const HIDDEN = "html:not(.is-drawn) :is(#root, #root *) { visibility: hidden !important }";
  const UNFINISHED = "[data-testid=stSkeleton], .line-chart:not([data-plot-left]), .live-network:empty, .timeline:empty";

  document.head.appendChild(document.createElement("style")).textContent = HIDDEN;
  let hasRun = false;

  function look() {
    const state = document.querySelector(".stApp")?.dataset.testScriptState;
    hasRun ||= state === "running";
    return hasRun && state === "notRunning" && !document.querySelector(UNFINISHED);
  }

  const observer = new MutationObserver(() => look() && document.fonts.ready.then(() => requestAnimationFrame(() => look() && show())));
  observer.observe(document.documentElement, { subtree: true, childList: true, attributes: true });
  setTimeout(show, PATIENCE);

  function show() {
    observer.disconnect();
    document.documentElement.classList.add("is-drawn");
  }
})();
