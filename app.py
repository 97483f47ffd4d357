"""The page: page config, session, and the views in their places. Run it with `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

from mnist_fc.checkpoint import CheckpointError
from mnist_fc.data import DataError
from mnist_fc.views import controls, draw, progress, session

st.set_page_config(page_title="mnist_fc: train, draw, be read", page_icon="✏️", layout="wide")
st.html(Path(draw.__file__).with_name("style.css"))

try:
    session.trainer()
    session.mnist()
    session.shipped_reader()
except (DataError, CheckpointError) as error:
    st.error(f"The page cannot start: {error}.", icon=":material/error:")
    st.stop()

with st.sidebar:
    st.title("mnist_fc")
    st.caption("Train a fully connected network on real handwritten digits, on this computer's processor, and watch it learn.")
    controls.panel()

with st.container(key="training_bar"):
    progress.bar()
drawing, training = st.columns(2, gap="large")
with drawing:
    draw.panel()
with training:
    progress.charts()
