"""The badge: the version of the spec and three classes, in a picture that is valid and readable anywhere."""

import json
from xml.etree import ElementTree

import pytest
from certificates import RIGHT, UNCHECKED, WRONG, certificate, finding, result

from lossproof.conformance.report import badge, report
from lossproof.spec import spec_version

KNOWN = result("CV-28", "known-failing", finding("CV-28"))
ERRORED = (WRONG[1], result("CV-16", "errored", check="gradient"))
EVERY = {
    "right": (certificate(*RIGHT), ["value passed", "gradient passed", "argument checks passed"], "brightgreen"),
    "wrong": (certificate(*WRONG), ["value 1 finding", "gradient 1 finding", "argument checks 1 finding"], "red"),
    "checks missing": (
        certificate(*UNCHECKED), ["value passed", "gradient not judged", "argument checks 1 finding"], "yellow",
    ),
    "known": (
        certificate(*RIGHT[:2], KNOWN), ["value passed", "gradient passed", "argument checks 1 known failure"], "blue",
    ),
    "stale": (
        certificate(*RIGHT, stale=("TM-1", "TM-4")),
        ["value 2 stale known failures", "gradient passed", "argument checks passed"],
        "red",
    ),
    "stopped": (
        certificate(*ERRORED),
        ["value 1 finding", "gradient stopped by another finding", "argument checks not judged"],
        "red",
    ),
    "not completed": (
        certificate(*RIGHT, complete=False),
        ["value not judged", "gradient not judged", "argument checks not judged"],
        "lightgrey",
    ),
}  # fmt: skip


def picture(found):
    return ElementTree.fromstring(badge.svg(found))


def texts(found):
    return [element.text for element in picture(found).findall("{*}text")]


@pytest.mark.parametrize(("found", "words", "colour"), EVERY.values(), ids=EVERY)
def test_each_class_is_said_for_itself_in_the_picture_and_in_the_answer_of_the_endpoint(found, words, colour):
    label = f"lossproof spec {spec_version()}"
    assert texts(found) == [label, *words]
    assert json.loads(badge.endpoint(found)) == {
        "schemaVersion": 1, "label": label, "message": " · ".join(words), "color": colour,
    }  # fmt: skip


@pytest.mark.parametrize(("found", "words", "colour"), EVERY.values(), ids=EVERY)
def test_no_badge_has_a_percentage(found, words, colour):
    assert "%" not in badge.svg(found) + badge.endpoint(found)


def test_a_run_of_some_checks_says_so():
    found = certificate(*RIGHT, checks=("value",))
    assert texts(found)[0] == json.loads(badge.endpoint(found))["label"] == f"lossproof spec {spec_version()}, in part"


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", badge.NAMES)
def test_white_letters_are_readable_on_every_colour(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5  # the ratio that WCAG asks for text of this size


@pytest.mark.parametrize(("found", "words", "colour"), EVERY.values(), ids=EVERY)
def test_letters_lie_on_their_own_ground_so_that_no_page_shows_through(found, words, colour):
    boxes = [(int(box.get("x")), int(box.get("width"))) for box in picture(found).findall("{*}rect")]
    places = [(int(text.get("x")), int(text.get("textLength"))) for text in picture(found).findall("{*}text")]
    for (left, width), (start, length) in zip(boxes, places, strict=True):
        assert left < start < start + length < left + width
    assert boxes[-1][0] + boxes[-1][1] == int(picture(found).get("width"))


def test_a_reader_of_the_screen_hears_the_verdict():
    found = certificate(*WRONG)
    assert "nonconformant for triplet_margin_loss" in picture(found).get("aria-label")
    assert picture(found).find("{*}title").text == picture(found).get("aria-label")


def test_a_report_has_both(tmp_path):
    report.write(certificate(*RIGHT), tmp_path / "tool")
    assert (tmp_path / "tool" / "badge.svg").read_text(encoding="utf-8") == badge.svg(certificate(*RIGHT))
    assert json.loads((tmp_path / "tool" / "badge.json").read_text(encoding="utf-8"))["schemaVersion"] == 1
