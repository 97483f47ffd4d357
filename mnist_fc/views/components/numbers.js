// How components write numbers. This script precedes that of every component; numbers.py writes numbers the same way.

const DIGITS = 4;
const LEAST = 1e-4, MOST = 1e6; // numbers between these are written out, all others with a power of ten

/** Return a number in at most four significant digits: "0.006578", "12,340", "−5", "3.7 × 10⁻¹²". */
function formatNumber(value) {
  const rounded = Number(value.toPrecision(DIGITS)), size = Math.abs(rounded);
  if (size === 0) return "0"; // and not "-0"
  if (size < LEAST || size >= MOST) return scientific(rounded);
  return rounded.toLocaleString("en", { maximumSignificantDigits: DIGITS }).replace("-", "−");
}

/** Return a number as a power of ten, with its factor if that is not 1. */
function scientific(value) {
  const [factor, power] = value.toExponential(DIGITS - 1).split("e");
  const raised = String(Number(power)).replace(/[-\d]/g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]));
  const times = String(Number(factor));
  return times === "1" ? `10${raised}` : times === "-1" ? `−10${raised}` : `${times.replace("-", "−")} × 10${raised}`;
}

/** Return a share in percent with two decimals. Rounding never makes all or nothing of it; see percentages.py. */
function inPercent(share) {
  const text = `${(share * 100).toFixed(2)}%`;
  if (share < 1 && text === "100.00%") return "over 99.99%";
  return share > 0 && text === "0.00%" ? "under 0.01%" : text;
}
