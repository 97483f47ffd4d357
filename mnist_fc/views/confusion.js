// A confusion matrix whose cells can be pressed. The default function is called when it appears and again with each new data; see
// mistakes.py. It is a table of buttons, so that it can be read and used without a pointer.

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".confusion");
  const state = JSON.stringify(data);
  if (root.state === state) return;
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
  root.state = state;
  root.replaceChildren(table(data, (cell) => setTriggerValue("cell", cell)));
  if (focused) root.querySelector(`[data-place="${focused}"]`)?.focus();
}

function table({ counts, accuracies, chosen }, press) {
  const digits = [...counts.keys()];
  const worst = Math.max(1, ...counts.flatMap((row, label) => row.filter((_, digit) => digit !== label)));
  const made = document.createElement("table");
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
      button.dataset.place = `${label}-${digit}`;
      button.className = isRight ? "right" : "wrong";
      button.style.setProperty("--share", isRight ? 0.35 : count && 0.12 + 0.88 * count / worst);
      button.setAttribute("aria-label", `${count} digits labelled ${label}, read as ${digit}`);
      button.setAttribute("aria-pressed", Boolean(chosen && chosen[0] === label && chosen[1] === digit));
      button.onclick = () => press([label, digit]);
    }
    row(line, [accuracies[label]], "td");
  }
  return made;
}

/** Add texts as cells: to a row, or to a new row of a part of a table. */
function row(parent, texts, kind) {
  const line = parent instanceof HTMLTableRowElement ? parent : parent.insertRow();
  for (const text of texts) line.appendChild(document.createElement(kind)).textContent = text;
  return line;
}
