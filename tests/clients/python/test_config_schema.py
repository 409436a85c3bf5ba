"""`headrace config schema` against a validator: what editors say of a configuration."""

import copy
import json
import os
import re
import subprocess

import jsonschema
import pytest
import yaml

import headrace


def run(*arguments):
    # The reference's example names them.
    environment = {**os.environ, "ENGINE_KEY": "key", "COLLECTOR_KEY": "key"}
    return subprocess.run(
        [headrace.PROGRAM, *arguments], capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(run("config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def example():
    """The reference's example that sets every option."""
    examples = re.findall(r"```yaml\n(.*?)```", run("config", "reference").stdout, re.DOTALL)
    assert len(examples) == 2
    return yaml.safe_load(examples[1])


def changed(example, path, value):
    config = copy.deepcopy(example)
    *groups, name = path
    group = config
    for step in groups:
        group = group[step]
    group[name] = value
    return config


MODEL = ("models", 0)

GOOD = [
    (("threads",), "4"),
    (("threads",), "${THREADS:-4}"),
    (("listen",), ":8080"),
    (("limits",), None),
    (("limits", "body"), 1048576),
    (("limits", "body"), "1.5 MiB"),
    (("timeouts", "drain"), 0),
    (("timeouts", "drain"), "1h30m"),
    (("timeouts", "drain"), "1m 30s"),
    ((*MODEL, "length", "quantile"), "95%"),
    ((*MODEL, "length", "quantile"), 0.95),
    ((*MODEL, "ejection", "enabled"), "false"),
    ((*MODEL, "aliases"), ["a", "b"]),
]
BAD = [
    (("thread",), 4),
    (("threads",), "many"),
    (("threads",), 4.5),
    (("threads",), 5000),
    (("threads",), [4]),
    (("listen",), "localhost"),
    (("log",), "debug"),
    (("log", "level"), "warn"),
    (("limits", "body"), "32MB"),
    (("timeouts", "connect"), 5),
    (("timeouts", "connect"), "5 seconds"),
    (("health", "path"), "health"),
    (("models",), []),
    (("models",), {"name": "m"}),
    ((*MODEL, "policy"), "least-requests"),
    ((*MODEL, "length", "quantile"), 90),
    ((*MODEL, "ejection", "enabled"), "yes"),
    ((*MODEL, "aliases"), "a"),
]


FILES = ("api_key_file", "api_keys", "kubeconfig", "context", "ca", "certificate", "key",
         "certificates", "client_ca", "token_file")


def without_files(value):
    """The same without the options that name files, or what is in them: they are not here."""
    if isinstance(value, list):
        return [without_files(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: without_files(item) for name, item in value.items() if name not in FILES}


def check(tmp_path, config):
    file = tmp_path / "headrace.yaml"
    file.write_text(json.dumps(without_files(config)))
    return run("config", "check", str(file)).returncode == 0


def test_the_reference_is_valid(validator, example):
    validator.validate(example)


@pytest.mark.parametrize("path, value", GOOD)
def test_what_the_gateway_takes_is_valid(validator, example, tmp_path, path, value):
    config = changed(example, path, value)
    validator.validate(config)
    assert check(tmp_path, config)


@pytest.mark.parametrize("path, value", BAD)
def test_what_is_invalid_the_gateway_refuses(validator, example, tmp_path, path, value):
    config = changed(example, path, value)
    assert not validator.is_valid(config)
    assert not check(tmp_path, config)


def test_what_is_required_is_missed(validator, example):
    config = copy.deepcopy(example)
    del config["models"][0]["name"]
    assert [error.message for error in validator.iter_errors(config)] == [
        "'name' is a required property"
    ]
