// Passes pictures that are pasted anywhere on the page, or dropped on the canvas, to the uploader of photo.py, so that they take the
// same way to the server as a chosen file. The default function is called when the page appears.

const INPUT = ".st-key-photo_file input[type='file']";
const TARGET = ".st-key-drawing";

export default function () {
  const closing = new AbortController(), { signal } = closing;
  document.addEventListener("paste", (event) => pass(event, event.clipboardData), { signal });
  document.addEventListener("dragover", (event) => {
    if (event.target.closest?.(TARGET) && event.dataTransfer.types.includes("Files")) event.preventDefault();
  }, { signal });
  document.addEventListener("drop", (event) => event.target.closest?.(TARGET) && pass(event, event.dataTransfer), { signal });
  return () => closing.abort();
}

/** Put the first file into the uploader as if it had been chosen there. Text that is pasted is left alone. */
function pass(event, { files }) {
  const input = document.querySelector(INPUT);
  if (!files.length || !input) return;
  event.preventDefault();
  const chosen = new DataTransfer();
  chosen.items.add(files[0]);
  input.files = chosen.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}
