// Sends the page's script a message whenever it asks for one. The default function is called when the page appears and again with
// each new number of questions; see sync.py.

export default function ({ data, parentElement, setStateValue }) {
  const known = parentElement.numQuestions ?? 0;
  parentElement.numQuestions = data.numQuestions;
  if (data.numQuestions <= known) return;
  // A slider takes over what it is told one frame after the rest of the page; a message sent before says what it showed till then.
  requestAnimationFrame(() => requestAnimationFrame(() => setStateValue("answers", data.numQuestions)));
}
