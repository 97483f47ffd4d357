// Keeps My digits in the tab's own storage, so that they outlast a reload and a restart of the server; see my_digits.py. The default
// function is called whenever the page is drawn.

const NAME = "mnist_fc my digits";

let session, kept = -1; // the server's session, and the number of the last change that is stored

export default function ({ data, setTriggerValue }) {
  if (data.session !== session) {
    session = data.session;
    kept = 0;
    const digits = read();
    if (digits?.length) return setTriggerValue("open", [session, digits]);
  }
  if (!data.digits) return;
  if (data.revision > kept) write(data.digits);
  kept = data.revision;
  setTriggerValue("stored", [session, kept]);
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(NAME));
  } catch {
    return null; // storage is blocked
  }
}

function write(digits) {
  try {
    sessionStorage.setItem(NAME, JSON.stringify(digits));
  } catch {
    // Storage is blocked or full: a reload begins without digits.
  }
}
