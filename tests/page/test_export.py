"""Downloads that other programs read, and uploaded networks that read the drawing."""

import ast
import csv
import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from torch import Tensor, nn

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.runs.metrics import COLUMNS
from tests.support.browser import (
    CONTRAST_BELOW,
    choose,
    click,
    expect_at_end,
    expect_reading,
    expect_status,
    open_tab,
    slide,
    start_run,
)
from tests.support.files import WritesAFile
from tests.support.layout import IN_EVERY_LOOK
from tests.support.models import BlogNet

TAB = "Export and import"


def train_one_epoch(page: Page) -> str:
    """Train on the page and return its test accuracy in percent, with two decimals."""
    slide(page, "epochs", "Home")
    start_run(page)
    expect_status(page, "done")
    progress = page.locator(".st-key-progress")
    expect(progress).to_contain_text("Test accuracy")
    accuracy = re.search(r"(\d+\.\d\d)%", progress.inner_text())
    assert accuracy
    return accuracy[1]


def download(page: Page, key: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        click(page, key)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def bring(page: Page, content: bytes, name: str = "net.ckpt") -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.locator(".st-key-upload input[type=file]").set_input_files(file)  # type: ignore[arg-type]


def shown_network(page: Page) -> Locator:
    """Return the message about the uploaded file."""
    return page.locator(".st-key-upload_said")


def reads(page: Page, network: str) -> None:
    expect(page.locator(".by")).to_have_text(network)


def accuracy_of(model: nn.Module, mnist: Mnist) -> str:
    with torch.no_grad():
        return f"{(model(mnist.test_images / 255).argmax(1) == mnist.test_labels).float().mean():.2%}"


def saved(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def state_of(hidden_sizes: tuple[int, ...] = (8,), num_classes: int = 10) -> dict[str, Tensor]:
    model = MLP(hidden_sizes, num_classes=num_classes)
    initialize(model, "pytorch", torch.Generator().manual_seed(3))
    return model.state_copy()


# Downloads


def test_downloads_contain_the_run_on_the_page(page: Page, mnist: Mnist, tmp_path: Path) -> None:
    shown = train_one_epoch(page)
    open_tab(page, TAB)

    blog = BlogNet()
    blog.load_state_dict(torch.load(download(page, "take_model_ckpt", tmp_path), weights_only=True))
    assert accuracy_of(blog, mnist) == f"{shown}%"

    assert TrainConfig.from_json(download(page, "take_config_json", tmp_path).read_text()).num_epochs == 1
    ours = checkpoint.load(tmp_path / "model.ckpt")
    assert ours.activation_name == "relu"

    images = (mnist.test_images[:200] / 255).numpy()
    onnx = onnxruntime.InferenceSession(download(page, "take_model_onnx", tmp_path), providers=["CPUExecutionProvider"])
    (logits,) = onnx.run(None, {"images": images})
    np.testing.assert_allclose(logits, blog(torch.from_numpy(images)).detach().numpy(), atol=1e-4)

    rows = list(csv.DictReader(download(page, "take_metrics_csv", tmp_path).read_text().splitlines()))
    assert list(rows[0]) == COLUMNS
    assert rows[-1]["outcome"] == "done"
    assert [int(row["step"]) for row in rows] == sorted(int(row["step"]) for row in rows)
    assert f"{float(rows[-1]['test_accuracy']):.2%}" == f"{shown}%"
    assert f"Test accuracy {shown}%" in download(page, "take_report_md", tmp_path).read_text()
    expect(page.get_by_text(re.compile(r"^tensorboard --logdir .*runs$"))).to_be_visible()
    reads(page, "this run, step 275")

    page.locator(".timeline input").press("Home")
    reads(page, "this run, step 0")
    blog.load_state_dict(torch.load(download(page, "take_model_ckpt", tmp_path), weights_only=True))
    assert float(accuracy_of(blog, mnist)[:-1]) < 30, "the weights of the moment that is chosen"


def test_exported_programs_have_panel_settings_and_run_settings(page: Page, tmp_path: Path) -> None:
    slide(page, "size_0", "Home")
    train_one_epoch(page)
    open_tab(page, TAB)
    expect(page.locator(".st-key-take_script_of_run")).to_have_count(0)
    choose(page, "activation", "tanh")
    slide(page, "num_layers", "End")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("784-8-500-500-500-10")
    click(page, "test_digit_button")  # reruns the page beside the panel
    expect(page.locator(".st-key-take_script_of_run")).to_be_visible()
    expect(page.get_by_text("784-8-500-500-500-10, as a short PyTorch program")).to_be_visible()
    texts = {key: download(page, key, tmp_path).read_text() for key in ("take_train_py", "take_script_of_run")}
    for text in texts.values():
        compile(text, "train.py", "exec")
    constants = {
        key: {name: ast.literal_eval(value) for name, value in re.findall(r"^([A-Z_]+\d?) = ([^#\n]+)", text, re.MULTILINE)}
        for key, text in texts.items()
    }
    common = {"HIDDEN1": 8, "LEARNING_RATE": 0.005, "BATCH_SIZE": 200, "NUM_EPOCHS": 1, "NUM_VALIDATION": 5000}
    assert constants["take_train_py"].items() >= {**common, "HIDDEN2": 500, "HIDDEN4": 500}.items()
    assert constants["take_script_of_run"].items() >= common.items()
    assert "HIDDEN2" not in constants["take_script_of_run"]
    assert "tanh" in texts["take_train_py"]
    assert "tanh" not in texts["take_script_of_run"]


@pytest.mark.slow
def test_export_without_a_run_offers_the_built_in_network(page: Page, mnist: Mnist, tmp_path: Path) -> None:
    open_tab(page, TAB)
    expect(page.get_by_text("There is no run yet. Press Train.")).to_have_count(2)
    for key in ("take_metrics_csv", "take_report_md"):
        expect(page.locator(f".st-key-{key} button")).to_be_disabled()
    download(page, "take_config_json", tmp_path)
    model = checkpoint.load(download(page, "take_model_ckpt", tmp_path))
    shipped = checkpoint.load(checkpoint.SHIPPED)
    assert torch.equal(model(mnist.test_images[:100] / 255), shipped(mnist.test_images[:100] / 255))


# Uploads


@pytest.mark.slow
def test_uploaded_checkpoint_reads_as_before_with_its_activation(page: Page, tmp_path: Path) -> None:
    choose(page, "activation", "tanh")
    shown = train_one_epoch(page)
    expect_at_end(page, 275)
    bars = page.locator(".bar").evaluate_all("bars => bars.map(bar => bar.title)")
    open_tab(page, TAB)
    path = download(page, "take_model_ckpt", tmp_path)
    click(page, "reset")
    reads(page, "the built-in network")

    bring(page, path.read_bytes(), "my_net_*2*.pt")
    reads(page, "the loaded file")
    expect(shown_network(page)).to_contain_text("my_net_*2*.pt: 784-500-10, MNIST ")
    with_relu = shown_network(page).inner_text()
    assert page.locator(".bar").evaluate_all("bars => bars.map(bar => bar.title)") != bars
    choose(page, "upload_activation", "tanh")
    accuracy = f"MNIST {int(shown.replace('.', '')) / 10_000:.2%}"
    expect(shown_network(page)).to_contain_text(accuracy)
    assert shown_network(page).inner_text() != with_relu
    assert page.locator(".bar").evaluate_all("bars => bars.map(bar => bar.title)") == bars
    assert TrainConfig.from_json(download(page, "take_config_json", tmp_path).read_text()).activation == "tanh"

    for tab, words in (
        ("Why this digit?", "Read by the loaded file."),
        ("Inside", "500 x 784 weights"),
        ("Gradients", "Press Train"),
        ("Mistakes", "By the loaded file"),
        ("Look-alikes", "hidden layer of the loaded file"),
    ):
        open_tab(page, tab)
        expect(page.get_by_role("tabpanel", name=tab)).to_contain_text(words)
    open_tab(page, TAB)
    expect(shown_network(page)).to_contain_text(accuracy)
    expect(page.locator(".st-key-upload_activation input")).to_have_value("tanh")

    page.locator(".st-key-network").get_by_text("Built-in network").click()
    reads(page, "the built-in network")
    expect(shown_network(page)).to_contain_text("choose Loaded file below the drawing")
    page.locator(".st-key-network").get_by_text("Loaded file").click()
    reads(page, "the loaded file")
    click(page, "upload_remove")
    reads(page, "the built-in network")
    expect(page.locator(".st-key-upload_remove")).to_have_count(0)
    expect(page.locator(".st-key-network").get_by_text("Loaded file")).to_have_count(0)
    expect_reading(page, "3")


@pytest.mark.slow
def test_removed_upload_leaves_the_new_run_reading(page: Page) -> None:
    open_tab(page, TAB)
    bring(page, saved(state_of()))
    reads(page, "the loaded file")
    train_one_epoch(page)
    reads(page, "this run, step 275")
    page.locator(".st-key-network").get_by_text("Loaded file").click()
    reads(page, "the loaded file")
    page.locator(".timeline input").press("Home")
    reads(page, "this run, step 0")
    click(page, "upload_remove")
    expect(page.locator(".st-key-upload_remove")).to_have_count(0)
    reads(page, "this run, step 0")


def test_invalid_file_is_rejected_with_a_reason(page: Page, tmp_path: Path) -> None:
    open_tab(page, TAB)
    bring(page, checkpoint.SHIPPED.read_bytes(), "good.ckpt")
    expect(shown_network(page)).to_contain_text("good.ckpt: 784-1024-128-10, MNIST 99.")
    whole = saved(state_of())
    wrong = {
        "text.ckpt": (b"This is no network.", "is truncated or not a checkpoint written by torch.save"),
        "code.pt": (saved({"fc1.weight": WritesAFile(tmp_path / "ran")}), "holds more than tensors; it is not loaded"),
        "bare.pt": (pickle.dumps(WritesAFile(tmp_path / "ran")), "is truncated or not a checkpoint"),
        "cut.pth": (whole[: len(whole) // 2], "is truncated or not a checkpoint"),
        "wide.ckpt": (saved(state_of() | {"fc1.weight": torch.zeros(8, 783)}), ": fc1 has weights (8, 783) and biases (8,)"),
        "eleven.ckpt": (saved(state_of(num_classes=11)), "has 11 outputs; a network for digits has 10"),
        "<b>_a_</b> **b**.ckpt": (b"", "is truncated or not a checkpoint"),
    }
    for name, (content, reason) in wrong.items():
        bring(page, content, name)
        alert = shown_network(page).get_by_role("alert")
        expect(alert).to_contain_text(f"{name}{'' if reason[0] == ':' else ' '}{reason}")
        expect(alert).to_contain_text("The page still reads with the loaded file.")
        assert str(tmp_path.parent) not in alert.inner_text()
        reads(page, "the loaded file")
        expect_reading(page, "3")
    assert not (tmp_path / "ran").exists()
    page.locator(".st-key-upload").get_by_role("button", name="Remove").click()
    expect(shown_network(page).get_by_role("alert")).to_have_count(0)
    reads(page, "the loaded file")


# Looks


@IN_EVERY_LOOK
def test_export_tab_is_legible_and_fits_the_screen(open_page: Callable[..., Page], scheme: str, width: int) -> None:
    page = open_page(width, 800, color_scheme=scheme)
    open_tab(page, TAB)
    expect(page.locator(".st-key-take_train_py")).to_be_visible()
    assert page.evaluate(CONTRAST_BELOW, 4.5) == []
    bring(page, saved(state_of()), f"{'a_long_name_' * 8}.ckpt")
    expect(page.locator(".st-key-upload_remove")).to_be_visible()
    bring(page, b"no network", f"{'a_long_name_' * 8}.ckpt")
    expect(shown_network(page).get_by_role("alert")).to_be_visible()
    assert page.evaluate(CONTRAST_BELOW, 4.5) == []
    right = page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('[role=tabpanel] *')].map(e => e.getBoundingClientRect().right))"
    )
    assert right <= width
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
