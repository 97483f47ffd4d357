// The button in the sticky bar that shows what the network sees and reads. It leads back to the drawing, and has words for that
// while the drawing is out of view. The default function is called when it appears and again with each new data; see answer.py.

const BAR = 100; // pixels at the top of the window that the bar covers

export default function ({ data, parentElement }) {
  parentElement.glance ??= new Glance(parentElement.querySelector("button"));
  parentElement.glance.show(data);
}

class Glance {
  constructor(button) {
    this.button = button;
    [this.pictures, this.answer] = button.querySelectorAll("span, b");
    button.addEventListener("click", goBack);
    this.inView = new IntersectionObserver(
      (changes) => button.classList.toggle("away", !changes.at(-1).isIntersecting),
      { rootMargin: `-${BAR}px 0px 0px` },
    );
  }

  show({ pictures, answer }) {
    this.pictures.className = pictures.length === 1 ? "one" : "several";
    while (this.pictures.childElementCount > pictures.length) this.pictures.lastChild.remove();
    while (this.pictures.childElementCount < pictures.length)
      this.pictures.append(Object.assign(document.createElement("img"), { className: "pixels", alt: "what the network sees: 28 by 28 pixels" }));
    pictures.forEach((source, i) => {
      if (this.pictures.children[i].src !== source) this.pictures.children[i].src = source;
    });
    this.answer.textContent = answer;
    const drawing = drawingOf();
    if (drawing === this.drawing) return;
    this.inView.disconnect();
    this.inView.observe(drawing);
    this.drawing = drawing;
  }
}

function drawingOf() {
  return document.querySelector(".st-key-drawing");
}

/** Scroll to the top, or as far down from there as it takes to have all of the drawing in view. */
function goBack() {
  document.querySelector(".stMain").scrollTo(0, 0);
  drawingOf().scrollIntoView({ block: "nearest" });
}
