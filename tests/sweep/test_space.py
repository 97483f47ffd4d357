"""Spaces as text, what a sweep may vary, and the best of its trials."""

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.config import FIELDS, Choice, ConfigError, LayerSizes, Range
from mnist_fc.sweep.space import (
    LOG_SCALE,
    VARIABLE,
    Interval,
    SweepConfig,
    TrialRecord,
    Values,
    best_trial,
    config_of,
    parse_space,
)
from mnist_fc.sweep.study import trials
from tests.support.sweeps import BASE, MIXED, config_for


class TestParseSpace:
    def test_values_intervals_layers_and_words_are_parsed(self) -> None:
        texts = "learning-rate=1e-4..1e-2 batch_size=64,128 hidden-sizes=256,500-500 activation=relu,tanh epochs=5..20"
        assert parse_space(texts.split()) == {
            "learning_rate": Interval(1e-4, 1e-2),
            "batch_size": Values((64, 128)),
            "hidden_sizes": Values(((256,), (500, 500))),
            "activation": Values(("relu", "tanh")),
            "num_epochs": Interval(5, 20),
        }

    def test_decimal_commas_are_understood_where_commas_separate_nothing(self) -> None:
        assert parse_space(["learning-rate=0,001;0,01", "dropout=0,1..0,5", "activation=relu; tanh", "hidden-sizes=64;32"]) == {
            "learning_rate": Values((0.001, 0.01)),
            "dropout": Interval(0.1, 0.5),
            "activation": Values(("relu", "tanh")),
            "hidden_sizes": Values(((64, 32),)),
        }

    @given(data=st.data(), names=st.sets(st.sampled_from(VARIABLE), min_size=1), dash=st.sampled_from("-_"))
    def test_any_space_in_range_survives_being_written(self, data: st.DataObject, names: set[str], dash: str) -> None:
        texts, expected = [], {}
        for name in names:
            varied, text = data.draw(varied_and_text(name))
            texts.append(f"{name.replace('_', dash)}={text}")
            expected[name] = varied
        assert parse_space(texts) == expected

    @given(name=st.sampled_from(VARIABLE), values=st.text(max_size=20))
    def test_any_text_is_parsed_or_rejected_by_name(self, name: str, values: str) -> None:
        try:
            space = parse_space([f"{name}={values}"])
        except ConfigError as error:
            assert name in str(error)  # noqa: PT017 (either may happen)
        else:
            assert SweepConfig(BASE, space, "study", "storage").space == space

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("learning-rate", "'learning-rate' has no values; write for example learning-rate=1e-4"),
            ("", "'' has no values"),
            ("width=3", "width cannot be varied; choose from hidden_sizes, activation"),
            ("threads=1,2", "threads cannot be varied"),
            ("seed=1..9", "seed cannot be varied"),
            ("num-validation=5000", "num_validation cannot be varied"),
            ("learning-rate=", "learning_rate is ''; it must be a number from 1e-05 to 1"),
            ("learning-rate=0.1,", "learning_rate is ''"),
            ("learning-rate=0,001", "learning_rate is '0,001'; commas separate values, so write decimals with a point"),
            ("weight-decay=0,1,0,2", "or a semicolon between values"),
            ("learning-rate=0,001,0,01", "commas separate values"),
            ("weight-decay=0,01,0.1", "commas separate values"),
            ("weight-decay=0.1,0,0001", "commas separate values"),
            ("learning-rate=1,000;2,000", "learning_rate is '1,000'"),
            ("weight-decay=0,1", "weight_decay is '0,1'; commas separate values"),
            ("learning-rate=2", "learning_rate is 2; it must be a number from 1e-05 to 1"),
            ("learning-rate=nan..1", "learning_rate is nan; it must be a number"),
            ("learning-rate=0.1..", "learning_rate is ''"),
            ("learning-rate=0.1..0.01", "learning_rate is 0.1..0.01; the first number must be lower than the second"),
            ("learning-rate=0.1..0.1", "learning_rate is 0.1..0.1; the first number must be lower"),
            ("batch-size=64.5,128", "batch_size is 64.5; it must be a whole number from 8 to 4096"),
            ("batch-size=4..64", "batch_size is 4; it must be a whole number"),
            ("weight-decay=0..0.1", "weight_decay is 0..0.1; it is searched on a log scale, so it must begin above 0"),
            ("activation=relu,swish", "activation is 'swish'; it must be one of relu, tanh"),
            ("activation=relu..tanh", "activation cannot be an interval; list its values"),
            ("hidden-sizes=16..64", "hidden_sizes cannot be an interval"),
            ("hidden-sizes=500-4", "hidden_sizes is 500, 4; it must be 1 to 4 layers of 8 to 2048 units"),
            ("hidden-sizes=500-wide", "hidden_sizes is 500-wide; it must be 1 to 4 layers"),
        ],
    )
    def test_invalid_text_is_rejected_with_the_reason(self, text: str, reason: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_space([text])
        assert reason in str(caught.value)

    def test_field_given_twice_is_rejected(self) -> None:
        with pytest.raises(ConfigError, match="batch_size is given twice"):
            parse_space(["batch-size=64", "batch_size=128"])

    def test_empty_space_is_rejected(self) -> None:
        with pytest.raises(ConfigError, match="there is nothing to vary; choose from hidden_sizes"):
            parse_space([])


@st.composite
def varied_and_text(draw: st.DrawFn, name: str) -> tuple[Values | Interval, str]:
    """Draw what a field is varied over, with the text that means it."""
    match FIELDS[name]:
        case Choice(options):
            words = draw(st.lists(st.sampled_from(options), min_size=1, unique=True))
            return Values(tuple(words)), ",".join(words)
        case LayerSizes():
            sizes = st.lists(st.integers(8, 2048), min_size=1, max_size=4).map(tuple)
            layers = draw(st.lists(sizes, min_size=1, max_size=3, unique=True))
            return Values(tuple(layers)), ",".join("-".join(map(str, layer)) for layer in layers)
        case Range(kind, low, high) as limit:
            number = st.integers(int(low), int(high)) if kind is int else st.floats(low, high)
            if draw(st.booleans()):
                numbers = draw(st.lists(number, min_size=1, max_size=3, unique=True))
                return Values(tuple(numbers)), ",".join(map(str, numbers))
            above = [limit.low] if name not in LOG_SCALE else []
            ends = draw(st.lists(number.filter(lambda x: x not in above and x > 0), min_size=2, max_size=2, unique=True))
            return Interval(min(ends), max(ends)), f"{min(ends)}..{max(ends)}"


class TestSweepConfig:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"num_runs": 0}, "num_runs is 0; it must be a whole number from 1 to 10000"),
            ({"minutes": 0}, "minutes is 0; it must be a number from 0.001 to 10080"),
            ({"minutes": math.nan}, "minutes is nan"),
            ({"seed": -1}, "seed is -1"),
            ({"study": " "}, "study is ' '; it must be one line of text"),
            ({"study": "a\nb"}, r"study is 'a\\nb'; it must be one line"),
            ({"study": "a" * 101}, "study is 101 characters long; it may have at most 100"),
            ({"storage": ""}, "storage is ''"),
            ({"space": {}}, "there is nothing to vary"),
            (
                {"space": {"dropout": Values(())}},
                "dropout has no values to choose from; name at least one, a number from 0 to 0.5",
            ),
            ({"space": {"threads": Values((1,))}}, "threads cannot be varied"),
        ],
    )
    def test_out_of_range_value_is_rejected(self, change: dict[str, Any], reason: str) -> None:
        with pytest.raises(ConfigError, match=reason):
            config_for(**({"storage": "storage"} | change))

    def test_base_without_validation_images_gets_the_default_number(self) -> None:
        assert config_for("storage", base=BASE.replace(num_validation=0)).base == BASE.replace(num_validation=5000)

    def test_config_can_be_pickled(self) -> None:
        config = config_for("storage", space=MIXED, minutes=5)
        assert pickle.loads(pickle.dumps(config)) == config

    def test_duplicate_values_are_merged(self) -> None:
        assert config_for("storage", space={"batch_size": Values((64, 64.0, 32))}).space == {"batch_size": Values((64, 32))}


class TestTrialRecords:
    def test_best_trial_is_the_first_of_the_most_accurate_done(self) -> None:
        accuracies = [("done", 0.5), ("pruned", 0.9), ("done", 0.8), ("done", 0.8), ("failed", 0.95), ("running", 0.99)]
        records = [
            TrialRecord(i, state, {}, 1, 1, accuracy, 0.0)  # type: ignore[arg-type]
            for i, (state, accuracy) in enumerate(accuracies)
        ]
        assert best_trial(records) == records[2]
        assert best_trial([record for record in records if record.state != "done"]) is None
        assert best_trial([]) is None

    def test_config_of_a_trial_replaces_only_its_settings(self, mixed: tuple[str, list[TrialRecord]]) -> None:
        for trial in trials(mixed[0], "mixed"):
            config = config_of(BASE, trial)
            assert {name: getattr(config, name) for name in MIXED} == trial.settings
            assert config.replace(**{name: getattr(BASE, name) for name in MIXED}) == BASE
