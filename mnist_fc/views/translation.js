// A browser translates by replacing text nodes. React, which draws the page, then fails to find the nodes that it is to change or remove:
// a red NotFoundError box, or text that stands still. So nothing is open to translation but what never changes while it is shown.

(() => {
  if (!document.body.translate) return; // it already runs

  const STEADY = "[data-testid=stSidebar] :is([data-testid=stWidgetLabel], [data-testid=stHeading]), .st-key-help";

  function open() {
    for (const element of document.querySelectorAll(STEADY)) element.translate = true;
  }

  document.body.translate = false;
  open();
  new MutationObserver(open).observe(document.body, { childList: true, subtree: true });
})();
