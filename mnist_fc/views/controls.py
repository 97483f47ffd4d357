"""The side panel: presets and one control for each hyperparameter. What they say is one TrainConfig."""

from typing import Any

import streamlit as st

from mnist_fc.config import LIMITS, PRESETS, Choice, Layers, TrainConfig, preset_of
from mnist_fc.views import address, session
from mnist_fc.views.numbers import format_number

PRESET_LINES = {
    "fast": "98 % on the test set in a few seconds.",
    "best": "The most accurate net here: wide, with dropout, and digits that are bent anew each time. Takes minutes.",
    "blog-pytorch": "The blog's PyTorch program: 784-500-10, all training images, the **test set** after each epoch.",
    "blog-keras": "The blog's Keras program: 784-500-500-10, all training images, the **test set** after each epoch.",
    "custom": "Your own settings.",
}

SIZES = [8, 16, 32, 64, 128, 256, 300, 400, 500, 512, 800, 1024, 1536, 2048]
LEARNING_RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0]
EPOCHS = [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100]
BATCH_SIZES = [8, 16, 32, 64, 100, 128, 200, 256, 512, 1024, 2048, 4096]
DROPOUTS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
WEIGHT_DECAYS = [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
SMOOTHINGS = [0.0, 0.02, 0.05, 0.1, 0.2]
VALIDATIONS = [0, 1000, 2000, 5000, 10_000]

WORDS = {
    "relu": "ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "leaky_relu": "leaky ReLU",
    "gelu": "GELU",
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD with momentum",
    "constant": "constant",
    "one_cycle": "one-cycle",
    "cosine": "cosine",
    "none": "none",
    "shift": "shift",
    "affine": "affine",
    "elastic": "elastic",
    "pytorch": "PyTorch's",
    "keras": "Keras's",
}
"""Choices as a person reads them."""

assert isinstance(LIMITS["hidden_sizes"], Layers)
MAX_LAYERS = int(LIMITS["hidden_sizes"].count.high)


def set_controls(config: TrainConfig) -> None:
    """Make every control show `config`."""
    state = st.session_state
    _show_preset(preset_of(config))
    state.num_layers = len(config.hidden_sizes)
    for i in range(MAX_LAYERS):
        state[f"size_{i}"] = config.hidden_sizes[i] if i < len(config.hidden_sizes) else config.hidden_sizes[-1]
    state.epochs = config.num_epochs
    for name in CONTROLLED:
        state[name] = getattr(config, name)
    state.base_config = config


CONTROLLED = (
    *("activation", "initialization", "optimizer", "learning_rate", "schedule", "batch_size", "dropout", "weight_decay"),
    *("label_smoothing", "augmentation", "num_validation", "threads", "seed"),
)
"""Fields whose control has the field's own name as its key."""


AGAINST_OVERFITTING = ("dropout", "augmentation", "label_smoothing", "weight_decay")
MACHINE = ("num_validation", "initialization", "seed", "threads")
HIDEABLE = ("preset", "hidden_sizes", "epochs", *CONTROLLED)
"""What the address can hide."""


def config() -> TrainConfig:
    """What the controls say. A field without a control (momentum, Adam's epsilon) is as in the preset last chosen."""
    state = st.session_state
    base: TrainConfig = state.base_config
    return base.replace(
        hidden_sizes=tuple(state[f"size_{i}"] for i in range(state.num_layers)),
        num_epochs=state.epochs,
        **{name: state[name] for name in CONTROLLED},
    )


def set_one(field: str, value: Any) -> None:
    """Make the control of one field of a config show `value`, as if it had been moved there."""
    st.session_state["epochs" if field == "num_epochs" else field] = value
    _control_changed(field)
    st.session_state.controls_are_stale = True


def set_all(config: TrainConfig) -> None:
    """Make all controls show `config`, as if they had been moved there."""
    set_controls(config)
    st.session_state.controls_are_stale = True


def are_stale() -> bool:
    """Whether a control was set from elsewhere since the panel was drawn; asked once."""
    return bool(st.session_state.pop("controls_are_stale", False))


def in_words(field: str, value: Any) -> str:
    """A field and its value as a person reads them: "learning rate 0.001", "activation ReLU"."""
    return f"{field_in_words(field)} {value_in_words(value)}"


def field_in_words(field: str) -> str:
    """A field as a person reads it: "learning rate"."""
    return {"num_epochs": "epochs", "num_validation": "validation images", "initialization": "first weights"}.get(
        field, field.replace("_", " ")
    )


def value_in_words(value: Any) -> str:
    """A field's value as a person reads it: "0.001", "ReLU", "500-500"."""
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return WORDS[value] if isinstance(value, str) else _number(value)


@st.fragment
def panel() -> None:
    """Draw the controls. A change draws only this panel anew."""
    if "preset" not in st.session_state:
        _set_first_controls()
    for i in range(MAX_LAYERS):
        st.session_state[f"size_{i}"] = st.session_state[f"size_{i}"]  # kept while its slider is not on the page

    hidden, problems = address.hidden(HIDEABLE)
    st.session_state.hidden_controls = hidden
    for problem in [*st.session_state.address_problems, *problems]:
        st.warning(problem)
    address.show_settings(config())

    _preset()
    if "preset" not in hidden:
        st.caption(PRESET_LINES[st.session_state.preset])
    run = session.watched_run()
    if run and run.is_active:
        st.caption("While the run goes on or waits, a new learning rate holds from its next step, the rest for the next run.")

    if not hidden.issuperset(("hidden_sizes", "activation")):
        st.subheader("Network")
    _slider(
        "num_layers", "Hidden layers", range(1, MAX_LAYERS + 1), "How many layers stand between the picture and the ten answers."
    )
    for i in range(st.session_state.num_layers):
        _slider(f"size_{i}", f"Units in layer {i + 1}", SIZES, "More units can learn more, and take longer.")
    _choice(
        "activation", "Activation", "What a unit does with its sum. ReLU is fast and learns well; sigmoid is the classic one."
    )
    chosen = config()
    st.caption(f"{'-'.join(map(str, chosen.layer_sizes))}: {chosen.num_parameters:,} parameters")

    if not hidden.issuperset(("learning_rate", "epochs", "batch_size", "optimizer", "schedule")):
        st.subheader("Training")
    _slider(
        "learning_rate",
        "Learning rate",
        LEARNING_RATES,
        "How far each step goes. Too small is slow, too large diverges.",
        _number,
    )
    _slider("epochs", "Epochs", EPOCHS, "How many times the network sees all training images.")
    _slider("batch_size", "Batch size", BATCH_SIZES, "Images per step. Larger batches run faster and step less often.")
    steps = chosen.steps_per_epoch(session.num_train_images())
    st.caption(f"{steps:,} steps an epoch, {steps * chosen.num_epochs:,} in all")
    _choice("optimizer", "Optimizer", "The rule that turns gradients into steps. Adam suits most nets without tuning.")
    _choice("schedule", "Schedule", "How the learning rate moves in a run: fixed, up and down once, or down along a cosine.")
    st.toggle(
        "Go on when I leave",
        key="keeps_going",
        on_change=_keep_going,
        help="A run or sweep whose page is closed for a minute is stopped, for others may be waiting. With this it is not.",
    )

    if not hidden.issuperset(AGAINST_OVERFITTING):
        with st.expander("Against overfitting", key="regularization"):
            _against_overfitting()
    if not hidden.issuperset(MACHINE):
        with st.expander("Data, start and machine", key="machine"):
            _data_start_and_machine()
    st.caption("The address of this page says all settings: a link to it opens the page with them.")


def _set_first_controls() -> None:
    """As the address says; else as in the run that it names; else as in the fast preset."""
    said, st.session_state.address_problems = address.settings()
    for problem in st.session_state.address_problems:
        session.refused(f"a setting in the address: {session.unescaped(problem)}")
    run = session.watched_run()
    if said is None:
        said = run.config.replace(learning_rate=run.learning_rate) if run else PRESETS["fast"]
    set_controls(said)
    st.session_state.keeps_going = run is not None and run.is_active and run.keeps_going


def _keep_going() -> None:
    own = [job for job in (session.watched_run(), session.own_sweep()) if job]
    people = {session.person(), *(job.person for job in own if job.person)}
    for job in session.trainer().jobs():
        if job in own or job.person in people:
            job.keeps_going = session.keeps_going()


def _against_overfitting() -> None:
    _slider(
        "dropout", "Dropout", DROPOUTS, "The share of hidden units left out of each step, so that none is relied on.", _number
    )
    _choice(
        "augmentation",
        "Augmentation",
        "Training images moved (shift), also turned, scaled and slanted (affine), or also bent (elastic), each time anew.",
    )
    _slider(
        "label_smoothing",
        "Label smoothing",
        SMOOTHINGS,
        "How much of each label is spread over all digits, against overconfidence.",
        _number,
    )
    _slider("weight_decay", "Weight decay", WEIGHT_DECAYS, "How strongly weights are pulled towards zero.", _number)


def _data_start_and_machine() -> None:
    _slider(
        "num_validation",
        "Validation images",
        VALIDATIONS,
        "Held back to measure on. With 0 the net trains on all images, and the test set is measured after each epoch.",
        lambda n: f"{n:,}",
    )
    _choice("initialization", "First weights", "Drawn as torch.nn.Linear does, or as Keras does (Glorot uniform, zero biases).")
    if not _is_hidden("seed"):
        st.number_input(
            "Seed",
            0,
            2**31 - 1,
            key="seed",
            on_change=_control_changed,
            help="The same seed gives the same run on this machine; with the same layers, too, the same first weights.",
        )
    if (most := session.trainer().max_threads) > 1:
        _slider("threads", "Threads", range(1, most + 1), "Processor cores to train on.")
    else:
        st.caption("Threads: 1, as there is one core for each training.")


def _is_hidden(key: str) -> bool:
    """Whether the address takes a control off the page."""
    name = "hidden_sizes" if key == "num_layers" or key.startswith("size_") else key
    return name in st.session_state.hidden_controls


def _preset() -> None:
    """The choice of a preset.

    It also follows the other controls, and then it is a new widget: the browser tells the values of all widgets with each
    change, and what it told of one that has been set since would be taken for a choice, and undo the change.
    """
    options = [*PRESETS, "custom"]
    if _is_hidden("preset"):
        return
    with st.container(key="preset"):
        st.selectbox(
            "Preset",
            options,
            index=options.index(st.session_state.preset),
            key=f"preset_{st.session_state.preset_turn}",
            on_change=_preset_chosen,
            help="A whole set of settings in one choice. Changing any control below makes it custom.",
        )


def _show_preset(name: str) -> None:
    state = st.session_state
    if state.get("preset") != name:
        state.preset = name
        state.preset_turn = state.get("preset_turn", 0) + 1


def _slider(key: str, label: str, ladder: Any, help_line: str, shown: Any = str) -> None:
    """A ladder of values; one that is not on it (from a run's settings) is put in its place."""
    if _is_hidden(key):
        return
    options = sorted({*ladder, st.session_state[key]})
    if len({shown(option) for option in options}) < len(options):
        shown = str  # of a value that only its later digits tell from its neighbour
    st.select_slider(label, options, key=key, format_func=shown, help=help_line, on_change=_control_changed, args=(key,))


def _choice(key: str, label: str, help_line: str) -> None:
    if _is_hidden(key):
        return
    limit = LIMITS[key]
    assert isinstance(limit, Choice)
    st.selectbox(label, limit.options, key=key, format_func=WORDS.__getitem__, help=help_line, on_change=_control_changed)


def _number(value: float) -> str:
    return format_number(value) if isinstance(value, float) else str(value)


def _preset_chosen() -> None:
    state = st.session_state
    state.preset = state[f"preset_{state.preset_turn}"]
    if state.preset in PRESETS:
        set_controls(PRESETS[state.preset].replace(threads=state.threads, seed=state.seed))
        _send_learning_rate()


def _control_changed(key: str = "") -> None:
    _show_preset(preset_of(config()))
    if key == "learning_rate":
        _send_learning_rate()


def _send_learning_rate() -> None:
    run = session.watched_run()
    if run and run.is_active and run.learning_rate != st.session_state.learning_rate:
        session.trainer().set_learning_rate(run, st.session_state.learning_rate)
