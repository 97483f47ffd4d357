// Sends the server a message whenever it asks for one. The default function is called when the page appears and again with each
// new number of questions; see sync.py.

export default function ({ data, parentElement, setStateValue }) {
  const known = parentElement.numQuestions ?? 0;
  parentElement.numQuestions = data.numQuestions;
  if (data.numQuestions <= known) return;
  // A slider shows a new value one frame after the rest of the page; a message sent before that contains the old value.
  requestAnimationFrame(() => requestAnimationFrame(() => setStateValue("answers", data.numQuestions)));
}
