"""The tab "Export and import": what the downloads contain, and what an uploaded file does to the page."""

import ast
import csv
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn

from mnist_fc.config import PRESETS, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network import checkpoint
from mnist_fc.network.mlp import MLP, initialize
from mnist_fc.runs.metrics import COLUMNS
from mnist_fc.server.run import Run
from mnist_fc.views.state import formatting, shared
from tests.support.files import WritesAFile
from tests.support.models import BlogNet
from tests.support.session import Downloads, has_text, open_tab, opened_app, press, progress_line, rerun, send, texts
from tests.support.waiting import wait_until

CONFIG = PRESETS["fast"].replace(hidden_sizes=(500,), num_epochs=1, num_validation=100, threads=1)
"""Fifteen steps on the 1,900 images that are left of the small data."""
TAB = "Export and import"

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture(scope="module")
def run(own_small_store: None) -> Run:
    """Return a run of fifteen steps that is done."""
    made = shared.scheduler().start(CONFIG)
    wait_until(made, "done")
    return made


@pytest.fixture(scope="module")
def tanh_run(own_small_store: None) -> Run:
    """Return a run of a network with tanh."""
    made = shared.scheduler().start(CONFIG.replace(activation="tanh"))
    wait_until(made, "done")
    return made


def open_export(**query: str) -> AppTest:
    return open_tab(opened_app(**query), TAB)


def read_by(app: AppTest) -> str:
    """Return the name of the network under the drawing."""
    (name,) = (found[1] for text in texts(app) if (found := re.search("<span class='by'>(.*)</span>", text)))
    return name


def bars(app: AppTest) -> str:
    (text,) = (text for text in texts(app) if "class='bars'" in text)
    return text


def accuracy_shown(app: AppTest) -> str:
    """Return the test accuracy of the run on the page, in percent with two decimals."""
    found = re.search(r"Test accuracy \*\*(\d+\.\d\d%)\*\*", progress_line(app))
    assert found
    return found[1]


def accuracy_of(model: nn.Module, data: Mnist) -> float:
    with torch.no_grad():
        return float((model(data.test_images / 255).argmax(1) == data.test_labels).float().mean())


def blog_net(content: bytes, tmp_path: Path) -> BlogNet:
    """Return the blog's network with the weights of a downloaded checkpoint, as the page's caption says."""
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    net = BlogNet()
    net.load_state_dict(torch.load(path, weights_only=True))
    return net


# Downloads


def test_downloads_contain_the_run_on_the_page(run: Run, small: Mnist, downloads: Downloads, tmp_path: Path) -> None:
    app = open_export(run=run.id)
    assert read_by(app) == "this run, step 15"
    shown = accuracy_shown(app)
    blog = blog_net(downloads.file(app, "take_model_ckpt"), tmp_path)
    assert f"{accuracy_of(blog, small):.2%}" == shown

    config = downloads.file(app, "take_config_json")
    assert TrainConfig.from_json(config.decode()) == CONFIG
    (tmp_path / "config.json").write_bytes(config)
    assert checkpoint.load(tmp_path / "model.ckpt").activation_name == "relu"

    images = (small.test_images[:200] / 255).numpy()
    onnx = onnxruntime.InferenceSession(downloads.file(app, "take_model_onnx"), providers=["CPUExecutionProvider"])
    (logits,) = onnx.run(None, {"images": images})
    np.testing.assert_allclose(logits, blog(torch.from_numpy(images)).detach().numpy(), atol=1e-4)

    rows = list(csv.DictReader(downloads.file(app, "take_metrics_csv").decode().splitlines()))
    assert list(rows[0]) == COLUMNS
    assert rows[-1]["outcome"] == "done"
    assert [int(row["step"]) for row in rows] == sorted(int(row["step"]) for row in rows)
    assert f"{float(rows[-1]['test_accuracy']):.2%}" == shown
    assert f"Test accuracy {shown}" in downloads.file(app, "take_report_md").decode()
    assert [code.value for code in app.code] == [f"tensorboard --logdir {shared.scheduler().store.path}"]


def test_downloaded_weights_are_of_the_chosen_step(run: Run, small: Mnist, downloads: Downloads, tmp_path: Path) -> None:
    app = send(open_export(run=run.id), "timeline_slider", "moment", {"step": 0, "turn": 1})
    assert read_by(app) == "this run, step 0"
    assert accuracy_of(blog_net(downloads.file(app, "take_model_ckpt"), tmp_path), small) < 0.3


def constants(program: str) -> dict[str, Any]:
    compile(program, "train.py", "exec")
    return {name: ast.literal_eval(value) for name, value in re.findall(r"^([A-Z_]+\d?) = ([^#\n]+)", program, re.MULTILINE)}


def test_exported_programs_have_panel_settings_and_run_settings(run: Run, downloads: Downloads) -> None:
    app = open_export(run=run.id)
    assert "take_script_of_run" not in {button.key for button in app.get("download_button")}
    app.selectbox(key="activation").set_value("tanh")
    app.number_input(key="num_layers").set_value(4)
    rerun(app)
    assert has_text(app, "784-500-500-500-500-10, as a short PyTorch program")
    of_panel, of_run = (downloads.file(app, key).decode() for key in ("take_train_py", "take_script_of_run"))
    common = {"HIDDEN1": 500, "LEARNING_RATE": 0.01, "BATCH_SIZE": 128, "NUM_EPOCHS": 1, "NUM_VALIDATION": 100}
    assert constants(of_panel).items() >= {**common, "HIDDEN2": 500, "HIDDEN4": 500}.items()
    assert constants(of_run).items() >= common.items()
    assert "HIDDEN2" not in constants(of_run)
    assert "tanh" in of_panel
    assert "tanh" not in of_run


def test_export_without_a_run_offers_the_built_in_network(small: Mnist, downloads: Downloads, tmp_path: Path) -> None:
    app = open_export()
    assert len([text for text in texts(app) if "There is no run yet. Press Train." in text]) == 2
    disabled = {button.key for button in app.get("download_button") if button.proto.disabled}
    assert disabled == {"take_metrics_csv", "take_report_md"}
    for key, name in (("take_config_json", "config.json"), ("take_model_ckpt", "model.ckpt")):
        (tmp_path / name).write_bytes(downloads.file(app, key))
    model, shipped = checkpoint.load(tmp_path / "model.ckpt"), checkpoint.load(checkpoint.SHIPPED)
    assert model.activation_name == shipped.activation_name
    assert torch.equal(model(small.test_images[:100] / 255), shipped(small.test_images[:100] / 255))


def test_files_that_a_run_lacks_are_explained(run: Run) -> None:
    report = run.path / "report.md" if run.path else None
    assert report
    content = report.read_bytes()
    report.unlink()
    app = open_export(run=run.id)
    assert has_text(app, "**It is not in the run's folder.**")
    assert {one.key for one in app.get("download_button") if one.proto.disabled} == {"take_report_md"}
    report.write_bytes(content)


def test_active_run_has_no_report_before_its_first_epoch() -> None:
    long = shared.scheduler().start(CONFIG.replace(num_epochs=100, batch_size=8, hidden_sizes=(512, 512)))
    shared.scheduler().pause(long)  # before its process has loaded the data, so after its first step at the latest
    wait_until(long, "paused")
    assert not long.snapshot().epochs
    app = open_export(run=long.id)
    assert has_text(app, "**It is written after the first epoch.**")
    shared.scheduler().stop(long)
    assert long.wait_for(lambda run: not run.is_active, 300)


# Uploads


def saved(value: object, path: Path) -> bytes:
    torch.save(value, path)
    return path.read_bytes()


def state_of(num_classes: int = 10) -> dict[str, Tensor]:
    model = MLP((8,), num_classes=num_classes)
    initialize(model, "pytorch", torch.Generator().manual_seed(3))
    return model.state_copy()


def bring(app: AppTest, content: bytes, name: str = "net.ckpt") -> AppTest:
    _uploader(app).set_value((name, content, "application/octet-stream"))
    return rerun(app)


def _uploader(app: AppTest) -> Any:
    """Return the uploader of the tab."""
    (uploader,) = (one for one in app.file_uploader if (one.key or "").startswith("upload_"))
    return uploader


def sources(app: AppTest) -> list[str]:
    return list(app.segmented_control(key="network_choice").options)


def choose_source(app: AppTest, source: str) -> AppTest:
    app.segmented_control(key="network_choice").set_value(source)
    return rerun(app)


def test_uploaded_checkpoint_reads_as_before_with_its_activation(tanh_run: Run, downloads: Downloads) -> None:
    app = open_export(run=tanh_run.id)
    accuracy, as_trained = accuracy_shown(app), bars(app)
    content = downloads.file(app, "take_model_ckpt")
    app = press(app, "reset")
    assert read_by(app) == "the built-in network"
    app = bring(app, content, "my_net_*2*.pt")
    assert read_by(app) == "the loaded file"
    assert has_text(app, "**my_net_*2*.pt**: 784-500-10, MNIST ")
    assert bars(app) != as_trained
    assert not has_text(app, f"784-500-10, MNIST {accuracy}. It reads your drawing now.")
    app.selectbox(key="upload_activation").set_value("tanh")
    rerun(app)
    assert has_text(app, f"784-500-10, MNIST {accuracy}. It reads your drawing now.")
    assert bars(app) == as_trained
    config = json.loads(downloads.file(app, "take_config_json"))
    assert (config["hidden_sizes"], config["activation"]) == ([500], "tanh")


def test_network_trained_elsewhere_reads_with_the_suggested_settings(downloads: Downloads, tmp_path: Path) -> None:
    app = open_export()
    model = checkpoint.load(checkpoint.SHIPPED)
    as_built_in, state = bars(app), model.state_copy()
    # As if it had been trained on pixels less 0.1307, divided by 0.3081.
    state["fc1.bias"] += 0.1307 * state["fc1.weight"].sum(1)
    state["fc1.weight"] *= 0.3081
    app = bring(app, saved({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "net"), "net.bin")
    assert has_text(app, "Its layers module.fc1, module.fc2, module.fc3 are read as fc1, fc2, fc3.")
    (warning,) = app.warning
    assert re.search(r"With standardized pixels it reads (9\d|100)\.\d%", warning.value)
    app = press(app, "upload_suggested")
    assert app.selectbox(key="upload_inputs").value == "mean-std"
    assert not app.warning
    assert has_text(app, "784-1024-128-10, MNIST 100.00%"), "of the first 500 test digits"
    app.selectbox(key="upload_inputs").set_value("0..1")
    assert rerun(app).warning
    app.selectbox(key="upload_inputs").set_value("mean-std")
    assert bars(rerun(app)) == as_built_in
    content = downloads.file(app, "take_model_safetensors")
    written = checkpoint.from_bytes(content, "model.safetensors", "relu").model.state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(written[name], tensor, rtol=1e-4, atol=1e-5)


def test_network_trained_on_turned_images_is_noticed(tmp_path: Path) -> None:
    state = checkpoint.load(checkpoint.SHIPPED).state_copy()
    state["fc1.weight"] = state["fc1.weight"].view(-1, 28, 28).transpose(1, 2).reshape(-1, 784)
    app = bring(open_export(), saved(state, tmp_path / "net"))
    (warning,) = app.warning
    assert "% if their rows and columns are exchanged. " in warning.value


@pytest.mark.parametrize(
    ("tab", "words"),
    [
        ("Why this digit?", "Read by the loaded file."),
        ("Inside", "8 x 784 weights"),
        ("Gradients", "the built-in network's own training"),
        ("Misread digits", "By the loaded file"),
        ("Look-alikes", "hidden layer of the loaded file"),
    ],
)
def test_loaded_file_fills_every_tab(tmp_path: Path, tab: str, words: str) -> None:
    app = open_tab(bring(open_export(), saved(state_of(), tmp_path / "net")), tab)
    assert has_text(app, words)
    assert has_text(open_tab(app, TAB), "784-8-10, MNIST"), "it is there again after another tab"


def test_removed_file_gives_way_to_the_network_before(tmp_path: Path) -> None:
    app = bring(open_export(), saved(state_of(), tmp_path / "net"))
    assert sources(app) == ["Built-in network", "Loaded file"]
    app = choose_source(app, "shipped")
    assert read_by(app) == "the built-in network"
    assert has_text(app, "To read with it, choose **Loaded file** below the drawing.")
    app = press(choose_source(app, "file"), "upload_remove")
    assert read_by(app) == "the built-in network"
    assert "Loaded file" not in sources(app)
    assert "upload_remove" not in {button.key for button in app.button}


def test_removed_upload_leaves_the_new_run_reading(tmp_path: Path) -> None:
    app = bring(
        open_export(preset="fast", hidden_sizes="500", epochs="1", num_validation="100", threads="1"),
        saved(state_of(), tmp_path / "net"),
    )
    app = press(app, "train")
    made = shared.scheduler().run(app.session_state["page_address"]["run"])
    assert made
    wait_until(made, "done")
    assert read_by(rerun(app)) == "this run, step 15"
    assert read_by(choose_source(app, "file")) == "the loaded file"
    app = send(app, "timeline_slider", "moment", {"step": 0, "turn": 1})
    assert read_by(app) == "this run, step 0"
    app = press(app, "upload_remove")
    assert read_by(app) == "this run, step 0"


def test_invalid_files_are_rejected_with_a_reason(tmp_path: Path) -> None:
    app = bring(open_export(), checkpoint.SHIPPED.read_bytes(), "good.ckpt")
    assert has_text(app, "**good.ckpt**: 784-1024-128-10, MNIST 100.00%"), "of the first 500 test digits"
    as_good = bars(app)
    valid, ran = saved(state_of(), tmp_path / "net"), tmp_path / "ran"
    wide = state_of() | {"fc1.weight": torch.zeros(8, 783)}
    wrong = {
        "text.ckpt": (b"This is no network.", " is a text file; a network is read from its checkpoint"),
        "code.pt": (saved({"fc1.weight": WritesAFile(ran)}, tmp_path / "code"), " holds more than tensors; it is not loaded"),
        "bare.pt": (pickle.dumps(WritesAFile(ran)), " is a pickle that torch.save did not write"),
        "cut.pth": (valid[: len(valid) // 2], " is truncated or not a checkpoint"),
        "wide.ckpt": (saved(wide, tmp_path / "wide"), ": fc1 has weights (8, 783) and biases (8,)"),
        "eleven.ckpt": (saved(state_of(num_classes=11), tmp_path / "11"), " has 11 outputs; a network for digits has 10"),
        "page.h5": (b"<!DOCTYPE html>", " is a web page; download the file itself"),
        "<b>_a_</b>.ckpt": (b"", " is empty"),
    }
    for name, (content, reason) in wrong.items():
        app = bring(app, content, name)
        (alert,) = app.error
        assert formatting.unescape_markdown(alert.value).startswith(f"{name}{reason}")
        assert alert.value.endswith("The page still reads with the loaded file.")
        assert str(tmp_path.parent) not in alert.value
        assert bars(app) == as_good
    assert not ran.exists()
    _uploader(app).clear()
    assert not rerun(app).error
    assert read_by(app) == "the loaded file"
