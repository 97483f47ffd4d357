"""Export and import: the network, a run's figures and its settings as files, and a network loaded from a file."""

import hashlib
import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import streamlit as st
from streamlit.typing import UploadedFile

from mnist_fc.analysis.settings_check import INPUTS_IN_WORDS, Suggestion
from mnist_fc.config import Activation, TrainConfig
from mnist_fc.files import read_bounded
from mnist_fc.network import checkpoint
from mnist_fc.network.adaptation import Inputs
from mnist_fc.network.checkpoint import CHECKPOINT_NAME, CONFIG_NAME, MAX_BYTES, SAFETENSORS_NAME, SHIPPED, CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.runs.layout import METRICS_NAME, REPORT_NAME
from mnist_fc.runs.lessons import LESSON_NAME
from mnist_fc.runs.metrics import MAX_METRICS_BYTES
from mnist_fc.server.run import Run
from mnist_fc.views import controls
from mnist_fc.views.settings import WORDS
from mnist_fc.views.state import formatting, networks, session, streamlit_patches

ONNX_NAME, SCRIPT_NAME = "model.onnx", "train.py"

MAX_SHOWN = 60
"""Characters of a file's name that are kept."""


def panel(network: networks.Network) -> None:
    """Draw the downloads, and the uploader for a network."""
    left, right = st.columns(2, gap="large")
    with left:
        _network(network)
        _run(session.watched_run())
    with right:
        _load(network)
        _program()


def _network(network: networks.Network) -> None:
    """Offer the network that reads in two formats; a file is made when its button is pressed."""
    model = network.reader.model
    st.markdown("#### The network that reads now")
    st.caption(f"{network.name[0].upper()}{network.name[1:]}: {network.layers}, {network.accuracy}.")
    _download(
        CHECKPOINT_NAME,
        "Its weights for PyTorch: `model.load_state_dict(torch.load('model.ckpt'))`. "
        "The model's class needs layers fc1, fc2 and so on, like the blog's.",
        lambda: checkpoint.to_bytes(model.state_dict()),
    )
    _download(
        SAFETENSORS_NAME,
        "The same weights as safetensors: `model.load_state_dict(safetensors.torch.load_file('model.safetensors'))`.",
        lambda: checkpoint.to_safetensors(model.state_dict()),
        label="safetensors",
    )
    _download(
        CONFIG_NAME,
        "Its activation, which the weights do not contain, and the settings it began with. Put it beside model.ckpt: "
        "`python -m mnist_fc evaluate model.ckpt` reads both.",
        lambda: _config_of(network),
    )
    if network.run and network.step and (lesson := network.run.lesson):
        _download(
            LESSON_NAME,
            "The digits that it was taught. Put it beside model.ckpt: `python -m mnist_fc predict` then rejects no drawing much "
            "like them, as this page does.",
            lambda: replace(lesson, start=None).to_npz(),
        )
    _download(
        ONNX_NAME,
        "The same network for ONNX Runtime, in a browser, on a phone or in another language. "
        "Input: 784 pixels from 0 (paper) to 1 (ink). Output: ten logits.",
        lambda: _onnx(model),
    )


# Imported where they are used: ONNX and Jinja2 take 6 MB and 0.2 s, and few need the files.


def _onnx(model: MLP) -> bytes:
    from mnist_fc.export.onnx import to_onnx

    return to_onnx(model)


def _script(config: TrainConfig) -> str:
    from mnist_fc.export.script import render_script

    return render_script(config)


def _config_of(network: networks.Network) -> str:
    """Return the text of config.json. For a loaded file, only the layers and the chosen activation are known."""
    if network.file:
        model = network.reader.model
        return json.dumps({"hidden_sizes": model.hidden_sizes, "activation": model.activation_name}, indent=2)
    return network.run.config.to_json() if network.run else SHIPPED.with_name(CONFIG_NAME).read_text("utf-8")


def _run(run: Run | None) -> None:
    """Offer the files of the run that is shown, and its settings if they differ from the side panel's."""
    in_panel = controls.config()
    st.markdown("#### This run")
    _download(
        METRICS_NAME,
        "Loss, accuracy, learning rate and gradients for a spreadsheet or pandas, one row per point of the curves.",
        *_file_of(run, METRICS_NAME),
    )
    _download(REPORT_NAME, "Its result, epochs and settings on one page.", *_file_of(run, REPORT_NAME))
    if run and (config := run.config.replace(threads=in_panel.threads)) != in_panel:
        _download(
            SCRIPT_NAME,
            f"The settings that it started with, {'-'.join(map(str, config.layer_sizes))}. The side panel shows others.",
            lambda: _script(config),
            key="take_script_of_run",
        )
    if run and run.path:
        st.caption(
            f"Its folder is {formatting.escape_markdown(str(run.path))}, with earlier weights. TensorBoard shows all runs:"
        )
        st.code(f"tensorboard --logdir {shlex.quote(str(run.path.parent))}", language=None, wrap_lines=True)
    st.caption("**The curves**: point at or tap a chart. SVG and PNG beside it save it as a picture.")


def _file_of(run: Run | None, name: str) -> tuple[Callable[[], bytes], str]:
    """Return a function that reads a file in a run's folder, and why the file is not available, empty if it is."""
    path = run.path / name if run and run.path else Path(name)
    if run is None:
        why = "There is no run yet. Press Train."
    elif run.path is None:
        why = f"This run is not on disk: {formatting.escape_markdown(run.snapshot().storage_problem)}."
    elif path.exists():
        why = ""
    else:
        why = "It is written after the first epoch." if run.is_active else "It is not in the run's folder."
    return lambda: read_bounded(path, MAX_METRICS_BYTES), why


def _program() -> None:
    """Offer the settings of the side panel as a program."""
    config = controls.config()
    st.markdown("#### Train it elsewhere")
    _download(
        SCRIPT_NAME,
        f"The settings of the side panel, {'-'.join(map(str, config.layer_sizes))}, as a short PyTorch program. "
        "`python train.py` trains and saves model.ckpt. It uses the mnist.npz beside it, or downloads one.",
        lambda: _script(config),
    )


def _download(
    name: str, words: str, data: Callable[[], str | bytes], why_not: str = "", *, key: str = "", label: str = ""
) -> None:
    """Draw a button that downloads a file with this name or with a shorter label, and the words that say what it is for."""
    button, caption = st.columns([1, 2.2], vertical_alignment="center", gap="small")
    button.download_button(
        label or name,
        data,
        file_name=name,
        key=key or f"take_{Path(name).stem}_{Path(name).suffix[1:]}",
        icon=":material/download:",
        on_click="ignore",
        disabled=bool(why_not),
        width="stretch",
    )
    caption.caption(f"{words} **{why_not}**" if why_not else words)


def _load(network: networks.Network) -> None:
    """Draw the uploader, and what was loaded or is wrong with it."""
    state = st.session_state
    turn = state.setdefault("upload_turn", 0)
    st.markdown("#### Load a network")
    st.caption(
        "Load a checkpoint of a fully connected network for digits from PyTorch or safetensors, with layers of any name. "
        "It then reads your drawing and fills every tab. Only numbers are read from the file; no code in it is run."
    )
    with st.container(key="upload"):
        chosen = st.file_uploader(
            "Checkpoint",
            key=f"upload_{turn}",
            max_upload_size=MAX_BYTES // 2**20,
            on_change=_receive,
            label_visibility="collapsed",
        )
    with st.container(key="upload_message"):
        # The message goes with its file: it was taken back, or Streamlit forgot it while another tab was open.
        if chosen and (problem := state.get("upload_problem")):
            st.error(f"{formatting.escape_markdown(problem)}. The page still reads with {network.name}.", icon=":material/error:")
    with st.container(key="upload_loaded"):
        if file := networks.loaded_file():
            _loaded(file, reads=network.file is file)
    activation, inputs = st.columns(2)
    activation.selectbox(
        "Its activation",
        get_args(Activation),
        key="upload_activation",
        format_func=WORDS.__getitem__,
        persist_state="session",
        on_change=_apply_choices,
        help="A checkpoint does not contain its activation. With a wrong one it reads worse.",
    )
    inputs.selectbox(
        "Its inputs",
        get_args(Inputs),
        key="upload_inputs",
        format_func=INPUTS_IN_WORDS.__getitem__,
        persist_state="session",
        on_change=_apply_choices,
        help="How the program that trained it scaled the pixels. Standardized: less 0.1307, then divided by 0.3081.",
    )


def _loaded(file: networks.LoadedFile, *, reads: bool) -> None:
    loaded = networks.Network(file.reader, file=file)
    with st.spinner("Reading MNIST's test set"):
        accuracy = loaded.accuracy
    with st.container(border=True):
        what, remove = st.columns([2.6, 1], vertical_alignment="center")
        what.markdown(
            f"**{formatting.escape_markdown(file.name)}**: {loaded.layers}, {accuracy}. "
            + ("It reads your drawing now." if reads else "To read with it, choose **Loaded file** below the drawing.")
        )
        remove.button("Remove", key="upload_remove", icon=":material/close:", on_click=remove_file, width="stretch")
        if file.loaded.notes:
            st.caption(formatting.escape_markdown(" ".join(file.loaded.notes)))
        if file.suggestion:
            st.warning(file.suggestion.in_words(WORDS), icon=":material/tune:")
            st.button("Use these settings", key="upload_suggested", on_click=_apply_suggestion, args=(file.suggestion,))
        elif file.orientation:
            st.warning(file.orientation, icon=":material/screen_rotation:")


def _receive() -> None:
    """Load the file that was chosen, and empty the uploader; a wrong file stays in it, with a message."""
    state = st.session_state
    chosen = state[f"upload_{state.upload_turn}"]
    if not isinstance(chosen, UploadedFile):
        return  # the person removed it
    content = chosen.getvalue()
    name = "".join(character for character in chosen.name if character.isprintable())[:MAX_SHOWN]
    try:
        loaded = checkpoint.from_bytes(content, name, state.upload_activation, state.upload_inputs)
    except CheckpointError as error:
        state.upload_problem = str(error)
        session.log_rejected(f"a checkpoint: {error}")
        return
    state.upload_turn += 1
    streamlit_patches.remove_upload(chosen.file_id)
    state.loaded_file = networks.LoadedFile(name, hashlib.sha256(content).hexdigest(), loaded)
    if state.get("network") != "file":
        state.network_before = state.get("network", "run")
        session.choose_source("file")


def _apply_choices() -> None:
    """Give the loaded network the activation and the inputs that were chosen."""
    state, file = st.session_state, networks.loaded_file()
    if file:
        model = MLP(file.reader.model.hidden_sizes, state.upload_activation)
        model.load_state_dict(file.loaded.trained.state_dict(), assign=True)
        state.loaded_file = replace(file, loaded=replace(file.loaded, trained=model.eval(), inputs=state.upload_inputs))


def _apply_suggestion(suggestion: Suggestion) -> None:
    """Choose the settings with which the loaded network reads better."""
    state = st.session_state
    state.upload_activation, state.upload_inputs = suggestion.better.activation, suggestion.better.inputs
    _apply_choices()


def remove_file() -> None:
    """Remove the loaded network, and let the one read that did before."""
    state = st.session_state
    state.loaded_file = None
    if state.get("network") == "file":
        session.choose_source(state.network_before)
