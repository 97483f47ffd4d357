"""The number of cores that a process may use."""

import math
from pathlib import Path

import pytest

from mnist_fc import cpus


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def least_quota(tmp_path: Path, membership: str) -> float:
    (tmp_path / "membership").write_text(membership)
    return min(cpus.quotas(tmp_path, tmp_path / "membership"))


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", math.inf), ("nonsense", math.inf)])
def test_quota_of_version_2_is_read(tmp_path: Path, text: str, cores: float) -> None:
    write(tmp_path / "user" / "job", cpu__max=text)
    assert least_quota(tmp_path, "0::/user/job\n") == cores


@pytest.mark.parametrize(("quota", "cores"), [("100000\n", 1.0), ("-1\n", math.inf)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_quota_of_version_1_is_read(tmp_path: Path, controllers: str, quota: str, cores: float) -> None:
    write(tmp_path / controllers / "job", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000\n")
    assert least_quota(tmp_path, f"4:memory:/\n3:{controllers}:/job\n0::/\n") == cores


def test_quota_of_a_parent_holds_for_its_groups(tmp_path: Path) -> None:
    write(tmp_path / "user", cpu__max="50000 100000")
    write(tmp_path / "user" / "job", cpu__max="max 100000")
    assert least_quota(tmp_path, "0::/user/job\n") == 0.5


def test_quota_is_found_where_a_container_shows_only_its_own_group(tmp_path: Path) -> None:
    write(tmp_path, cpu__max="200000 100000")
    assert least_quota(tmp_path, "0::/docker/0123abcd\n") == 2


def test_no_control_groups_are_no_quota(tmp_path: Path) -> None:
    assert min(cpus.quotas(tmp_path, tmp_path / "missing")) == math.inf


@pytest.mark.parametrize("quota", [0.3, 1.0, 1.9])
def test_a_quota_below_two_cores_leaves_one_thread(monkeypatch: pytest.MonkeyPatch, quota: float) -> None:
    monkeypatch.setattr(cpus, "quotas", lambda: iter([math.inf, quota]))
    assert cpus.usable() == 1


@pytest.mark.parametrize(("text", "threads"), [("3", 3), (" 2,1", 2), ("0", None), ("-1", None), ("many", None), ("", None)])
def test_requested_threads_are_those_of_openmp(monkeypatch: pytest.MonkeyPatch, text: str, threads: int | None) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert cpus.requested() == threads


def test_the_processor_is_as_the_system_describes_it(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme\n\nprocessor\t: 1\n")
    assert cpus.processor_info(tmp_path / "cpuinfo") == {"processor": "1", "vendor_id": "GenuineIntel", "flags": "fpu vme"}
    assert cpus.processor_info(tmp_path / "missing") == {}
