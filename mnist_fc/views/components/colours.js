// The colours of signed values, of neurons and of ink: orange is above zero and blue below, the same everywhere on the page. They
// are drawn over the page's background, brighter on a dark one.

const LIGHT = { positive: [224, 108, 20], negative: [46, 104, 224], power: 0.65 };
const DARK = { positive: [255, 150, 60], negative: [110, 160, 255], power: 0.5 };
const UNIT = [128, 128, 128, 56]; // a neuron with an output near zero: it is drawn all the same

/** Return red, green, blue and opacity for a share of the largest value, -1 to 1. Small values are emphasised to be visible. */
function colour(share, { positive, negative, power }) {
  const strength = Math.min(1, Math.abs(share) || 0) ** power;
  return [...(share < 0 ? negative : positive), Math.round(255 * strength)];
}

/** Return the same for a neuron, grey where that would hardly be visible; NaN means that there is no neuron. */
function cell(share, colours) {
  const painted = colour(share, colours);
  return Number.isNaN(share) || painted[3] > UNIT[3] ? painted : UNIT;
}

function ink(value) {
  return [255, 255, 255, Math.round(255 * Math.min(1, Math.max(0, value) || 0))];
}

/** Return the colours of the page's theme, by its style sheet: `paper` is an element whose text has the colour of the page's background. */
function coloursAt(paper) {
  const [red, green, blue] = getComputedStyle(paper).color.match(/[\d.]+/g).map(Number);
  return red + green + blue < 3 * 128 ? DARK : LIGHT;
}

/** Call `act` whenever the theme has changed, which Streamlit tells by the class of the whole page. */
function whenThemeChanges(element, act) {
  new MutationObserver(act).observe(element.closest(".stApp"), { attributeFilter: ["class"] });
}
