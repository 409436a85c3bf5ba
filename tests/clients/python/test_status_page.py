"""The status page in a real browser."""

import os
import shutil
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect, sync_playwright

import headrace

expect.set_options(timeout=headrace.PATIENCE_S * 1000)
CHAT = {"model": headrace.MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    assert program, "there is no chromium; install it with: tools/install-deps clients"
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Root may not have it.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens the status page; in the end nothing may have come from elsewhere, or gone wrong."""
    contexts = []

    def start(gateway, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(headrace.PATIENCE_S * 1000)
        page.wrong = []
        home = f"http://{gateway.admin}/"
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.wrong.append(said.text))
        page.on(
            "request", lambda asked: asked.url.startswith(home) or page.wrong.append(asked.url)
        )
        page.goto(home)
        expect(page.locator("#connection")).to_have_text("live")
        return page

    yield start
    for context in contexts:
        for page in context.pages:
            assert page.wrong == []
        context.close()


def row_of(page, engine):
    return page.locator("tr", has_text=engine.address)


def send(gateway, headers=()):
    client = gateway.client(default_headers=dict(headers))
    return client.chat.completions.create(**CHAT)


def test_it_shows_the_fleet_and_what_became_of_requests(start_engine, serve, open_page):
    engine = start_engine()
    gateway = serve(engine)
    page = open_page(gateway)
    expect(page.locator("#ready")).to_have_text("ready")
    expect(row_of(page, engine)).to_contain_text("up")
    for _ in range(3):
        send(gateway)
    expect(page.locator(".tile", has_text="requests per second")).not_to_contain_text("0.00")
    expect(page.locator("figure")).to_have_count(4)
    engine.stop()
    expect(row_of(page, engine)).to_contain_text("down")
    expect(page.locator("#ready")).to_have_text("not ready")


def test_an_endpoint_is_drained_and_comes_back(start_engine, serve, open_page):
    engine = start_engine()
    gateway = serve(engine)
    page = open_page(gateway)
    row = row_of(page, engine)
    row.get_by_role("button", name="Drain").click()
    page.get_by_role("button", name="Cancel").click()
    row.get_by_role("button", name="Drain").click()
    page.locator("#yes").click()
    expect(row).to_contain_text("drained")
    assert gateway.status()["deployments"][0]["endpoints"][0]["drained"]
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("up")


def test_a_token_is_the_browsers_password(start_engine, serve, open_page, tmp_path):
    token = "0123456789abcdef-token"
    (tmp_path / "token").write_text(token + "\n")
    engine = start_engine()
    admin = {"address": "127.0.0.1:0", "token_file": str(tmp_path / "token")}
    gateway = serve(engine, admin=admin)
    with pytest.raises(urllib.error.HTTPError) as refused:
        headrace.get(gateway.admin, "/")
    assert refused.value.code == 401
    page = open_page(gateway, http_credentials={"username": "any", "password": token})
    row = row_of(page, engine)
    row.get_by_role("button", name="Drain").click()
    page.locator("#yes").click()
    expect(row).to_contain_text("drained")


def test_what_clients_write_is_only_text(start_engine, serve, open_page):
    engine = start_engine()
    gateway = serve(engine)
    engine.stop()
    headrace.eventually(lambda: not gateway.status()["deployments"][0]["endpoints"][0]["up"])
    name = "<img src=x onerror=alert(1)>"
    with pytest.raises(Exception):
        send(gateway, {"x-request-id": name})
    page = open_page(gateway)
    failure = page.locator("#failures tbody tr").first
    expect(failure).to_contain_text("<img src=x")
    assert page.locator("img").count() == 0
    # The link opens the explanation of that request.
    failure.locator("a").click()
    expect(page.locator("#explained")).to_have_text(name)
    expect(page.locator("#explanation-text")).to_contain_text("no_endpoint")
    assert page.locator("img").count() == 0
    target = page.locator("#explanation-json").get_attribute("href")
    assert name in headrace.get(gateway.admin, target).replace("\\u003c", "<")


def test_any_request_can_be_explained(start_engine, serve, open_page):
    engine = start_engine()
    gateway = serve(engine)
    send(gateway, {"x-request-id": "team/7", "routing-strategy": "slo-headroom"})
    page = open_page(gateway)
    panel = page.locator("#explanation")
    page.get_by_label("Why did a request").fill("team/7")
    page.get_by_role("button", name="Explain").click()
    expect(panel.locator("tr", has_text="output tokens")).to_contain_text("5")
    expect(panel.locator("tr.chosen")).to_contain_text(engine.address)
    if folder := os.environ.get("HEADRACE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/explanation.png")
    # It has an address of its own, that can be passed on.
    assert page.url.endswith("/#explain/team%2F7")
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()
    expect(page).to_have_url(f"http://{gateway.admin}/")
    page.get_by_label("Why did a request").fill("nobody")
    page.keyboard.press("Enter")
    expect(panel).to_contain_text("No request with the id 'nobody'")
    page.wrong = [text for text in page.wrong if "404" not in text]  # The browser says so, too.


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_by_day_and_by_night(start_engine, serve, open_page, scheme, tmp_path):
    engine = start_engine()
    gateway = serve(engine)
    send(gateway)
    page = open_page(gateway, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    expect(page.locator("figure")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(18, 23, 29)") == (scheme == "dark")
    if folder := os.environ.get("HEADRACE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/phone-{scheme}.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.screenshot(path=f"{folder}/wide-{scheme}.png", full_page=True)


def test_pages_of_other_sites_may_not_frame_it(start_engine, serve):
    gateway = serve(start_engine())
    with urllib.request.urlopen(f"http://{gateway.admin}/") as answer:
        policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://{gateway.admin}/status_page")
