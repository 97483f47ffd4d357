"""The side panel: presets and one control for each hyperparameter. Together they make one TrainConfig."""

import html
from collections.abc import Iterable, Set
from typing import Any

import streamlit as st

from mnist_fc.config import DEFAULT_PRESET, FIELDS, PRESETS, Choice, ConfigError, TrainConfig
from mnist_fc.network.products import BFLOAT16_IS_FASTER
from mnist_fc.percentages import in_percent
from mnist_fc.views.settings import CONTROLLED, KEYS, MAX_LAYERS, MAX_SIZE, MIN_SIZE, SIZE_KEYS, WORDS, Settings, number_in_words
from mnist_fc.views.state import address, formatting, session, shared, sync

PRESET_LINES = {
    "fast": "98% on the test set in a second or two.",
    "best": "The most accurate network here: wide, with dropout, and digits distorted differently each time. Takes minutes.",
    "blog-pytorch": "The blog's PyTorch program: 784-500-10, all training images, the **test set** after each epoch.",
    "blog-keras": "The blog's Keras program: 784-500-500-10, all training images, the **test set** after each epoch.",
    "custom": "Your own settings.",
}

SIZE_STEP = 32
"""The neurons that a press of "+" or "-" adds to a layer or removes."""
LEARNING_RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0]
EPOCHS = [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100]
BATCH_SIZES = [8, 16, 32, 64, 100, 128, 200, 256, 512, 1024, 2048, 4096]
DROPOUTS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
WEIGHT_DECAYS = [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
SMOOTHINGS = [0.0, 0.02, 0.05, 0.1, 0.2]
VALIDATIONS = [0, 1000, 2000, 5000, 10_000]

AGAINST_OVERFITTING = ("dropout", "augmentation", "label_smoothing", "weight_decay")
MACHINE = ("num_validation", "initialization", "seed", "precision", "threads")
MORE = ("optimizer", "schedule", *AGAINST_OVERFITTING, *MACHINE)
"""The settings that a beginner leaves alone."""
HIDEABLE = ("preset", "hidden_sizes", "epochs", *CONTROLLED, "keep_training")
"""The controls that the address can hide."""

NAMES_IN_ADDRESS = {"num_layers": "hidden_sizes", **dict.fromkeys(SIZE_KEYS, "hidden_sizes"), "detached": "keep_training"}
"""The name of a control in `hide=` if it is not its key."""


def config() -> TrainConfig:
    """Return the config to train with: everything chosen by now, with validation images that fit into the data."""
    sync.receive()
    return _settings().config.fitted_to(shared.num_train_images())


def set_one(field: str, value: Any) -> None:
    """Set the control of one field of a config to `value`, as if it had been moved there."""
    sync.receive()
    _choose("epochs" if field == "num_epochs" else field, value)
    session.redraw_panel()


def set_all(config: TrainConfig) -> None:
    """Set all controls to `config`."""
    sync.receive()
    st.session_state.settings = Settings.of(config)
    session.redraw_panel()


def settings_mark(config: TrainConfig) -> str:
    """Return a text that is equal for settings that train the same network; the server may reduce a run's threads."""
    return config.replace(threads=1).to_json()


def _settings() -> Settings:
    """Return this session's settings: at first the address's, otherwise those of the run it names, otherwise the fast preset."""
    state = st.session_state
    if "settings" not in state:
        said, state.address_problems = address.settings()
        for problem in state.address_problems:
            session.log_rejected(f"a setting in the address: {formatting.unescape_markdown(problem)}")
        run = session.watched_run()
        if said is None:
            said = run.snapshot().settings.latest if run and not run.lesson else PRESETS[DEFAULT_PRESET]
        state.settings = Settings.of(said)
        session.set_detached(run is not None and run.is_active and run.detached)
    settings: Settings = state.settings
    return settings


def _widgets() -> sync.Widgets:
    return sync.widgets("panel", KEYS, _choose)


def _choose(key: str, value: Any) -> None:
    """Apply the value chosen at a control. The browser's value is not trusted."""
    if key == "detached":
        session.set_detached(value is True)
        _keep_going()
        return
    try:
        st.session_state.settings = _settings().chosen(key, value)
    except ConfigError as error:
        session.log_rejected(f"a setting: {error}")
    if key == "learning_rate":  # a preset is for the next run, whose settings it names
        _send_learning_rate()


@st.fragment
def panel() -> None:
    """Draw the controls. A change redraws only this panel."""
    said = config()
    hidden, problems = address.hidden(HIDEABLE)
    for problem in [*st.session_state.address_problems, *problems]:
        st.warning(problem)
    address.show_settings(_settings().config)
    address.show()
    # timeline.js compares it with the settings of the run that is shown; the rest of the page is not redrawn meanwhile.
    marks = f"class='panel-settings layers-{len(said.hidden_sizes)}' data-settings='{html.escape(settings_mark(said))}'"
    st.html(f"<i hidden {marks}></i>")
    on_page = {key for key in KEYS if NAMES_IN_ADDRESS.get(key, key) not in hidden}
    drawn = set(on_page)
    if shared.scheduler().max_threads == 1:
        drawn.discard("threads")
    if not _can_choose_precision():
        drawn.discard("precision")
    with _widgets().drawn({key: _shown(key) for key in KEYS if key in drawn}):
        _draw(on_page, drawn)


def _shown(key: str) -> Any:
    """Return the value that a control shows."""
    return session.is_detached() if key == "detached" else _settings().value(key)


def _draw(on_page: Set[str], drawn: Set[str]) -> None:
    """Draw the controls that are `on_page`, under their headings and with the figures that follow from them.

    In place of those that are not `drawn`, say why there is nothing to choose.
    """
    settings = _settings()
    config = settings.config
    run = session.watched_run()
    if "preset" in on_page:
        st.selectbox(
            "Preset",
            _widgets().offer("preset", [*PRESETS, "custom"]),
            key="preset",
            help="A complete set of settings for the next run. Changing any control below makes it custom. "
            "blog-pytorch and blog-keras are the two programs of the blog post that this page grew from.",
        )
    if on_page:
        with st.container(key="settings_note"):  # one place for both, so that the controls below stay where they are
            if run and run.is_active:
                has_slider = "learning_rate" in on_page  # after a preset, it shows the rate of the next run
                rest = "Only moving its slider changes it. Everything else is" if has_slider else "These settings are"
                st.caption(f"This run's learning rate is {number_in_words(run.learning_rate)}. {rest} for the next run.")
            elif "preset" in on_page:
                st.caption(PRESET_LINES[settings.preset])
    if on_page & {"num_layers", "activation"}:
        st.header("Network")
        _network(on_page, config)
    if on_page & {"learning_rate", "epochs", "batch_size"}:
        st.header("Training")
        _training(on_page, config)
    if on_page & {*MORE, "detached"}:
        with st.expander("More settings", key="more_settings"):
            _more(on_page, drawn)
    if on_page:
        st.caption("Copy this page's address to share these settings.")


def _network(on_page: Set[str], config: TrainConfig) -> None:
    _stepper(
        on_page, "num_layers", "Hidden layers", (1, MAX_LAYERS, 1), "How many layers lie between the image and the ten outputs."
    )
    # style.css hides those of absent layers. Coming and going, they would move what follows, and lose early choices for a moment.
    for i, key in enumerate(SIZE_KEYS, 1):
        limits = MIN_SIZE, MAX_SIZE, SIZE_STEP
        _stepper(on_page, key, f"Neurons in layer {i}", limits, "More neurons can learn more, and take longer.")
    _choice(
        on_page,
        "activation",
        "Activation",
        "The function that a neuron applies to its sum. ReLU is fast and learns well; sigmoid is the classic choice.",
    )
    st.caption(f"{'-'.join(map(str, config.layer_sizes))}: {config.num_parameters:,} parameters")


def _training(on_page: Set[str], config: TrainConfig) -> None:
    _slider(
        on_page,
        "learning_rate",
        "Learning rate",
        LEARNING_RATES,
        "The size of each step. Too small is slow; too large diverges.",
        number_in_words,
    )
    _slider(on_page, "epochs", "Epochs", EPOCHS, "How many times the network sees all training images.")
    _slider(on_page, "batch_size", "Batch size", BATCH_SIZES, "Images per step. Larger batches run faster, with fewer steps.")
    steps = config.steps_per_epoch(shared.num_train_images())
    st.caption(f"{steps:,} steps an epoch, {steps * config.num_epochs:,} in all. {config.misfit(shared.num_train_images())}")


def _more(on_page: Set[str], drawn: Set[str]) -> None:
    _choice(
        on_page, "optimizer", "Optimizer", "The rule that turns gradients into steps. Adam suits most networks without tuning."
    )
    _choice(
        on_page,
        "schedule",
        "Schedule",
        "How the learning rate changes during a run: constant, up and down once, or down along a cosine.",
    )
    if "detached" in on_page:
        st.toggle(
            "Keep training after I close the page",
            key="detached",
            help="Without this, a run or sweep stops a minute after its page is closed, to make room for others.",
        )
    if on_page & set(AGAINST_OVERFITTING):
        st.subheader("Against overfitting")
        _against_overfitting(on_page)
    if on_page & set(MACHINE):
        st.subheader("Data, seed and hardware")
        _data_start_and_machine(on_page, drawn)


def _against_overfitting(on_page: Set[str]) -> None:
    _slider(
        on_page,
        "dropout",
        "Dropout",
        DROPOUTS,
        "The share of hidden neurons left out of each step, so that the network relies on none of them.",
        number_in_words,
    )
    _choice(
        on_page,
        "augmentation",
        "Augmentation",
        "Distorts training images at random: shift moves them, affine also turns and scales them, elastic also bends them.",
    )
    _slider(
        on_page,
        "label_smoothing",
        "Label smoothing",
        SMOOTHINGS,
        "How much of each label is spread over all digits. It prevents overconfidence.",
        number_in_words,
    )
    _slider(
        on_page, "weight_decay", "Weight decay", WEIGHT_DECAYS, "How strongly weights are pulled towards zero.", number_in_words
    )


def _data_start_and_machine(on_page: Set[str], drawn: Set[str]) -> None:
    _slider(
        on_page,
        "num_validation",
        "Validation images",
        VALIDATIONS,
        "Training images held back for measuring. With 0, all are trained on, and the test set is measured after each epoch.",
        lambda n: f"{n:,}",
    )
    _choice(
        on_page,
        "initialization",
        "Initial weights",
        "Random, as in torch.nn.Linear or as in Keras (Glorot uniform, zero biases).",
    )
    if "seed" in on_page:
        st.number_input(
            "Seed",
            0,
            2**31 - 1,
            key="seed",
            help="The same seed and settings give the same run on this machine.",
        )
    with st.container():
        _precision(on_page, drawn)
    _slider(drawn, "threads", "Threads", range(1, shared.scheduler().max_threads + 1), "Processor cores to train on.")
    if "threads" in on_page - drawn:
        st.caption("Threads: 1, since each training has one core.")


def _precision(on_page: Set[str], drawn: Set[str]) -> None:
    _choice(drawn, "precision", "Precision", "That of matrix products in training. bfloat16 has fewer digits.")
    if "precision" in drawn and (share := shared.scheduler().bfloat16_share) is not None:
        st.caption(f"On this processor, products in bfloat16 take {in_percent(share, 0)} of the time.")
    if "precision" in on_page - drawn:
        st.caption("Precision: float32, since bfloat16 is not clearly faster on this processor. AMX or AVX512_BF16 would help.")


def _can_choose_precision() -> bool:
    """Return whether bfloat16 is worth offering, or is chosen already, as in the settings of a run from another machine."""
    share = shared.scheduler().bfloat16_share
    return share is None or share < BFLOAT16_IS_FASTER or _settings().config.precision == "bfloat16"


def _stepper(on_page: Set[str], key: str, label: str, limits: tuple[int, int, int], help_line: str) -> None:
    """Draw a whole number with "+" and "-"; `limits` are its least and greatest value, and the step."""
    if key in on_page:
        low, high, step = limits
        st.number_input(label, low, high, step=step, key=key, help=help_line)


def _slider(on_page: Set[str], key: str, label: str, ladder: Iterable[Any], help_line: str, shown: Any = str) -> None:
    """Draw a slider over a ladder of values; a value off the ladder (from a run's settings) is inserted."""
    if key in on_page:
        values = {*ladder, _settings().value(key)}
        if len({shown(value) for value in values}) < len(values):
            shown = str  # two values differ only in later digits
        options = sorted(_widgets().offer(key, sorted(values), shown))
        st.select_slider(label, options, key=key, format_func=shown, help=help_line)


def _choice(on_page: Set[str], key: str, label: str, help_line: str) -> None:
    if key in on_page:
        limit = FIELDS[key]
        assert isinstance(limit, Choice)
        options = _widgets().offer(key, limit.options, WORDS.__getitem__)
        st.selectbox(label, options, key=key, format_func=WORDS.__getitem__, help=help_line)


def _keep_going() -> None:
    own = [job for job in (session.watched_run(), session.own_sweep()) if job]
    people = {session.session_id(), *(job.session_id for job in own if job.session_id)}
    for job in shared.scheduler().jobs():
        if job in own or job.session_id in people:
            job.detached = session.is_detached()


def _send_learning_rate() -> None:
    run, learning_rate = session.watched_run(), _settings().config.learning_rate
    if run and run.is_active and run.learning_rate != learning_rate:
        shared.scheduler().set_learning_rate(run, learning_rate)
