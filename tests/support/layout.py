"""Ask a browser what is cut, covered or overlapping on the page, and where the controls are."""

from collections.abc import Mapping

import pytest
from playwright.sync_api import Page

IN_EVERY_LOOK = pytest.mark.parametrize(("scheme", "width"), [("dark", 390), pytest.param("light", 1280, marks=pytest.mark.slow)])
"""Run a test on a phone in the dark theme, and on a laptop in the light one; in the standard tier once."""

CONTROLS = "button, input, summary, a[href], [role=tab], [role=slider], canvas.upper-canvas, .line-chart > svg"
"""Everything that can be clicked, and the charts."""

_HELPERS = """
  const parentOf = element => element.parentElement ?? element.getRootNode().host;
  const holds = (outer, inner) => {
    for (let e = inner; e; e = parentOf(e)) if (e === outer) return true;
    return false;
  };
  const keyOf = element => {
    const keyed = element.closest("[class*='st-key-']") ?? element.getRootNode().host?.closest("[class*='st-key-']");
    return keyed ? [...keyed.classList].find(each => each.startsWith("st-key-")).replace(/_slider$|_\\d+$/, "") : "";
  };
"""

FAULTS = (
    "(controls) => {"
    + _HELPERS
    + """
  const main = document.querySelector(".stMain"), panel = document.querySelector("[data-testid=stSidebar]");
  const isCollapsed = panel.dataset.collapsed === "true";
  const isOverlay = !isCollapsed && panel.getBoundingClientRect().right > main.getBoundingClientRect().left + 1;
  const isAside = element => isCollapsed ? panel.contains(element) : isOverlay && holds(main, element);
  // Text for screen readers alone is clipped on purpose.
  const isForReaders = element => {
    for (let e = element; e; e = parentOf(e)) {
      const { position, clip, clipPath } = getComputedStyle(e);
      if (position === "absolute" && (clip !== "auto" || clipPath !== "none")) return true;
    }
    return false;
  };
  const isDrawn = element => element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })
    && !element.closest("[hidden], template, script, style, .tip, .files") && !isAside(element) && !isForReaders(element);
  const roots = [document, ...[...document.querySelectorAll("*")].map(e => e.shadowRoot).filter(Boolean)];
  const all = selector => roots.flatMap(root => [...root.querySelectorAll(selector)]).filter(isDrawn);
  const wordsOf = element => (element.ariaLabel ?? element.textContent).trim().slice(0, 30);
  const name = element => `${keyOf(element)} ${element.tagName} "${wordsOf(element)}"`;
  const faults = new Set();

  const checkCut = (box, element) => {
    if (!box.width || !box.height) return;
    for (let e = parentOf(element); e && e !== document.documentElement; e = parentOf(e)) {
      const { overflowX, overflowY } = getComputedStyle(e), own = e.getBoundingClientRect();
      const isPage = e.matches(".stMain, body, [data-testid=stSidebarContent]");
      if (overflowX === "visible" && overflowY === "visible") continue;
      if (/auto|scroll/.test(overflowX) && !isPage) return; // reachable by scrolling
      if (box.left < own.left - 1.5 || box.right > own.right + 1.5) faults.add(`cut at the side: ${name(element)}`);
      if (/auto|scroll/.test(overflowY)) return;
      const isCut = overflowY !== "visible" && (box.top < own.top - 2.5 || box.bottom > own.bottom + 2.5);
      if (isCut) faults.add(`cut above or below: ${name(element)}`);
    }
    if (box.left < -1 || box.right > innerWidth + 1) faults.add(`beyond the screen: ${name(element)}`);
  };
  const drawn = all(controls).map(element => ({ element, box: element.getBoundingClientRect() })).filter(({ box }) => box.width);
  for (const { element, box } of drawn) checkCut(box, element);
  for (const element of all("img, canvas, table")) checkCut(element.getBoundingClientRect(), element);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (walker.nextNode()) {
    if (!walker.currentNode.textContent.trim() || !isDrawn(walker.currentNode.parentElement)) continue;
    range.selectNodeContents(walker.currentNode);
    for (const box of range.getClientRects()) checkCut(box, walker.currentNode.parentElement);
  }

  const isScrolledAway = (element, x, y) => {
    for (let e = parentOf(element); e; e = parentOf(e)) {
      const own = e.getBoundingClientRect();
      const isOutside = x < own.left || x > own.right || y < own.top || y > own.bottom;
      if (getComputedStyle(e).overflowX !== "visible" && isOutside) return true;
    }
    return false;
  };
  const hitAt = (x, y) => {
    let hit = document.elementFromPoint(x, y);
    while (hit?.shadowRoot?.elementFromPoint(x, y)) hit = hit.shadowRoot.elementFromPoint(x, y);
    return hit;
  };
  for (const { element, box } of drawn) {
    const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2, hit = hitAt(x, y);
    if (!hit || holds(element, hit) || holds(hit, element) || element.closest("label")?.contains(hit)) continue;
    if (!isScrolledAway(element, x, y)) faults.add(`covered: ${name(element)} by ${name(hit)}`);
  }

  const isOneControl = (a, b) => holds(a, b) || holds(b, a)
    || ["[role=group]", "label", ".stSlider"].some(each => a.parentElement.closest(each)?.contains(b));
  drawn.forEach((a, i) => drawn.slice(i + 1).forEach(b => {
    const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
    const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
    if (Math.min(width, height) <= 1.5 || isOneControl(a.element, b.element)) return;
    faults.add(`overlap: ${name(a.element)} and ${name(b.element)}`);
  }));
  return [...faults];
}
"""
)

POSITIONS = (
    "(controls) => {"
    + _HELPERS
    + """
  const found = {};
  const parts = ".st-key-canvas, .st-key-seen, .live-network, .st-key-probabilities, .stProgress";
  for (const element of document.querySelectorAll(`${controls}, ${parts}`)) {
    // Only a number has a choice between its digits; it takes the room of nothing else.
    if (element.closest(".files, [data-testid=stTabPanel], .st-key-cure, header, .live-network > *, .choices")) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || box.right < 0 || !element.checkVisibility({ checkVisibilityCSS: true })) continue;
    let name = `${keyOf(element)} ${element.tagName}`;
    while (name in found) name += "'";
    // A slider's thumb moves with its value; its track does not.
    const track = element.matches("[type=range], [role=slider]") && element.closest(".stSlider, .timeline") || element;
    const { left, top } = track.getBoundingClientRect();
    found[name] = [left, top];
  }
  return found;
}
"""
)

Positions = Mapping[str, tuple[float, float]]


def faults(page: Page) -> list[str]:
    """Return what is cut, covered or overlapping on the page, except what an open side panel covers."""
    found: list[str] = page.evaluate(FAULTS, CONTROLS)
    return found


def positions(page: Page) -> Positions:
    """Return left and top in pixels of each control, picture and chart outside the open tab, scrolled to the top."""
    page.evaluate("document.querySelectorAll('.stMain, [data-testid=stSidebarContent]').forEach(e => e.scrollTo(0, 0))")
    settle(page)
    found: Positions = page.evaluate(POSITIONS, CONTROLS)
    return found


def moved(before: Positions, after: Positions) -> list[str]:
    """Return what has moved by more than 2 pixels, and by how much."""
    shifts = {name: (after[name][0] - left, after[name][1] - top) for name, (left, top) in before.items()}
    return [f"{name} by {x:.0f}, {y:.0f}" for name, (x, y) in shifts.items() if max(abs(x), abs(y)) > 2]


def resize(page: Page, width: int, height: int) -> None:
    """Resize the window and wait until the page has followed."""
    page.set_viewport_size({"width": width, "height": height})
    settle(page)


def settle(page: Page) -> None:
    """Wait two frames: charts are redrawn one frame after a change of size."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def without_transitions(page: Page) -> None:
    """Open and close the side panel without transition, so that nothing is measured while it moves."""
    page.add_style_tag(content="* { transition: none !important; }")


def faint_texts(page: Page) -> list[str]:
    """Return the texts whose contrast is below WCAG's 4.5 to 1, with their contrast, once everything has faded in or out."""
    page.evaluate(ALL_FADED)
    faint: list[str] = page.evaluate(CONTRAST_BELOW, 4.5)
    return faint


ALL_FADED = """async () => {
  const isFading = one => one.playState === "running" && one.effect.getComputedTiming().iterations !== Infinity;
  for (let fading; (fading = document.getAnimations().filter(isFading)).length;) {
    await Promise.allSettled(fading.map(one => one.finished));
  }
}"""
"""Waits until everything has faded in or out. What is redrawn meanwhile cancels its fading, and may fade anew."""

CONTRAST_BELOW = """
limit => {
  const parse = text => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = color => {
    const [r, g, b] = color.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = element => {
    const layers = [], text = element.getBoundingClientRect(), x = (text.left + text.right) / 2, y = (text.top + text.bottom) / 2;
    for (let e = element; e; e = e.parentElement) {
      const box = e.getBoundingClientRect();
      // A slider's value stands beside its thumb.
      const beside = box.width < 40 && (x < box.left || x > box.right || y < box.top || y > box.bottom);
      if (!beside) layers.unshift(parse(getComputedStyle(e).backgroundColor));
    }
    return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const opacity = element => {
    let product = 1;
    for (let e = element; e; e = e.parentElement) product *= parseFloat(getComputedStyle(e).opacity);
    return product;
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })) continue;
    if (element.closest("[disabled], [aria-disabled=true], [data-disabled], label:has(input:disabled), script, style")) continue;
    const below = background(element), style = getComputedStyle(element);
    const paint = parse(element.closest("svg") ? style.fill : style.color);
    paint[3] *= opacity(element);
    const [a, b] = [luminance(over(paint, below)), luminance(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < limit) faint.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return faint;
}
"""
