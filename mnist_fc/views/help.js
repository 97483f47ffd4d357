// The help icon of a switch is inside the switch's label, which takes a click or tap on the icon for one on the switch. Only the help
// may open: Streamlit shows it while the mouse is over it, and while it has the focus if it was touched.

(() => {
  if (window.isHelpApart) return; // it is already running
  window.isHelpApart = true;

  function open(event) {
    const icon = event.target.closest("label [data-testid=stTooltipIcon] button");
    if (!icon) return;
    event.preventDefault();
    event.stopPropagation();
    icon.focus();
  }

  document.addEventListener("click", open, { capture: true }); // React listens below the document
})();
