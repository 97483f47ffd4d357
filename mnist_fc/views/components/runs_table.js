// The table of runs: each can be shown among the curves, opened, named, pinned, trained again and deleted, and its settings can be
// copied to the side panel. The default function is called when it appears and again with each new data; see runs.py. Names are
// untrusted, so all text is set as text, not as HTML.

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".runs");
  if (!root.send) followCut(root);
  root.send = (what, run, value = null) => setTriggerValue("act", { what, run, value });
  root.latest = data;
  if (root.querySelector("input[type=text]:focus")) return; // somebody is typing a name; the table is redrawn afterwards
  draw(root);
}

/** Marks the table while columns are out of view on its right, for the style sheet to show. */
function followCut(root) {
  const mark = () => root.classList.toggle("cut", root.scrollLeft + root.clientWidth < root.scrollWidth - 1);
  root.addEventListener("scroll", mark);
  root.sizes = new ResizeObserver(mark);
  root.sizes.observe(root);
}

function draw(root) {
  const state = JSON.stringify(root.latest);
  if (root.state === state) return;
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
  root.state = state;
  const made = table(root);
  root.replaceChildren(made);
  root.sizes.observe(made);
  if (focused) root.querySelector(`[data-place="${CSS.escape(focused)}"]`)?.focus();
}

function table(root) {
  const { columns, rows } = root.latest;
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  head.insertCell(); // above the check boxes
  for (const text of ["run", ...columns]) head.appendChild(document.createElement("th")).textContent = text;
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    line.className = row.isWatched ? "watched" : "";
    line.dataset.run = row.id;
    line.dataset.state = row.state;
    line.insertCell().append(curveBox(root, row));
    const acts = document.createElement("div");
    acts.className = "acts";
    line.insertCell().append(nameField(root, row), acts);
    for (const text of row.cells) line.insertCell().textContent = text;
    acts.append(
      button(root, row, "open", row.isWatched ? "Shown" : "Open", `Show the run ${row.name} on this page`, row.isWatched),
      button(root, row, "pin", row.isPinned ? "Pinned" : "Pin", `Pin ${row.name}: it is never removed for room`, false, row.isPinned),
      button(root, row, "use", "Use settings", `Copy the settings of ${row.name} to the side panel`),
      button(root, row, "again", "Rerun", `Train again with the settings of ${row.name}`),
      button(root, row, "delete", "Delete", `Delete ${row.name}`, row.isActive),
    );
  }
  return made;
}

function curveBox(root, row) {
  const label = document.createElement("label"), box = label.appendChild(document.createElement("input"));
  box.type = "checkbox";
  box.checked = Boolean(row.color);
  box.dataset.place = `show-${row.id}`;
  box.setAttribute("aria-label", `Show the curve of ${row.name}`);
  if (row.color) box.style.accentColor = row.color;
  box.onchange = () => root.send("show", row.id);
  return label;
}

function nameField(root, row) {
  const field = document.createElement("input");
  Object.assign(field, { type: "text", value: row.name, maxLength: 60, title: row.id });
  field.dataset.place = `name-${row.id}`;
  field.setAttribute("aria-label", `Name of the run ${row.id}`);
  field.onkeydown = (event) => {
    if (event.key === "Escape") field.value = row.name;
    if (event.key === "Enter" || event.key === "Escape") field.blur();
  };
  field.onblur = () => {
    if (field.value !== row.name) root.send("rename", row.id, field.value);
    else draw(root);
  };
  return field;
}

function button(root, row, what, text, label, isDisabled = false, isPressed = undefined) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, disabled: isDisabled, title: label, className: what });
  made.dataset.place = `${what}-${row.id}`;
  made.setAttribute("aria-label", label);
  if (isPressed !== undefined) made.setAttribute("aria-pressed", isPressed);
  made.onclick = () => root.send(what, row.id);
  return made;
}
