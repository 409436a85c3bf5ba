"""Certificates by name, as curl and OpenSSL's own client see them."""

import contextlib
import json
import re
import subprocess

import pytest

import headrace


def make(folder, name, *names, ca=None):
    """A certificate for these names, signed by `ca` or by itself; the paths of the pair."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", certificate]
    if names:
        command += ["-addext", "subjectAltName=" + ",".join(f"DNS:{one}" for one in names)]
    if ca is not None:
        command += ["-CA", ca["certificate"], "-CAkey", ca["key"]]
    subprocess.run(command, check=True, capture_output=True)
    return {"certificate": str(certificate), "key": str(key)}


@pytest.fixture
def site(tmp_path, start_engine):
    """A gateway for gateway.test, with another certificate for *.lake.test."""
    ca = make(tmp_path, "ca")
    listen = {
        "address": "127.0.0.1:0",
        **make(tmp_path, "gateway", "gateway.test", ca=ca),
        "certificates": [make(tmp_path, "lake", "*.lake.test", ca=ca)],
    }
    with contextlib.ExitStack() as stack:
        engines = {"a10": start_engine()}
        site = stack.enter_context(headrace.serve(tmp_path, engines, listen=listen))
        site.ca, site.folder = ca, tmp_path
        yield site


def curl(site, name):
    """What curl says to a server that has to be of this name."""
    host, port = site.address.rsplit(":", 1)
    command = ["curl", "--silent", "--show-error", "--cacert", site.ca["certificate"]]
    command += ["--resolve", f"{name}:{port}:{host}", f"https://{name}:{port}/version"]
    return subprocess.run(command, capture_output=True, text=True)


def shown(site, *options):
    """The subject of the certificate that OpenSSL's client is shown."""
    command = ["openssl", "s_client", "-connect", site.address, *options]
    done = subprocess.run(command, input="", capture_output=True, text=True)
    return re.search(r"subject=.*CN ?= ?(\S+)", done.stdout)[1]


def change(site, edit):
    """Another configuration, taken over; what needs a restart of it."""
    file = site.folder / "headrace.yaml"
    config = json.loads(file.read_text())
    edit(config)
    file.write_text(json.dumps(config))
    headrace.run("reload", "--admin", site.admin)
    return json.loads(headrace.get(site.admin, "/status"))["configuration"]["awaiting_restart"]


def test_each_name_has_its_certificate(site):
    for name in ["gateway.test", "blue.lake.test"]:
        assert curl(site, name).returncode == 0, curl(site, name).stderr
    assert "nowhere.test" in curl(site, "nowhere.test").stderr
    assert curl(site, "very.blue.lake.test").returncode != 0
    assert shown(site, "-servername", "blue.lake.test") == "lake"
    assert shown(site, "-servername", "BLUE.lake.test", "-tls1_2") == "lake"
    assert shown(site, "-servername", "nowhere.test") == "gateway"
    assert shown(site, "-noservername") == "gateway"


def test_a_renewed_certificate_is_shown_without_a_restart(site):
    make(site.folder, "lake", "*.river.test", ca=site.ca)
    headrace.eventually(lambda: curl(site, "blue.river.test").returncode == 0)
    assert shown(site, "-servername", "blue.lake.test") == "gateway"
    assert curl(site, "gateway.test").returncode == 0


def test_other_files_come_with_a_reload(site):
    sea = make(site.folder, "sea", "sea.test", ca=site.ca)
    assert change(site, lambda config: config["listen"]["certificates"].append(sea)) == []
    assert curl(site, "sea.test").returncode == 0
    assert curl(site, "blue.lake.test").returncode == 0
    waiting = change(site, lambda config: config.update(listen="127.0.0.1:0"))
    assert "listen.certificate" in waiting
    assert curl(site, "sea.test").returncode == 0, "it speaks TLS until it is started anew"
