// Boxes over a picture: one for each digit found in it, a button that chooses the digit. The default function is called when they
// appear and again with each new data; see photo.py. The picture itself lies below, drawn by Streamlit.

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".picture-boxes");
  root.setAttribute("aria-label", data.label);
  while (root.children.length > data.boxes.length) root.lastElementChild.remove();
  while (root.children.length < data.boxes.length) root.append(newBox());
  data.boxes.forEach(({ text, sure, words, isUnsure, isChosen, ...place }, i) => {
    const box = root.children[i];
    for (const [side, share] of Object.entries(place)) box.style[side] = `${100 * share}%`;
    box.classList.toggle("unsure", isUnsure);
    box.setAttribute("aria-pressed", isChosen);
    box.setAttribute("aria-label", words);
    box.title = words;
    box.querySelector("b").textContent = text;
    box.querySelector("small").textContent = sure;
    box.onclick = () => setTriggerValue("chosen", [data.picture, i]);
  });
}

function newBox() {
  const box = document.createElement("button");
  box.type = "button";
  const label = box.appendChild(document.createElement("span"));
  label.append(document.createElement("b"), document.createElement("small"));
  return box;
}
