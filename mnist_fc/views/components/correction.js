// Ten buttons that say what a drawing is, and one for "not a digit"; see correction.py. While the canvas has the focus, the keys 0 to
// 9 press them. The default function is called whenever the page is drawn.

let current; // the newest row, for the keys

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".correction");
  const row = (root.row ??= new Row(root));
  row.show(data, (message) => setTriggerValue("label", message));
  if (!window.hasDigitKeys) addEventListener("keydown", pressKey, { capture: true });
  window.hasDigitKeys = true;
  current = row;
}

function pressKey(event) {
  if (!/^[0-9]$/.test(event.key) || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (!document.activeElement?.closest(".st-key-canvas")) return;
  event.preventDefault();
  current.press(Number(event.key));
}

class Row {
  constructor(root) {
    this.root = root;
    this.part = 0;
    this.parts = root.appendChild(document.createElement("div"));
    this.parts.className = "parts";
    this.words = this.parts.appendChild(document.createElement("span"));
    this.words.setAttribute("role", "status");
    this.choices = this.parts.appendChild(document.createElement("div"));
    this.choices.className = "choices";
    this.digits = root.appendChild(document.createElement("div"));
    this.digits.className = "digits";
    this.buttons = [...Array(10).keys(), null].map((label) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label ?? "none";
      button.setAttribute("aria-label", label === null ? "It is not a digit" : `It is ${label === 8 ? "an" : "a"} ${label}`);
      button.onclick = () => this.press(label);
      (label === null ? this.parts : this.digits).append(button);
      return button;
    });
  }

  show(data, send) {
    this.data = data;
    this.send = send;
    if (this.part >= data.parts.length) this.part = 0;
    const { parts, isEnabled } = data;
    this.root.setAttribute("aria-label", "Say what you drew");
    this.words.textContent = data.words;
    const label = parts[this.part]?.label;
    this.buttons.forEach((button, digit) => {
      button.disabled = !isEnabled;
      button.setAttribute("aria-pressed", label === (digit === 10 ? "none" : digit));
    });
    const shown = JSON.stringify([this.part, ...parts.map(({ read }) => read)]);
    if (shown === this.shown) return; // a click on a button that is replaced meanwhile would be lost
    this.shown = shown;
    const choices = parts.length < 2 ? [] : parts.map(({ read }, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = read;
      button.setAttribute("aria-label", `Digit ${i + 1} of ${parts.length}, read as ${read}`);
      button.setAttribute("aria-pressed", i === this.part);
      button.onclick = () => {
        this.part = i;
        this.show(this.data, this.send);
        this.choices.children[i].focus();
      };
      return button;
    });
    this.choices.replaceChildren(...choices);
  }

  /** Send the label, also for a drawing that the row does not know of yet: the server has it. */
  press(label) {
    this.send([this.part, label]);
  }
}
