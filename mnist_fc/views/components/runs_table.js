// The table of runs: each can be shown among the curves, opened, named, pinned, trained again and deleted, and its settings can be
// copied to the side panel. The default function is called when it appears and again with each new data; see runs_table.py. All
// text is set as text, since people can write anything into it.
//
// Only the row that changes is replaced, and a new row does not move the row under the pointer. The second click of a double
// click does nothing.

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".runs");
  if (!root.send) followCut(root);
  root.send = (what, run, value = null) => setTriggerValue("act", { what, run, value });
  root.latest = data;
  if (root.querySelector("input[type=text]:focus")) return; // a name is being typed; the table is redrawn afterwards
  draw(root);
}

/** Mark the table while columns are out of view on its right, for the style sheet to show. */
function followCut(root) {
  const mark = () => root.classList.toggle("cut", root.scrollLeft + root.clientWidth < root.scrollWidth - 1);
  root.addEventListener("scroll", mark);
  root.sizes = new ResizeObserver(mark);
  root.sizes.observe(root);
}

function draw(root) {
  const state = JSON.stringify(root.latest);
  if (root.state === state) return;
  root.state = state;
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
  const anchor = root.querySelector("tbody tr:hover, tbody tr:focus-within"), before = anchor?.getBoundingClientRect().top;
  drawHead(root);
  drawRows(root);
  const kept = anchor && findRow(root, anchor.dataset.run);
  if (kept) root.closest(".stMain")?.scrollBy(0, kept.getBoundingClientRect().top - before);
  if (focused && !root.contains(document.activeElement)) focusAgain(root, focused);
}

function drawHead(root) {
  if (!root.table) {
    root.table = document.createElement("table");
    root.table.createTHead();
    root.table.createTBody();
    root.replaceChildren(root.table);
    root.sizes.observe(root.table);
  }
  const columns = root.latest.columns.join("\n");
  if (root.columns === columns) return;
  root.columns = columns;
  const head = document.createElement("tr");
  head.insertCell(); // above the boxes
  for (const text of ["run", ...root.latest.columns]) head.appendChild(document.createElement("th")).textContent = text;
  root.table.tHead.replaceChildren(head);
}

function drawRows(root) {
  const body = root.table.tBodies[0];
  root.latest.rows.forEach((row, i) => {
    const state = JSON.stringify(row);
    let line = findRow(root, row.id);
    if (line?.state !== state) {
      const made = rowOf(root, row);
      made.state = state;
      if (row.isDeleted && line) made.style.height = `${line.offsetHeight}px`; // it has fewer buttons, which may take fewer lines
      line?.replaceWith(made);
      line = made;
    }
    if (body.rows[i] !== line) body.insertBefore(line, body.rows[i] ?? null);
  });
  while (body.rows.length > root.latest.rows.length) body.deleteRow(-1);
}

function findRow(root, id) {
  return Array.from(root.table.tBodies[0].rows).find((line) => line.dataset.run === id);
}

/** Focus the control in the place of the focused one: after Delete that is Undo, and after Undo it is Delete. */
function focusAgain(root, place) {
  const [what, id] = [place.slice(0, place.indexOf("-")), place.slice(place.indexOf("-") + 1)];
  const other = { delete: "undelete", undelete: "delete" }[what];
  const find = (name) => root.querySelector(`[data-place="${CSS.escape(`${name}-${id}`)}"]`);
  (find(what) ?? (other && find(other)))?.focus({ preventScroll: true });
}

function rowOf(root, row) {
  const line = document.createElement("tr");
  line.className = [row.isWatched && "watched", row.isDeleted && "deleted"].filter(Boolean).join(" ");
  line.dataset.run = row.id;
  line.dataset.state = row.state;
  line.insertCell().append(curveBox(root, row));
  const acts = document.createElement("div");
  acts.className = "acts";
  line.insertCell().append(nameField(root, row), acts);
  for (const text of row.cells) line.insertCell().textContent = text;
  if (row.isDeleted) acts.append(button(root, row, "undelete", "Undo", `Undo the deletion of ${row.name}`));
  else acts.append(...buttons(root, row));
  return line;
}

function buttons(root, row) {
  const pinned = row.isPinned ? "Pinned" : "Pin", shown = row.isWatched ? "Shown" : "Open";
  return [
    button(root, row, "open", shown, `${shown} on this page: the run ${row.name}`, { isDisabled: row.isWatched }),
    button(root, row, "pin", pinned, `${pinned}: ${row.name} is never removed for room`, { value: !row.isPinned, isDisabled: !row.isStored, isPressed: row.isPinned }),
    button(root, row, "use", "Use settings", `Use settings of ${row.name} in the side panel`),
    button(root, row, "again", "Rerun", `Rerun ${row.name}: train again with its settings`),
    button(root, row, "delete", "Delete", `Delete ${row.name}`, { isDisabled: row.isActive || !row.isStored }),
  ];
}

function curveBox(root, row) {
  const label = document.createElement("label"), box = label.appendChild(document.createElement("input"));
  box.type = "checkbox";
  box.checked = Boolean(row.color) && !row.isDeleted;
  box.disabled = row.isDeleted || !row.isStored;
  box.dataset.place = `show-${row.id}`;
  box.setAttribute("aria-label", `Show the curve of ${row.name}`);
  if (row.color) box.style.accentColor = row.color;
  box.onchange = () => root.send("show", row.id, box.checked);
  return label;
}

function nameField(root, row) {
  const field = document.createElement("input"), { maxName } = root.latest;
  Object.assign(field, { type: "text", value: row.name, maxLength: maxName, title: row.id, readOnly: row.isDeleted || !row.isStored });
  field.dataset.place = `name-${row.id}`;
  field.setAttribute("aria-label", `Name of the run ${row.id}`);
  field.oninput = () => {
    field.setCustomValidity(field.value.length < maxName ? "" : `A name has at most ${maxName} characters.`);
    field.reportValidity();
  };
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

function button(root, row, what, text, label, { value = null, isDisabled = false, isPressed = undefined } = {}) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, disabled: isDisabled, title: label, className: what });
  made.dataset.place = `${what}-${row.id}`;
  made.setAttribute("aria-label", label);
  if (isPressed !== undefined) made.setAttribute("aria-pressed", isPressed);
  made.onclick = (event) => event.detail > 1 || root.send(what, row.id, what === "again" ? root.latest.turn : value);
  return made;
}
