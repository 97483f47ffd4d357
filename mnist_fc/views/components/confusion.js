// A confusion matrix whose cells can be clicked. The default function is called when it appears and again with each new data; see
// mistakes.py. It is a table of buttons, so that it works without a pointer: it is one stop of the Tab key, and the arrow keys move
// from cell to cell; Home and End move to the ends of a row, and with Ctrl to the first and the last cell.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }; // rows, columns

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".confusion");
  const state = JSON.stringify(data);
  if (root.state === state) return;
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
  root.state = state;
  root.replaceChildren(table(data, (cell) => {
    keepHeight();
    setTriggerValue("cell", cell);
  }));
  const current = root.querySelector(`[data-place="${focused ?? root.place}"]:enabled`) ?? root.querySelector("button:enabled");
  if (current) current.tabIndex = 0;
  if (focused) current?.focus();
  root.onfocusin = ({ target }) => {
    root.querySelector("[tabindex='0']").tabIndex = -1;
    target.tabIndex = 0;
    root.place = target.dataset.place;
  };
  root.onkeydown = (event) => {
    const step = STEPS[event.key], isEnd = event.key === "End";
    if (!step && !isEnd && event.key !== "Home") return;
    event.preventDefault();
    if (step) neighbour(root, event.target, step)?.focus();
    else [...(event.ctrlKey ? root : event.target.closest("tr")).querySelectorAll("button:enabled")].at(isEnd ? -1 : 0).focus();
  };
}

/** Keep the height of the list beside the matrix: a shorter page would scroll, and move the cell under the pointer. */
function keepHeight() {
  const list = document.querySelector(".st-key-gallery");
  list.style.minHeight = `${list.getBoundingClientRect().height}px`;
}

/** Return the next cell in one direction that has digits, or null at the edge. */
function neighbour(root, button, [down, right]) {
  let [row, column] = button.dataset.place.split("-").map(Number), found;
  do found = root.querySelector(`[data-place="${row += down}-${column += right}"]`);
  while (found?.disabled);
  return found;
}

function table({ counts, accuracies, chosen }, press) {
  const digits = [...counts.keys()];
  const worst = Math.max(1, ...counts.flatMap((row, label) => row.filter((_, digit) => digit !== label)));
  const made = document.createElement("table");
  made.setAttribute("role", "grid");
  row(made.createTHead(), ["label ╲ read", ...digits, "right"], "th");
  const body = made.createTBody();
  for (const label of digits) {
    const line = row(body, [label], "th");
    for (const digit of digits) {
      const count = counts[label][digit], isRight = label === digit;
      const button = line.insertCell().appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = count || "";
      button.disabled = !count;
      button.tabIndex = -1;
      button.dataset.place = `${label}-${digit}`;
      button.className = isRight ? "right" : "wrong";
      button.style.setProperty("--share", isRight ? 0.35 : count && 0.12 + 0.88 * count / worst);
      button.setAttribute("aria-label", `${count} ${count === 1 ? "digit" : "digits"} labelled ${label}, read as ${digit}`);
      button.setAttribute("aria-pressed", Boolean(chosen && chosen[0] === label && chosen[1] === digit));
      button.onclick = () => press([label, digit]);
    }
    row(line, [accuracies[label]], "td");
  }
  return made;
}

/** Add texts as cells to a row, or to a new row of a part of a table. */
function row(parent, texts, kind) {
  const line = parent instanceof HTMLTableRowElement ? parent : parent.insertRow();
  for (const text of texts) line.appendChild(document.createElement(kind)).textContent = text;
  return line;
}
