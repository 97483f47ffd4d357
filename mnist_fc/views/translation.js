// A browser translates a page by replacing its text nodes. React, which draws the page, then cannot find the nodes that it has to
// change or remove: it shows a red NotFoundError, or old text. So only text that never changes may be translated.

(() => {
  if (!document.body.translate) return; // it is already running

  const STEADY = "[data-testid=stSidebar] :is([data-testid=stWidgetLabel], [data-testid=stHeading]), .st-key-help_text";

  function open() {
    for (const element of document.querySelectorAll(STEADY)) element.translate = true;
  }

  document.body.translate = false;
  open();
  new MutationObserver(open).observe(document.body, { childList: true, subtree: true });
})();
