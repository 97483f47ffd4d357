"""The help: everything on the page in words."""

import streamlit as st

from mnist_fc.views.components.component import Component

SHORTCUTS = {
    "T": ("train", "Train"),
    "Space": ("pause", "Pause or resume"),
    "C": ("clear", "Clear the drawing"),
    "Z": ("undo", "Undo"),
    "R": ("test_digit_button", "A random test digit"),
    "?": ("help", "This help"),
}
"""The keys that press a button of the page: its own key, and what it does in words."""

_shortcuts = Component("shortcuts", "<i></i>")

FIRST = """
1. **Draw** a digit on the canvas. The network reads it at once, and says how sure it is.
2. **Train** your own network. It learns from 60,000 digits in a few seconds, and reads your drawing meanwhile.
3. **Ask why** it answers so: every pixel's part in the answer, and every neuron at work.
4. Is the answer wrong? Press what you drew, under the bars, and **teach** the network your hand.
"""
"""What one can do here, in the order of the page's steps."""

ABOUT = """
- **Train** starts a new network with the settings in the side panel. **Pause** holds it. **Stop** ends it and keeps what it
  learned. **Close run** ends it and removes it from the page; it stays under Runs. Training runs on this computer's processor.
  After a reload, the page's address leads back to the run.
- **One at a time.** While other runs are active, yours waits. The page shows its position in the queue. It starts
  automatically; **Leave queue** cancels it. A long run lets others have their turn, then resumes. A run stops a minute after
  its page is closed, unless **Keep training after I close the page** is on. **Resume** continues a stopped run.
- **The slider** under the buttons looks back, on the same axis as the charts. The drawing, all figures and all tabs then show
  the network after that many steps. ▶ plays the run from there; at its end, from the first step. Until you train, it looks back
  at the training of the built-in network, whose earlier weights are rounded to 8 bits.
- **The network at work** shows what the network sees, every neuron lit by its output, and the ten answers. The lines are the
  connections that matter most for this drawing: orange raises the answer, blue lowers it. Click or tap a neuron for its
  arithmetic, an answer to ask why.
- **The curves** show the loss (how wrong the answers are) and the accuracy (the share of correct answers). A step is one batch
  of images. Point at or tap a curve for its values, or open it as a table.
- **Draw** a digit with the mouse, a pen or a finger. Under the digit you see how sure the network is, and its second choice.
  The bars show all ten probabilities in percent. **Test digit** shows a picture from MNIST instead; **Undo** brings your
  drawing back.
- **What is it?** Press what you drew, or the keys 0 to 9 right after drawing; **none** says that it is not a digit. The drawing
  joins **My digits**, in this tab of the browser. **Teach the network my digits** trains the network that reads with them, mixed
  with MNIST's. Then the page compares it with the one before: keep it, or return.
- **Pin** keeps up to five drawings. While a network learns, a chart shows how probable the right digit becomes for each.
- The page shows **?** when it sees no digit. It reads **several digits** side by side as a number.
- **What the network sees** is your drawing, prepared like MNIST's digits: cropped, scaled, centred, with MNIST's stroke width.
  These 28 by 28 pixels are its only input. While a run is active, its newest weights read, so the answer changes as it learns.
- The tabs below go deeper. **Why this digit?** shows what each pixel adds to the answer. **Inside** shows every neuron at
  work. **Gradients** shows how strongly the loss pulls at each layer. **Misread digits** shows what the network misreads.
  **Look-alikes** shows the training digits most like yours. **Teach it your hand** has My digits and the lessons. **Test your
  handwriting** asks for 0 to 9 and scores every network.
  While a run is active, slow results are refreshed every few seconds and name their step.
- **Runs** are kept on disk. Compare, name, pin, delete and repeat them there, or train the blog's two programs. **Resume**
  continues a run that was interrupted or stopped. The page's address contains the run and all settings: reload it or share it.
  Add `hide=learning_rate,seed` to remove controls from the page.
- **Sweep** searches for better settings. **Export and import** offers the network as a checkpoint, ONNX file or script, and
  loads one of yours. Every chart can be saved as SVG or PNG.
"""


def panel() -> None:
    """Draw the button that opens the help."""
    opened = st.popover("Help", key="help", icon=":material/help:", on_change="rerun")
    is_on = st.session_state.get("shortcuts_on", True)
    if opened.open:
        with opened, st.container(key="help_text"):
            st.markdown(f"#### What you can do here\n{FIRST}")
            st.toggle("Keyboard shortcuts", is_on, key="shortcuts_switch", on_change=_switch)
            st.html(
                f"<dl class='shortcuts'>{''.join(f'<dt>{key}</dt><dd>{what}</dd>' for key, (_, what) in SHORTCUTS.items())}</dl>"
            )
            st.markdown(f"#### Everything on the page\n{ABOUT}")
    _shortcuts.show("shortcuts", {"buttons": {key: button for key, (button, _) in SHORTCUTS.items()} if is_on else {}})


def _switch() -> None:
    """Switch the shortcuts on or off; the switch itself is forgotten when the help is closed."""
    st.session_state.shortcuts_on = st.session_state.shortcuts_switch
