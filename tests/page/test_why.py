"""What the page shows of a network that learns, and how it explains a reading."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from streamlit.proto.WidgetStates_pb2 import WidgetState

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import WeightsRecord
from mnist_fc.runs.writer import RunFolder
from mnist_fc.training.engine import train
from tests.support.browser import (
    ONE,
    SCRIBBLE,
    SECONDS,
    SEVEN,
    Server,
    choose,
    choose_preset,
    clear,
    click,
    curve_length,
    draw,
    expect_at_end,
    expect_longer_curve,
    expect_reading,
    expect_status,
    open_tab,
    ready,
    running_server,
    set_number,
    slide,
    start_run,
)
from tests.support.layout import IN_EVERY_LOOK, faint_texts, resize
from tests.support.settings import OVERFLOWING
from tests.support.tampering import tamper_with

TABS = {
    "Why this digit?": "why_sums",
    "Inside": "gallery",
    "Gradients": "",
    "Misread digits": "misread",
    "Look-alikes": "nearest",
}
"""The explaining tabs, and the last element of each without a run."""

PICTURE = "canvas => canvas.toDataURL()"

NUMBERS_CUT_OFF = """
() => Array.from(document.querySelectorAll(".line-chart > svg text"))
  .filter(text => text.getBoundingClientRect().left < text.closest(".line-chart").getBoundingClientRect().left)
  .map(text => text.textContent)
"""
"""Axis labels that start left of their chart."""


@pytest.fixture
def trained(page: Page) -> Page:
    """Open a page and train for one epoch."""
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_at_end(page, 430)
    expect(page.locator(".timeline output")).to_have_text("step 430, final")
    return page


def numbers(text: str) -> list[float]:
    """Return all numbers in a text, with the page's own minus signs."""
    return [
        float(number.replace(",", ""))
        for number in re.findall(r"-?[\d,]+(?:\.\d+)?(?:e-?\d+)?", text.replace("\N{MINUS SIGN}", "-"))
    ]


def look_back(page: Page, key: str, step: str) -> None:
    """Press a key on the slider and wait until the page shows the weights of that step."""
    slider = page.locator(".timeline input")
    slider.press(key)
    expect(page.locator(".by")).to_have_text(f"this run, step {step}")
    expect(slider).to_have_attribute("aria-busy", "false")


def click_in(picture: Locator, x: float, y: float) -> None:
    """Click at a position of a picture, in fractions of its size."""
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box
    picture.click(position={"x": x * box["width"], "y": y * box["height"]})


# Looking back


@pytest.mark.slow
def test_looking_back_uses_the_weights_of_that_moment(trained: Page) -> None:
    page = trained
    pixels = page.locator(".st-key-why_pictures canvas").first
    at_the_end = pixels.evaluate(PICTURE)
    expect(page.locator(".under-digit")).to_contain_text(re.compile(r"99\.\d% sure"))
    look_back(page, "Home", "0")
    expect(page.locator(".under-digit")).to_contain_text(re.compile(r"^1\d\.\d% sure"))
    expect(page.locator(".line-chart line.mark")).to_have_count(2)
    assert pixels.evaluate(PICTURE) != at_the_end
    for step in ("5", "10", "20", "50", "100", "200"):
        look_back(page, "ArrowRight", step)
    look_back(page, "End", "430")
    expect(page.locator(".line-chart line.mark")).to_have_count(0)
    assert pixels.evaluate(PICTURE) == at_the_end


@pytest.mark.slow
def test_play_runs_through_all_moments_to_the_last(trained: Page) -> None:
    trained.evaluate(
        """() => {
          window.seen = [document.querySelector(".by").innerText];
          const look = () => {
            const by = document.querySelector(".by")?.innerText;
            if (by && by !== window.seen.at(-1)) window.seen.push(by);
          };
          new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )
    trained.locator(".timeline .play").click()
    expect(trained.locator(".timeline .play")).to_have_attribute("aria-label", "Pause playback")
    expect(trained.locator(".timeline .play")).to_have_attribute("aria-label", "Play")
    expect(trained.locator(".by")).to_have_text("this run, step 430")
    assert trained.evaluate("window.seen") == [f"this run, step {step}" for step in (430, 0, 5, 10, 20, 50, 100, 200, 400, 430)]


@pytest.mark.slow
def test_looking_back_during_training_stays_until_newest_is_chosen(page: Page) -> None:
    choose_preset(page, "best")
    click(page, "train")
    expect(page.locator(".by")).to_contain_text(re.compile("this run, step (?!0$)"))
    look_back(page, "Home", "0")
    expect_longer_curve(page, "loss_chart", curve_length(page, "loss_chart"))
    expect(page.locator(".by")).to_have_text("this run, step 0")
    page.locator(".timeline input").press("End")
    expect(page.locator(".by")).not_to_have_text("this run, step 0")
    expect(page.locator(".timeline output")).to_contain_text("latest")


@pytest.mark.slow
def test_missing_weights_file_is_reported(browser: Browser, tmp_path: Path) -> None:
    with running_server(tmp_path) as own:
        page = browser.new_page()
        page.goto(own.url)
        ready(page)
        slide(page, "epochs", "Home")
        click(page, "train")
        expect_status(page, "done")
        next(tmp_path.glob("runs/*/step-000000.ckpt")).unlink()
        page.locator(".timeline input").press("Home")
        expect(page.get_by_text(re.compile("The weights of step 0 cannot be shown: .*does not exist"))).to_be_visible()
        expect(page.locator(".by")).to_have_text("this run, step 430")
        page.close()


# Pinned drawings


@pytest.mark.slow
def test_pinned_drawings_are_followed_through_this_run_and_the_next(page: Page) -> None:
    click(page, "pin")
    expect(page.locator(".st-key-probes")).to_have_text(re.compile(r"^3 .*% *(correct|steadily) since step"))
    clear(page)
    draw(page, SEVEN)
    expect_reading(page, "7")
    click(page, "pin")
    expect(page.locator(".st-key-probes")).to_contain_text(re.compile(r"7 .*% *(correct|steadily) since step"))
    slide(page, "epochs", "Home")
    for activation in ("ReLU", "tanh"):
        choose(page, "activation", activation)
        start_run(page)
        expect_status(page, "done")
        lines = page.locator(".st-key-probes .probes > div")
        expect(lines).to_have_count(2)
        for line, digit in zip(lines.all(), "37", strict=True):
            expect(line).to_have_text(re.compile(rf"^{digit} (over )?9\d\.\d%(correct|steadily) since step \d+$"))
        # Every kept checkpoint, and what the page saw in between.
        for curve in page.locator(".st-key-probe_chart .curves path").all():
            expect(curve).to_have_attribute("d", re.compile("(.*[ML]){8}"))
    page.reload()
    ready(page)
    expect(page.locator(".st-key-probes")).to_have_count(0)


@pytest.mark.slow
def test_pinned_drawing_can_be_relabelled_and_unpinned(trained: Page) -> None:
    page = trained
    click(page, "pin")  # after the run, whose weights were kept
    line = page.locator(".st-key-probes .probes > div")
    expect(line).to_have_text(re.compile(r"^3 (over )?99\.\d%(correct|steadily) since step \d+$"))
    look_back(page, "Home", "0")
    expect(line).to_have_text(re.compile(r"^3 \d+\.\d%(correct since step 0|read as \d, not yet correct)$"))
    look_back(page, "End", "430")
    page.locator(".st-key-probes_change button").first.click()
    choose(page, "probe_digit_1", "8")
    expect(line).to_have_text(re.compile(r"^8 (under 0.1|\d\.\d)%read as 3, (not yet correct|first correct at step \d+)$"))
    click(page, "unpin_1")
    expect(line).to_have_count(0)


def show_clear_test_digit(page: Page) -> None:
    """Show another test digit. One that the network doubts is passed over, since it cannot be pinned."""
    caption, doubted = page.locator(".under-digit"), True
    while doubted:
        before = caption.text_content() or ""
        click(page, "test_digit_button")
        expect(caption).to_contain_text("Test digit")
        expect(caption).not_to_have_text(before)
        doubted = page.locator(".st-key-reading").inner_text() == "?"


@pytest.mark.slow
def test_at_most_five_drawings_can_be_pinned(page: Page) -> None:
    caption = page.locator(".under-digit")
    for count in range(1, 6):
        show_clear_test_digit(page)
        label = caption.locator("b").last
        click(page, "pin")
        lines = page.locator(".st-key-probes .probes > div")
        expect(lines).to_have_count(count)
        expect(lines.last).to_contain_text(re.compile(rf"^{label.inner_text()} .*%"))
    expect(page.locator(".st-key-pin button")).to_be_disabled()


# Why this digit


def test_pixel_and_bias_contributions_sum_to_the_logit(page: Page) -> None:
    expect(page.locator(".st-key-why_sums tbody tr")).to_have_count(5)
    rows = {
        row.locator("th").inner_text(): numbers(" ".join(row.locator("td").all_inner_texts()))
        for row in page.locator(".st-key-why_sums tbody tr").all()
    }
    for column in range(3):
        total = rows["all pixels"][column] + rows["from the biases"][column]
        assert total == pytest.approx(rows["sum"][column], abs=1.6e-4)
        assert rows["sum"][column] == pytest.approx(rows["network's score (logit)"][column], abs=1e-4)
    assert rows["sum"][0] - rows["sum"][1] == pytest.approx(rows["sum"][2], abs=1.6e-4)
    expect(page.locator(".st-key-why_sums tbody tr").last.locator("td")).to_have_text(["< 0.0001"] * 3)
    captions = page.locator(".st-key-why_pictures figcaption").all_inner_texts()
    assert re.fullmatch(r"for 3;for (\d);why 3 and not \1", ";".join(captions))
    picture = page.locator(".st-key-why_pictures canvas").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".st-key-why_pictures .tip")).to_have_text(re.compile(r"^row 15, column 15: \S+$"))
    page.mouse.move(2, 2)
    expect(page.locator(".st-key-why_pictures .tip")).to_be_hidden()


@pytest.mark.slow
def test_sigmoid_network_uses_integrated_gradients_and_shows_the_residual(page: Page) -> None:
    choose(page, "activation", "sigmoid")
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_status(page, "done")
    sums = page.locator(".st-key-why_sums")
    expect(sums).to_contain_text("score of blank paper")
    expect(page.get_by_text("integrated gradients")).to_be_visible()
    missing = numbers(" ".join(sums.locator("tbody tr").last.locator("td").all_inner_texts()))
    assert len(missing) == 3
    assert max(map(abs, missing)) < 1e-3


def test_explanation_begins_with_a_sentence_of_where_the_ink_counts(page: Page) -> None:
    words = page.locator(".st-key-why_in_words")
    expect(words).to_have_text(re.compile(r"^This is read as 3 rather than \d, (mostly )?because of .*ink.*\.$"))
    above = [page.locator(f".st-key-why_{part}").bounding_box() for part in ("in_words", "pictures")]
    assert above[0]
    assert above[1]
    assert above[0]["y"] + above[0]["height"] <= above[1]["y"]


def test_blank_canvas_and_scribbles_have_their_own_explanations(page: Page) -> None:
    clear(page)
    expect(page.get_by_text("Draw a digit to see it explained.")).to_be_visible()
    draw(page, SCRIBBLE)
    expect_reading(page, "?")
    expect(page.locator(".st-key-why_in_words")).to_contain_text("The network alone would answer")


# Inside


def test_structure_is_shown_with_shapes_and_parameter_counts(page: Page) -> None:
    open_tab(page, "Inside")
    boxes = page.locator(".structure div")
    expect(boxes).to_have_count(5)
    expect(boxes.nth(1)).to_contain_text("1,024 x 784 weights")
    expect(boxes.nth(1)).to_contain_text("= 803,840 numbers")
    expect(page.get_by_role("heading", name=re.compile("936,330 numbers"))).to_be_visible()


def test_clicked_neuron_shows_arithmetic_weights_and_top_digits(page: Page) -> None:
    open_tab(page, "Inside")
    grids = page.locator(".st-key-activations canvas")
    expect(grids).to_have_count(4)
    expect(page.locator(".st-key-unit")).to_contain_text(re.compile(r"Neuron [\d,]+ of 1,024 in hidden layer 1"))
    expect(page.locator(".st-key-unit canvas")).to_have_count(2 + 8)

    click_in(grids.nth(2), 0.02, 0.02)
    unit = page.locator(".st-key-unit")
    expect(unit).to_contain_text("Neuron 1 of 128 in hidden layer 2")
    expect(unit.locator("figcaption")).to_have_text([re.compile(r"^label \d, activation ")] * 8)
    expect(unit.locator(".strongest tbody tr")).to_have_count(6)
    _, second, third = unit.locator(".arithmetic").inner_text().split("\n")
    weighted, bias, total = numbers(second.replace("- ", "-").replace("\N{MINUS SIGN} ", "-").replace("+ ", ""))
    assert weighted + bias == pytest.approx(total, abs=1.6e-4)
    assert numbers(third)[-1] == pytest.approx(max(0.0, total))
    for row in unit.locator(".strongest tbody tr").all():
        weight, input_, product = numbers(" ".join(row.locator("td").all_inner_texts()))
        assert weight * input_ == pytest.approx(product, abs=1e-3)
    excited = [numbers(caption.split(" activation ")[1])[0] for caption in unit.locator("figcaption").all_inner_texts()]
    assert len(excited) == 8
    assert excited == sorted(excited, reverse=True)

    click_in(grids.nth(3), 0.7, 0.25)  # the fourth of five in the upper row
    expect(unit).to_contain_text("The output for 3")
    expect(unit.locator("figcaption")).to_have_text([re.compile("^label 3, logit ")] * 8)


@pytest.mark.slow
def test_gallery_shows_discriminative_units_and_opens_them(page: Page) -> None:
    open_tab(page, "Inside")
    gallery = page.locator(".st-key-gallery figure")
    expect(gallery).to_have_count(24)
    name = gallery.nth(5).locator("figcaption").inner_text()
    gallery.nth(5).locator("canvas").click()
    expect(page.locator(".st-key-unit")).to_contain_text(f"{name.capitalize()} of 1,024 in hidden layer 1")


@pytest.mark.slow
def test_units_are_reached_with_the_keyboard(page: Page) -> None:
    open_tab(page, "Inside")
    grid = page.locator(".st-key-activations canvas").nth(1)
    grid.focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "Enter"):
        grid.press(key)
    expect(page.locator(".st-key-unit")).to_contain_text("Neuron 3 of 1,024 in hidden layer 1")


# Gradients


@pytest.mark.slow
def test_gradients_vanish_in_a_deep_sigmoid_network(page: Page) -> None:
    open_tab(page, "Gradients")
    expect(page.get_by_text("The curves are those of the built-in network's own training")).to_be_visible()
    set_number(page, "num_layers", 4)
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("784-256-256-256-256-10")
    choose(page, "activation", "sigmoid")
    slide(page, "epochs", "Home")
    start_run(page)
    words = page.locator(".st-key-gradient_words")
    expect(words).to_contain_text("The gradients vanish")
    expect_status(page, "done")
    expect(page.locator(".st-key-gradient_chart .curves path")).to_have_count(5)
    expect(words.locator("p")).to_have_count(2)
    expect(page.locator(".st-key-dead_units")).to_contain_text(
        re.compile(r"Dead neurons: \d+ \(\d+ of 256 in layer 1, .*step 430\)")
    )


# Mistakes


@pytest.mark.slow
def test_confusion_cell_lists_digits_that_can_be_read(page: Page) -> None:
    open_tab(page, "Misread digits")
    rows = page.locator(".confusion tbody tr")
    expect(rows).to_have_count(10)
    counts = [[int(cell or 0) for cell in row.locator("button").all_inner_texts()] for row in rows.all()]
    assert sum(map(sum, counts)) == 10_000
    num_wrong = 10_000 - sum(counts[digit][digit] for digit in range(10))
    expect(page.get_by_role("heading", name=f"{num_wrong} of 10,000 test digits are misread")).to_be_visible()
    accuracies = [row.locator("td").last.inner_text() for row in rows.all()]
    assert accuracies == [f"{counts[digit][digit] / sum(counts[digit]):.1%}" for digit in range(10)]
    gallery = page.locator(".st-key-misread figure")
    expect(gallery).to_have_count(24)
    sure = [numbers(caption)[2] for caption in gallery.locator("figcaption").all_inner_texts()]
    assert sure == sorted(sure, reverse=True)
    click(page, "more_mistakes")
    expect(gallery).to_have_count(min(48, num_wrong))

    label, read = max(((i, j) for i in range(10) for j in range(10) if i != j), key=lambda cell: counts[cell[0]][cell[1]])
    page.get_by_label(f"{counts[label][read]} digits labelled {label}, read as {read}").click()
    expect(gallery).to_have_count(counts[label][read])
    expect(gallery.locator("figcaption").first).to_contain_text(f"{label} read as {read}")
    gallery.first.locator("canvas").click()
    expect(page.locator(".under-digit.cover")).to_contain_text(f"labelled {label} ✗")
    expect(page.locator(".st-key-reading")).to_have_text(re.compile(rf"^[{read}?]$"))
    click(page, "undo")
    expect_reading(page, "3")


@pytest.mark.slow
def test_nearest_training_digits_follow_the_drawing(page: Page) -> None:
    open_tab(page, "Look-alikes")
    nearest = page.locator(".st-key-nearest figcaption")
    expect(nearest).to_have_text([re.compile(r"^3, distance ")] * 24)
    distances = [numbers(caption)[1] for caption in nearest.all_inner_texts()]
    assert distances == sorted(distances)
    page.locator(".st-key-search_all label").first.click()
    expect(page.get_by_text("Of 55,000 training digits")).to_be_visible()
    assert numbers(nearest.first.inner_text())[1] <= distances[0]
    page.locator("canvas.upper-canvas").scroll_into_view_if_needed()
    clear(page)
    draw(page, ONE)
    expect(nearest).to_have_text([re.compile(r"^1, distance ")] * 24)


# Runs that fail to learn


@pytest.mark.slow
def test_divergence_is_named_and_a_button_lowers_the_rate(page: Page) -> None:
    slide(page, "learning_rate", "End")
    choose(page, "schedule", "constant")
    slide(page, "epochs", "End")
    click(page, "train")
    diagnosis = page.locator(".st-key-diagnosis")
    expect(diagnosis).to_contain_text("Training diverged.", timeout=300 * SECONDS)  # the run has to progress
    expect(diagnosis).to_contain_text("The learning rate 1 is too high")
    expect_status(page, "running")
    expect(page.locator(".st-key-cure button")).to_have_text("Set learning rate 0.001")
    click(page, "cure")
    expect(page.locator(".st-key-learning_rate").get_by_role("slider")).to_have_attribute("aria-valuetext", "0.001")
    expect(page.locator(".st-key-retrain button")).to_have_text("Stop and retrain")


@pytest.fixture(scope="module")
def small_server_page(browser: Browser, small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Return the page of a server with so few data that many epochs take a moment."""
    with running_server(tmp_path_factory.mktemp("small"), MNIST_FC_DATA=str(small_npz)) as own:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, base_url=own.url)
        yield page
        page.close()


@pytest.mark.slow
def test_overfitting_run_is_named_and_augmentation_is_set(small_server_page: Page) -> None:
    page = small_server_page
    # At this rate the run overfits from about epoch 60 to its end. At a higher one the training loss has spikes, after which
    # the network no longer overfits.
    settings = "hidden_sizes=500&batch_size=200&label_smoothing=0&learning_rate=0.002&epochs=100&threads=1"
    page.goto(f"/?preset=fast&num_validation=0&schedule=constant&{settings}")
    ready(page)
    click(page, "train")
    diagnosis = page.locator(".st-key-diagnosis")
    expect(diagnosis).to_contain_text("The network overfits.", timeout=300 * SECONDS)  # the run has to progress
    expect(diagnosis).to_contain_text("The test loss was lowest after epoch")
    expect(diagnosis).to_contain_text("by heart")
    for width in (1440, 1280, 1000):
        resize(page, width, 800)
        assert page.locator(".st-key-notices").evaluate("box => box.scrollHeight - box.clientHeight") == 0, width
    resize(page, 1280, 800)
    click(page, "cure")
    expect(page.locator(".st-key-retrain button")).to_be_enabled()
    expect(page).to_have_url(re.compile("augmentation=affine"))
    expect_status(page, "done")


@pytest.mark.slow
def test_stalled_run_is_named_and_relu_is_set(small_server_page: Page) -> None:
    page = small_server_page
    page.goto("/?preset=fast&num_validation=0&schedule=constant&epochs=100&hidden_sizes=64")
    ready(page)
    set_number(page, "num_layers", 4)
    choose(page, "activation", "sigmoid")
    choose(page, "optimizer", "SGD with momentum")
    click(page, "train")
    diagnosis = page.locator(".st-key-diagnosis")
    expect(diagnosis).to_contain_text("Training stalled.", timeout=300 * SECONDS)  # the run has to progress
    expect(diagnosis).to_contain_text("guessing would be on 10%")
    click(page, "cure")
    expect(page.locator(".st-key-retrain button")).to_be_enabled()
    expect(page.locator(".st-key-activation input")).to_have_value("ReLU")
    expect_status(page, "done")


@pytest.fixture
def overflowed(server: Server, mnist: Mnist) -> str:
    """Return the id of a stored run whose loss overflowed while its last weights are still finite.

    Which of both overflows first is the processor's affair, so the weights are written here: with 1e25 in each layer every sum of
    two layers is infinite.
    """
    config = TrainConfig(**OVERFLOWING, num_epochs=1, threads=1)
    *records, weights, end = train(config, mnist)
    assert isinstance(weights, WeightsRecord)
    large = {name: (array / np.abs(array).max() * 1e25).astype(np.float32) for name, array in weights.weights.items()}
    folder = RunFolder(server.log.parent / "runs", config)
    for record in (*records, replace(weights, step=end.step, weights=large), end):
        folder.write(record)
    return folder.path.name


@pytest.mark.slow
def test_overflowed_run_is_named_everywhere_and_can_be_replayed(open_page: Callable[..., Page], overflowed: str) -> None:
    page = open_page(query=f"?run={overflowed}")
    expect_status(page, "diverged")
    expect(page.locator(".under-digit")).to_contain_text("overflowed")
    for key in ("ask_why", "pin"):
        expect(page.locator(f".st-key-{key} button")).to_be_disabled()
    for tab in [*TABS, "Runs", "Export and import", "Sweep"]:
        open_tab(page, tab)
        panel = page.get_by_role("tabpanel").last
        expect(panel.locator("[data-testid=stAlert], canvas, .confusion, .line-chart, button").first).to_be_visible()
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        if tab == "Misread digits":
            expect(panel).to_contain_text("cannot read digits")
        assert page.evaluate(NUMBERS_CUT_OFF) == []
    clear(page)
    draw(page, [(140, 140), (141, 140)])
    open_tab(page, "Why this digit?")
    expect(page.get_by_text("there is nothing to explain. Look back at an earlier step.")).to_be_visible()
    look_back(page, "Home", "0")
    expect(page.locator(".st-key-why_sums")).to_be_visible()


# Looks and access


@pytest.mark.slow
@IN_EVERY_LOOK
def test_every_tab_is_legible_and_fits_the_screen(open_page: Callable[..., Page], scheme: str, width: int) -> None:
    page = open_page(width, 800, color_scheme=scheme)
    click(page, "pin")
    expect(page.locator(".st-key-probes")).to_be_visible()
    for tab, key in TABS.items():
        open_tab(page, tab)
        if key:
            expect(page.locator(f".st-key-{key}")).to_be_visible()
        assert faint_texts(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        right = page.evaluate(
            "() => Math.max(...[...document.querySelectorAll('.stMainBlockContainer figure, .stMainBlockContainer table')]"
            ".map(e => e.closest('.confusion') ? 0 : e.getBoundingClientRect().right))"
        )
        assert right <= width


# Hostile clients


GARBAGE: list[object] = [
    *("x", None, True, 1e300, -1, [], {}, [1], ["a", "b"], [10, 0], [-1, -1], [99_999, 0], [0, 10**30], [[0], [0]]),
    *({"step": 0}, {"step": 7, "turn": 1}, {"step": [0], "turn": 1}, {"step": "0", "turn": 1}, {"step": 0, "turn": {}}),
]


@pytest.mark.slow
def test_forged_clicks_change_nothing(browser: Browser, server: Server) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    waiting = list(GARBAGE)

    def change(state: WidgetState) -> None:
        if state.json_trigger_value and waiting:
            (event,) = json.loads(state.json_trigger_value)
            state.json_trigger_value = json.dumps([{**event, "value": waiting.pop()}])

    tamper_with(page, change)
    page.goto(server.url)
    ready(page)
    slide(page, "epochs", "Home")
    click(page, "train")
    expect_status(page, "done")
    for tab, clicked in (("Misread digits", ".confusion button.right"), ("Inside", ".st-key-gallery canvas")):
        open_tab(page, tab)
        target = page.locator(clicked).first
        expect(target).to_be_visible()
        while waiting:
            target.click()
        expect(target).to_be_visible()
        waiting = list(GARBAGE)
    for garbage in GARBAGE[-2:]:
        waiting = [garbage]
        page.reload()  # the slider waits for an answer that does not come
        ready(page)
        page.locator(".timeline input").press("Home")
        expect(page.locator(".by")).to_have_text("this run, step 430")
    waiting = []
    page.reload()
    ready(page)
    look_back(page, "Home", "0")
    page.context.close()
