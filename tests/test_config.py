"""config.py: every range, the presets and JSON."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.config import (
    CPU_COUNT,
    FIELDS,
    PRESETS,
    Choice,
    ConfigError,
    LayerSizes,
    Range,
    TrainConfig,
    parse_value,
    preset_of,
)

RANGES = {name: limit for name, limit in FIELDS.items() if isinstance(limit, Range)}
CHOICES = {name: limit for name, limit in FIELDS.items() if isinstance(limit, Choice)}
HIDDEN_SIZES = LayerSizes()

BLOG = {
    "hidden_sizes": (500,),
    "activation": "relu",
    "initialization": "pytorch",
    "dropout": 0.0,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "momentum": 0.9,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "schedule": "constant",
    "batch_size": 100,
    "num_epochs": 10,
    "label_smoothing": 0.0,
    "augmentation": "none",
    "num_validation": 0,
    "precision": "float32",
    "seed": 0,
}


def values_in(limit: Range | Choice | LayerSizes) -> st.SearchStrategy[Any]:
    match limit:
        case Range(kind=kind, low=low, high=high):
            return st.integers(int(low), int(high)) if kind is int else st.floats(low, high)
        case Choice(options=options):
            return st.sampled_from(options)
        case LayerSizes(count=count, size=size):
            return st.lists(values_in(size), min_size=int(count.low), max_size=int(count.high)).map(tuple)


configs = st.fixed_dictionaries({name: values_in(limit) for name, limit in FIELDS.items()}).map(lambda v: TrainConfig(**v))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(list(FIELDS)), inner, max_size=4),
    max_leaves=8,
)


def refusal(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**changes)
    return str(caught.value)


def test_every_field_has_a_limit() -> None:
    assert list(FIELDS) == [field.name for field in dataclasses.fields(TrainConfig)]


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_of_a_range_are_accepted(name: str) -> None:
    limit = RANGES[name]
    for end in (limit.low, limit.high):
        value = getattr(TrainConfig().replace(**{name: end}), name)
        assert value == end
        assert type(value) is limit.kind


@pytest.mark.parametrize("name", RANGES)
def test_values_out_of_range_are_rejected_with_the_range(name: str) -> None:
    limit = RANGES[name]
    step_out = (lambda end, way: end + math.copysign(1, way)) if limit.kind is int else math.nextafter
    for value in (step_out(limit.low, -math.inf), step_out(limit.high, math.inf)):
        message = refusal(**{name: value})
        assert message == f"{name} is {value!r}; it must be {limit}"
        assert f"{limit.low:g} to {limit.high:g}" in message


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [True, math.nan, math.inf, -math.inf, "1", None, (1,), 1j, 10**400], ids=lambda v: str(v)[:9])
def test_values_that_are_not_finite_numbers_are_rejected(name: str, value: object) -> None:
    assert refusal(**{name: value}).startswith(f"{name} is {value!r:.100}")


@pytest.mark.parametrize("name", [name for name, limit in RANGES.items() if limit.kind is int and limit.high > limit.low])
def test_fractions_are_not_whole_numbers(name: str) -> None:
    value = RANGES[name].low + 0.5
    assert refusal(**{name: value}).startswith(f"{name} is {value}; it must be a whole number from ")


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_accepts_exactly_its_options(name: str) -> None:
    for word in CHOICES[name].options:
        assert getattr(TrainConfig().replace(**{name: word}), name) == word
    for value in ("", "RELU", 1, None, ["relu"]):
        assert refusal(**{name: value}) == f"{name} is {value!r}; it must be one of {', '.join(CHOICES[name].options)}"


@pytest.mark.parametrize("sizes", [(8,), (2048,) * 4, [500, 300], (500.0,)])
def test_one_to_four_hidden_layers_are_accepted(sizes: Any) -> None:
    accepted = TrainConfig(hidden_sizes=sizes).hidden_sizes
    assert accepted == tuple(sizes)
    assert all(type(size) is int for size in accepted)


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        *((sizes, repr(sizes)) for sizes in [(), "500", 500, None, (None,), ("",), ("a\nb",)]),
        ((8,) * 5, "8, 8, 8, 8, 8"),
        ((500, 7), "500, 7"),
        ((2049,), "2049"),
        ((500.5,), "500.5"),
        ((True,), "True"),
        ((math.nan,), "nan"),
        (("500",), "500"),
        (("banana",), "banana"),
    ],
)
def test_other_hidden_layers_are_rejected_as_they_were_written(sizes: Any, shown: str) -> None:
    assert refusal(hidden_sizes=sizes) == f"hidden_sizes is {shown}; it must be 1 to 4 layers of 8 to 2048 units"


def test_a_changed_copy_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="batch_size is 7; it must be a whole number from 8 to 4096"):
        TrainConfig().replace(batch_size=7)


def test_blog_pytorch_is_the_first_program_of_the_blog() -> None:
    fields = dataclasses.asdict(PRESETS["blog-pytorch"])
    del fields["threads"]
    assert fields == BLOG
    assert PRESETS["blog-pytorch"].layer_sizes == (784, 500, 10)


def test_blog_keras_is_the_second_program_of_the_blog() -> None:
    fields = dataclasses.asdict(PRESETS["blog-keras"])
    del fields["threads"]
    assert fields == BLOG | {"hidden_sizes": (500, 500), "initialization": "keras", "adam_epsilon": 1e-7}
    assert PRESETS["blog-keras"].layer_sizes == (784, 500, 500, 10)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_recognized_whatever_their_seed_and_threads(name: str) -> None:
    assert preset_of(PRESETS[name].replace(seed=77, threads=CPU_COUNT)) == name
    assert preset_of(PRESETS[name].replace(seed=77, threads=1)) == name


def test_other_settings_are_custom() -> None:
    assert preset_of(PRESETS["blog-pytorch"].replace(learning_rate=2e-3)) == "custom"


@given(configs)
def test_json_and_back_is_the_same_config(config: TrainConfig) -> None:
    assert TrainConfig.from_json(config.to_json()) == config


@given(json_values | st.dictionaries(st.sampled_from(list(FIELDS)), json_values))
def test_any_json_is_a_config_or_a_config_error(value: object) -> None:
    try:
        config = TrainConfig.from_json(json.dumps(value))
    except ConfigError:
        return
    assert isinstance(value, dict)
    assert all(getattr(config, name) == limit.check(name, getattr(config, name)) for name, limit in FIELDS.items())


@pytest.mark.parametrize("text", ["", "{", "no", '{"seed": 1', "\0", "[" * 200_000, '{"seed": ' + "1" * 5000 + "}"], ids=range(7))
def test_malformed_json_is_reported(text: str) -> None:
    with pytest.raises(ConfigError, match="not JSON"):
        TrainConfig.from_json(text)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"fast"'])
def test_json_other_than_an_object_is_reported(text: str) -> None:
    with pytest.raises(ConfigError, match="must be a JSON object"):
        TrainConfig.from_json(text)


def test_an_unknown_field_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"name depth; known are hidden_sizes, activation, "):
        TrainConfig.from_json('{"depth": 3, "seed": 1}')


@pytest.mark.parametrize("value", ["NaN", "Infinity", "true", '"1"', "null", "[1]"])
def test_json_values_of_other_types_are_rejected(value: str) -> None:
    for name in ("learning_rate", "seed", "threads"):
        with pytest.raises(ConfigError, match=f"^{name} is "):
            TrainConfig.from_json(f'{{"{name}": {value}}}')


def test_config_from_larger_machine_is_read_with_fewer_threads() -> None:
    assert TrainConfig.from_json('{"threads": 4096}').threads == CPU_COUNT
    with pytest.raises(ConfigError, match="threads is 0"):
        TrainConfig.from_json('{"threads": 0}')


@pytest.mark.parametrize(
    ("num_validation", "num_images", "fitted"),
    [
        (5000, 60_000, 5000),
        (5000, 5001, 5000),
        (5000, 5000, 500),
        (5000, 1000, 100),
        (300, 200, 20),
        (9, 6, 1),
        (5, 1, 0),
        (0, 6, 0),
    ],
)
def test_validation_images_that_do_not_fit_become_a_tenth(num_validation: int, num_images: int, fitted: int) -> None:
    config = TrainConfig(num_validation=num_validation)
    assert config.fitted_to(num_images) == config.replace(num_validation=fitted)


@pytest.mark.parametrize(
    ("num_images", "said"),
    [
        (60_000, ""),
        (12, "5,000 validation images do not fit: 1 of the 12 training images is held out."),
        (1200, "5,000 validation images do not fit: 120 of the 1,200 training images are held out."),
    ],
)
def test_validation_images_that_do_not_fit_are_said(num_images: int, said: str) -> None:
    assert TrainConfig(num_validation=5000).misfit(num_images) == said


def test_steps_are_counted_with_the_validation_images_that_fit() -> None:
    config = TrainConfig(num_validation=5000, batch_size=100)
    assert [config.steps_per_epoch(num_images) for num_images in (60_000, 1200, 1)] == [550, 11, 1]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,001", 0.001),
        (",001", 0.001),
        (",5", 0.5),
        ("0,5", 0.5),
        ("2,5", 2.5),
        ("-0,5", -0.5),
        ("1,5e-3", 0.0015),
        ("00,125", 0.125),
    ],
)
def test_a_decimal_comma_without_doubt_is_understood(text: str, number: float) -> None:
    assert parse_value("learning_rate", text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1 024", 1024),
        ("1\u00a0024", 1024),
        ("1\u202f024", 1024),
        ("1'024", 1024),
        ("-12 345 678", -12345678),
        (" 1\u2019024 ", 1024),
    ],
)
def test_separated_thousands_are_understood(text: str, number: int) -> None:
    assert parse_value("batch_size", text) == number


@pytest.mark.parametrize("text", ["1 02", "10 24", "1024 128", "1 024'128", "1 024.5", "1  024"])
def test_several_numbers_are_not_taken_for_one(text: str) -> None:
    assert parse_value("batch_size", text) == text
    with pytest.raises(ConfigError):
        TrainConfig(batch_size=parse_value("batch_size", text))


@pytest.mark.parametrize(
    ("name", "text"), [("batch_size", "1,000"), ("seed", "12,345"), ("seed", "1,234,567"), ("dropout", "1.000,5")]
)
def test_a_comma_in_doubt_is_rejected_with_advice(name: str, text: str) -> None:
    assert refusal(**{name: parse_value(name, text)}).endswith("; use no comma, and a point for decimals")


@pytest.mark.parametrize(
    "text",
    [
        "64,32",
        "64, 32",
        "64x32",
        "64 x 32",
        "64\u00d732",
        "64;32",
        "64; 32",
        "64 32",
        "64-32",
        " 64,32 ",
        "[64,32]",
        "[64, 32]",
        "(64 32)",
        "64,32,",
        "(64, 32,)",
        "[64x32] ",
        "\u00a064,32\u00a0",
    ],
)
def test_layer_sizes_may_be_separated_in_every_usual_way(text: str) -> None:
    assert parse_value("hidden_sizes", text) == (64, 32)
