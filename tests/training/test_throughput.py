"""throughput.py: what is measured, and what follows from it."""

import pytest
import torch

from mnist_fc.config import CPU_COUNT, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.training.throughput import BATCH_SIZES, SpeedRecord, fastest_threads, measure, thread_counts


@pytest.fixture(scope="module")
def measured(small: Mnist) -> list[tuple[SpeedRecord, int]]:
    """Every record, with the number of threads that PyTorch had when it came.

    The config asks for more validation images than there are, and the largest batch for more images.
    """
    config = TrainConfig(hidden_sizes=(16,), num_validation=5000)
    assert len(small.train_labels) < min(config.num_validation, max(BATCH_SIZES))
    return [(record, torch.get_num_threads()) for record in measure(config, small)]


class TestThreadCounts:
    @pytest.mark.parametrize("cores", range(1, 9))
    def test_few_cores_are_counted_one_by_one(self, cores: int) -> None:
        assert thread_counts(cores) == list(range(1, cores + 1))

    @pytest.mark.parametrize(
        ("cores", "counts"),
        [(9, [1, 2, 4, 8, 9]), (12, [1, 2, 4, 8, 12]), (16, [1, 2, 4, 8, 16]), (100, [1, 2, 4, 8, 16, 32, 64, 100])],
    )
    def test_many_cores_are_counted_in_powers_of_two(self, cores: int, counts: list[int]) -> None:
        assert thread_counts(cores) == counts

    def test_counts_ascend_without_duplicates(self) -> None:
        for cores in range(1, 300):
            counts = thread_counts(cores)
            assert (counts[0], counts[-1]) == (1, cores)
            assert counts == sorted(set(counts))
            assert len(counts) <= 10

    def test_counts_default_to_this_machine(self) -> None:
        assert thread_counts() == thread_counts(CPU_COUNT)


@pytest.mark.integration
class TestMeasure:
    def test_every_number_of_threads_and_batch_size_is_measured(self, measured: list[tuple[SpeedRecord, int]]) -> None:
        found = [(record.threads, record.batch_size) for record, _ in measured]
        assert found == [(threads, size) for threads in thread_counts() for size in BATCH_SIZES]

    def test_training_used_the_threads_of_the_record(self, measured: list[tuple[SpeedRecord, int]]) -> None:
        assert [record.threads for record, _ in measured] == [threads for _, threads in measured]

    def test_rates_are_positive(self, measured: list[tuple[SpeedRecord, int]]) -> None:
        assert min(record.images_per_second for record, _ in measured) > 0


class TestFastestThreads:
    RECORDS = (
        SpeedRecord(1, 32, 900.0),
        SpeedRecord(2, 32, 500.0),
        SpeedRecord(4, 32, 100.0),
        SpeedRecord(1, 128, 1000.0),
        SpeedRecord(2, 128, 1500.0),
        SpeedRecord(4, 128, 1200.0),
        SpeedRecord(1, 512, 1100.0),
        SpeedRecord(2, 512, 2000.0),
        SpeedRecord(4, 512, 3000.0),
    )

    @pytest.mark.parametrize(
        ("batch_size", "fastest"),
        [
            *((8, SpeedRecord(1, 32, 900.0)), (32, SpeedRecord(1, 32, 900.0)), (79, SpeedRecord(1, 32, 900.0))),
            *((81, SpeedRecord(2, 128, 1500.0)), (128, SpeedRecord(2, 128, 1500.0)), (319, SpeedRecord(2, 128, 1500.0))),
            *((321, SpeedRecord(4, 512, 3000.0)), (4096, SpeedRecord(4, 512, 3000.0))),
        ],
    )
    def test_the_highest_rate_of_the_nearest_batch_size_wins(self, batch_size: int, fastest: SpeedRecord) -> None:
        assert fastest_threads(list(self.RECORDS), batch_size) == fastest
        assert fastest_threads(list(reversed(self.RECORDS)), batch_size) == fastest

    def test_incomplete_records_suffice(self) -> None:
        assert fastest_threads(list(self.RECORDS[:1]), 4096) == self.RECORDS[0]
