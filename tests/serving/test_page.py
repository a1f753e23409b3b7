"""The page in a real browser: Debian's chromium, or the one in the environment variable CHROMIUM."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright
from tests.serving.conftest import Serve, Server

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.xdist_group("browser"),
]

FOOD = """what do you eat
electricity, mostly

Are you hungry?
Always, for electricity.

what did you have for breakfast
ten watts of electricity

do you like soup
no, electricity is better
"""
CHINESE = "甲：你好\n乙：你好，很高兴认识你\n\n甲：你吃了吗\n乙：我吃了，谢谢\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    """A browser page in English; requests to other hosts and errors of scripts fail the test."""
    context = browser.new_context(locale="en-GB", base_url=server.url)
    context.set_default_timeout(20_000)
    elsewhere: list[str] = []
    wrong: list[str] = []

    def watch(request: Request) -> None:
        if not request.url.startswith((server.url, "data:", "blob:")):
            elsewhere.append(request.url)

    context.on("request", watch)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    yield context
    context.close()
    assert elsewhere == []
    assert wrong == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/")
    expect(page.locator("#model option")).to_have_count(2)
    return page


def adapt(page: Page, dialogues: str, steps: int | None = 3) -> None:
    page.get_by_label("Dialogues of your topic").fill(dialogues)
    page.get_by_label("Inner steps").fill("" if steps is None else str(steps))
    page.get_by_role("button", name="Adapt", exact=True).click()
    expect(page.locator("#adapt-status")).to_contain_text("Adapted in", timeout=40_000)


def say(page: Page, text: str) -> None:
    page.get_by_label("Your turn").fill(text)
    page.get_by_role("button", name="Send").click()


def test_paste_adapt_talk_and_download(page: Page, tmp_path: Path) -> None:
    adapt(page, FOOD)
    expect(page.locator("#plot circle")).to_have_count(8)  # four points per curve
    expect(page.locator("#points tr")).to_have_count(4)
    expect(page.locator("#adapt-status")).to_contain_text("on the held-out dialogues")
    say(page, "Are you hungry?")
    expect(page.locator("#before li.bot")).to_have_count(1)
    expect(page.locator("#after li.bot")).not_to_have_text("Model: ")
    say(page, "Why?")
    expect(page.locator("#after li")).to_have_count(4)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the adapted model").click()
    waiting.value.save_as(tmp_path / "adapted.zip")
    names = zipfile.ZipFile(tmp_path / "adapted.zip").namelist()
    assert {"adapted/model.safetensors", "adapted/README.md"} <= set(names)
    page.get_by_role("button", name="Forget the adaptation").click()
    expect(page.locator("#adapt-status")).to_have_text("Forgotten.")
    expect(page.locator("#after li")).to_have_count(0)


def test_the_reply_of_the_page_is_that_of_the_model(page: Page, server: Server) -> None:
    say(page, "hello")
    model = server.app.state.service.models["meta"]
    expected = model.reply("hello", generation="greedy").strip() or "(no words)"
    expect(page.locator("#before li.bot span:last-child")).to_have_text(expected)


def test_markup_in_dialogues_stays_text(page: Page) -> None:
    markup = "<img src=x onerror=window.ran=1></script><script>window.ran=1</script>"
    adapt(page, "\n\n".join(f"{markup}: {markup} {number}\n\u202eyou: {markup}" for number in range(3)), steps=1)
    say(page, markup)
    expect(page.locator("#after li.bot")).to_have_count(1)
    expect(page.locator("#after")).to_contain_text(markup)
    assert page.evaluate("window.ran") is None
    assert page.locator("img[src=x]").count() == 0


def test_steps_are_chosen_and_the_curve_is_drawn_step_by_step(page: Page) -> None:
    page.evaluate(
        """() => {
          window.drawn = [];
          new MutationObserver(() => window.drawn.push(document.querySelectorAll('#points tr').length))
            .observe(document.getElementById('points'), {childList: true});
        }"""
    )
    adapt(page, FOOD, steps=None)
    assert page.locator("#plot .chosen").count() == 1
    drawn = page.evaluate("window.drawn")
    assert drawn == sorted(drawn)
    assert len(set(drawn)) > 2  # shown step by step
    page.get_by_text("The curve as a table").click()
    expect(page.locator("#points tr").first).to_be_visible()


def test_upload_chinese_in_the_chinese_page(page: Page, tmp_path: Path) -> None:
    page.get_by_label("Language").select_option("zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    file = tmp_path / "对话.txt"
    file.write_text(CHINESE, encoding="utf-8")
    page.get_by_label("或者选择文件").set_input_files(file)
    expect(page.locator("#dialogues")).to_have_value(CHINESE)
    page.get_by_role("button", name="适应", exact=True).click()
    expect(page.locator("#adapt-status")).to_contain_text("步适应")
    page.get_by_label("您说").fill("你吃了吗")
    page.get_by_role("button", name="发送").click()
    expect(page.locator("#after li.user")).to_contain_text("你吃了吗")
    expect(page.locator("#after li.bot span:last-child")).not_to_be_empty()
    untranslated = page.evaluate("Object.keys(WORDS.en).filter(key => !(key in WORDS.zh))")
    assert untranslated == []


def test_compare_several_models_on_one_context(page: Page) -> None:
    adapt(page, FOOD, steps=1)
    page.get_by_label("Context").fill("do you like cake")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#compared tbody tr")).to_have_count(3)
    page.get_by_label("finetune-chatterbot").uncheck()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#compared tbody tr")).to_have_count(2)


@pytest.mark.parametrize(
    ("dialogues", "sentence"),
    [
        ("", "Paste dialogues"),
        ("alone", "two turns or more"),
        ('[["a", 3]]', "is 3; it"),
        ("[{]", "not valid JSON"),
    ],
)
def test_wrong_input_is_told_beside_it(page: Page, dialogues: str, sentence: str) -> None:
    page.get_by_label("Dialogues of your topic").fill(dialogues)
    page.get_by_role("button", name="Adapt", exact=True).click()
    expect(page.locator("#adapt-error")).to_contain_text(sentence)
    expect(page.get_by_role("button", name="Adapt", exact=True)).to_be_enabled()


def test_a_file_or_a_text_that_is_too_large(page: Page, tmp_path: Path) -> None:
    file, text = tmp_path / "large.txt", f"{'word ' * 1000}\n" * 100  # long lines, whose layout is fast
    file.write_text(text, encoding="utf-8")
    page.get_by_label("Or a file").set_input_files(file)
    expect(page.locator("#adapt-error")).to_contain_text("larger than 0.25 MiB")
    page.evaluate("text => { document.getElementById('dialogues').value = text; }", text)
    page.locator("#adapt-button").click()
    expect(page.locator("#adapt-error")).to_contain_text("larger than 0.25 MiB")


def test_a_running_adaptation_is_cancelled(page: Page, server: Server) -> None:
    held = server.app.state.service.adaptations._lock  # no adaptation starts while it is held
    page.get_by_label("Dialogues of your topic").fill(FOOD)
    page.get_by_label("Inner steps").fill("60")
    page.get_by_role("button", name="Adapt", exact=True).click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#adapt-status")).to_have_text("Cancelled.")
    assert not held.locked()


def test_two_visitors_do_not_see_each_other(browser: Browser, server: Server) -> None:
    pages = [browser.new_context(locale="en-GB", base_url=server.url).new_page() for _ in range(2)]
    for page in pages:
        page.goto("/")
        expect(page.locator("#model option")).to_have_count(2)
    for page, text in zip(pages, (FOOD, CHINESE), strict=True):
        page.get_by_label("Dialogues of your topic").fill(text)
        page.get_by_role("button", name="Adapt", exact=True).click()
    for page in pages:
        expect(page.locator("#adapt-status")).to_contain_text("Adapted in", timeout=40_000)
    names = [page.evaluate("state.adaptation.id") for page in pages]
    assert names[0] != names[1]
    say(pages[0], "hello")
    expect(pages[0].locator("#after li.bot")).to_have_count(1)
    expect(pages[1].locator("#after li")).to_have_count(0)
    for page in pages:
        page.context.close()


def test_all_of_it_by_keyboard(page: Page) -> None:
    def tab_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id || document.activeElement.textContent") == name:
                return
        raise AssertionError(f"{name} cannot be reached")

    tab_to("dialogues")
    page.keyboard.insert_text(FOOD)
    tab_to("steps")
    page.keyboard.type("2")
    tab_to("adapt-button")
    page.keyboard.press("Enter")
    expect(page.locator("#adapt-status")).to_contain_text("Adapted in", timeout=40_000)
    tab_to("line")
    page.keyboard.type("Are you hungry?")
    page.keyboard.press("Enter")
    expect(page.locator("#after li.bot")).to_have_count(1)
    tab_to("context")
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    expect(page.locator("#compared tbody tr")).to_have_count(3)


def test_a_screen_reader_finds_a_name_for_everything(page: Page) -> None:
    adapt(page, FOOD, steps=1)
    unnamed = page.evaluate(
        """[...document.querySelectorAll('input, select, textarea, button')].filter(element =>
            !(element.labels && element.labels.length) && !element.textContent.trim()
            && !element.getAttribute('aria-label')).map(element => element.id)"""
    )
    assert unnamed == []
    assert page.get_by_role("img").count() == 1
    assert re.search("Loss in nats", page.locator("#curve-caption").text_content() or "")
    assert page.get_by_role("log").count() == 2
    assert [page.locator(f"h{level}").count() > 0 for level in (1, 2, 3)] == [True] * 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 380])
def test_it_is_readable(browser: Browser, server: Server, scheme: str, width: int, tmp_path: Path) -> None:
    context = browser.new_context(
        locale="en-GB",
        base_url=server.url,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 900},
    )
    page = context.new_page()
    page.goto("/")
    expect(page.locator("#model option")).to_have_count(2)
    adapt(page, FOOD, steps=5)
    say(page, "Are you hungry?")
    expect(page.locator("#after li.bot")).to_have_count(1)
    folder = Path(os.environ.get("METADIALOG_SCREENSHOTS", str(tmp_path)))
    page.screenshot(path=folder / f"page-{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    contrast = page.evaluate(
        """() => {
          const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
          const light = colour => {
            const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map(Number).map(channel);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = element => {
            for (let at = element; at; at = at.parentElement) {
              const colour = getComputedStyle(at).backgroundColor;
              if (!colour.startsWith('rgba(0, 0, 0, 0')) return colour;
            }
          };
          const seen = [...document.querySelectorAll('h1, h2, h3, p, label, li, button, a, td, input, textarea')]
            .filter(element => element.offsetParent !== null && !element.disabled);
          return Math.min(...seen.map(element => {
            const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
          }));
        }"""
    )
    assert contrast >= 4.5  # WCAG 2.2, success criterion 1.4.3
    context.close()


def test_the_token_is_asked_for_and_taken(browser: Browser, serve: Serve) -> None:
    server = serve(token="correct-horse-battery")  # noqa: S106
    page = browser.new_context(locale="en-GB", base_url=server.url).new_page()
    page.goto("/")
    expect(page.locator("#adapt-error")).to_contain_text("asks for a token")
    page.get_by_role("textbox", name="Token").fill("correct-horse-battery")
    page.locator("#token").blur()
    expect(page.locator("#model option")).to_have_count(2)
    page.context.close()


def test_the_description_of_the_interface_is_shown(page: Page) -> None:
    page.get_by_role("link", name="REST interface").click()
    expect(page.get_by_text("POST /v1/adaptations", exact=True)).to_be_visible()
    assert json.loads(page.request.get("/openapi.json").text())["info"]["title"] == "metadialog"
