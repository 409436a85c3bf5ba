"""The Helm chart before a real API server: what it renders is accepted, field for field, and its
service account may do what Headrace needs and nothing else."""
import functools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import textwrap
import time
import unittest
import urllib.request

from api import Cluster, Refused

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = KUBERNETES / "headrace"
EXAMPLES = KUBERNETES / "examples"
VALUES = sorted(EXAMPLES.glob("*.yaml")) + sorted((HERE / "values").glob("*.yaml"))
HELM = ROOT / "build" / "kubernetes" / "helm"
HEADRACE = os.environ["HEADRACE"]
NAMESPACE = "headrace"


def helm(*arguments):
    """Standard output; raises with standard error."""
    made = subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise AssertionError(made.stdout + made.stderr)
    return made.stdout


def render(values, *arguments):
    return helm("template", "headrace", CHART, "--namespace", NAMESPACE,
                "--kube-version", "1.34.0", "--values", values, *arguments)


def documents(text):
    return [part for part in re.split(r"^---$", text, flags=re.MULTILINE)
            if re.search(r"^kind:", part, flags=re.MULTILINE)]


def shown_values(page):
    """Those of a page's blocks of YAML that are values of the chart."""
    blocks = re.findall(r"^( *)```yaml\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in blocks if "image: {" in block]


def without_origin(text):
    """Without the templates' names that Helm writes above each object."""
    return re.sub(r"^# Source: .*\n", "", text, flags=re.MULTILINE)


class ChartTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster("--public-crds")
        cls.addClassCleanup(cls.cluster.stop)
        for name in (NAMESPACE, "inference", "other", "aibrix-system"):
            cls.cluster.create(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
        cls.cluster.create("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody}\n")
        cls.nobody = cls.cluster.as_account("default", "nobody")

        # Pages show values that can be pasted.
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.values = list(VALUES)
        for number, block in enumerate(shown_values(ROOT / "docs" / "kubernetes.md")):
            cls.values.append(folder / f"shown-{number}.yaml")
            cls.values[-1].write_text(block)

    @classmethod
    @functools.cache
    def objects(cls, values):
        """What the API server makes of the chart's objects, by kind and name; it keeps none."""
        made = [cls.cluster.create(document, NAMESPACE, dry_run=True)
                for document in documents(render(values))]
        return {(each["kind"], each["metadata"]["name"]): each for each in made}

    # --- Objects

    def test_every_object_is_what_the_api_server_knows(self):
        for values in self.values:
            with self.subTest(values=values.name):
                helm("lint", "--strict", CHART, "--values", values, "--quiet")
                self.assertIn(("Deployment", "headrace"), self.objects(values))

    def test_the_example_for_envoy_gateway_is_what_the_api_server_knows(self):
        parts = documents((KUBERNETES / "envoy-gateway.yaml").read_text())
        self.assertEqual(len(parts), 3)
        for document in parts:
            self.cluster.create(document, dry_run=True)

    def test_the_configuration_is_one_that_headrace_takes(self):
        for values in self.values:
            data = self.objects(values)["ConfigMap", "headrace"]["data"]
            with tempfile.TemporaryDirectory() as folder, self.subTest(values=values.name):
                for name, text in data.items():
                    # Secrets are mounted elsewhere.
                    file = pathlib.Path(folder, name)
                    file.write_text(re.sub("/etc/headrace-(keys|tls|admin)/", "", text))
                subprocess.run([HEADRACE, "key", "add", "team"], cwd=folder, check=True,
                               capture_output=True)
                pathlib.Path(folder, "token").write_text("0123456789abcdef")
                subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test", "-keyout",
                                "tls.key", "-out", "tls.crt"], cwd=folder, check=True,
                               capture_output=True)
                checked = subprocess.run(
                    [HEADRACE, "config", "check", "headrace.yaml"], cwd=folder, text=True,
                    capture_output=True, check=False)
                self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_files_are_read_where_their_secrets_are_mounted(self):
        made = self.objects(HERE / "values" / "everything.yaml")
        config = made["ConfigMap", "headrace"]["data"]["headrace.yaml"]
        pod = made["Deployment", "headrace"]["spec"]["template"]["spec"]
        for option, secret in [("api_keys", "clients"), ("token_file", "operators"),
                               ("certificate", "gateway-tls"), ("key", "gateway-tls")]:
            file = pathlib.Path(re.search(rf"^ *{option}: (.*)$", config, flags=re.MULTILINE)[1])
            mount, = (each for each in pod["containers"][0]["volumeMounts"]
                      if each["mountPath"] == str(file.parent))
            self.assertNotIn("subPath", mount, "a change would not reach the container")
            volume, = (each for each in pod["volumes"] if each["name"] == mount["name"])
            self.assertEqual(volume["secret"]["secretName"], secret)
            # Of a Secret of the type kubernetes.io/tls all files are there.
            items = [{"key": file.name, "path": file.name}]
            self.assertEqual(volume["secret"].get("items", items), items)

    def test_without_a_token_only_probes_and_metrics_are_served_to_others(self):
        config = self.objects(EXAMPLES / "gateway.yaml")["ConfigMap", "headrace"]["data"]
        self.assertIn("admin:\n  address: :9090\n  open: metrics\n", config["headrace.yaml"])

    def test_releases_on_one_redis_are_groups_of_their_own(self):
        config = self.objects(HERE / "values" / "everything.yaml")["ConfigMap", "headrace"]["data"]
        self.assertIn(f"group: {NAMESPACE}-headrace\n", config["headrace.yaml"])

    def test_the_plain_manifests_are_those_of_the_chart(self):
        for example in EXAMPLES.glob("*.yaml"):
            manifest = KUBERNETES / example.name
            wanted = (f"# Made of the chart with examples/{example.name}. Set the image, then:\n"
                      f"#   kubectl create namespace {NAMESPACE}\n"
                      f"#   kubectl apply --namespace {NAMESPACE} -f {example.name}\n"
                      + without_origin(render(example)))
            if os.environ.get("HEADRACE_UPDATE_DOCS"):
                manifest.write_text(wanted)
            self.assertEqual(manifest.read_text(), wanted, "HEADRACE_UPDATE_DOCS=1 writes it")

    def test_pods_are_allowed_where_the_strictest_pod_security_is_enforced(self):
        self.cluster.create("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: strict\n"
                            "  labels: {pod-security.kubernetes.io/enforce: restricted}\n")
        for values in self.values:
            template = self.objects(values)["Deployment", "headrace"]["spec"]["template"]
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
                   "metadata": {**template["metadata"], "name": "headrace"}}
            self.cluster.request("POST", "/api/v1/namespaces/strict/pods?dryRun=All",
                                 json.dumps(pod))

    def test_a_replica_has_the_time_to_drain(self):
        for values in self.values:
            made = self.objects(values)
            config = made["ConfigMap", "headrace"]["data"]["headrace.yaml"]
            drain = sum(int(re.search(rf"{name}: (\d+)s\n", config + "\n")[1])
                        for name in ("drain", "drain_delay"))
            pod = made["Deployment", "headrace"]["spec"]["template"]["spec"]
            self.assertGreater(pod["terminationGracePeriodSeconds"], drain)

    def test_the_ports_that_objects_name_are_the_container_s(self):
        for values in self.values:
            made = self.objects(values)
            container = made["Deployment", "headrace"]["spec"]["template"]["spec"]["containers"][0]
            ports = {port["name"] for port in container["ports"]}
            named = [port["targetPort"] for (kind, _), service in made.items() if kind == "Service"
                     for port in service["spec"]["ports"]]
            if ("NetworkPolicy", "headrace") in made:
                named += [port["port"]
                          for rule in made["NetworkPolicy", "headrace"]["spec"]["ingress"]
                          for port in rule["ports"]]
            self.assertLessEqual(set(named), ports)

    def test_engines_are_scaled_by_metrics_that_headrace_has(self):
        pages = (ROOT / "docs" / "metrics.md").read_text()
        rules = (KUBERNETES / "prometheus-adapter.yaml").read_text()
        scaler = self.objects(HERE / "values" / "everything.yaml")[
            "HorizontalPodAutoscaler", "llama2-7b-l20"]
        metric = scaler["spec"]["metrics"][0]["external"]["metric"]
        self.assertIn(f"as: {metric['name']} ", rules)
        for series in set(re.findall(r"headrace_\w+", rules)) - {metric["name"]}:
            row = re.search(rf"^\| `{series}` .*$", pages, flags=re.MULTILINE)
            self.assertIsNotNone(row, series)
            self.assertIn("model", row[0])

    def test_the_alerts_are_those_of_every_other_prometheus(self):
        rules = (ROOT / "deploy" / "prometheus" / "headrace-rules.yaml").read_text()
        made = self.objects(HERE / "values" / "everything.yaml")["PrometheusRule", "headrace"]
        self.assertEqual([rule["alert"] for group in made["spec"]["groups"]
                          for rule in group["rules"] if "alert" in rule],
                         re.findall(r"- alert: (\w+)$", rules, flags=re.MULTILINE))
        self.assertIn("{{ $labels.model }}", json.dumps(made))

    def test_its_version_is_that_of_headrace(self):
        version = re.search(r"project\(headrace VERSION (\S+)",
                            (ROOT / "CMakeLists.txt").read_text())[1]
        chart = (CHART / "Chart.yaml").read_text()
        self.assertEqual(re.findall(r"^(?:v|appV)ersion: (.*)$", chart, flags=re.MULTILINE),
                         [version, version])

    def test_what_the_chart_cannot_do_it_says(self):
        for changes, fault in [
                (["--set", "image.repository="], "image.repository is required"),
                (["--set", "config.models=null"], "config.models is empty: name a model"),
                (["--set", "config.listen=:80"], "config.listen is set by the chart; remove it"),
                (["--set", "config.admin.open=all"], "config.admin.open is set by the chart"),
                (["--set", "config.admin=:9090"], "config.admin is set by the chart"),
                (["--set", "apiKeysSecret=a,config.api_keys=b"], "config.api_keys is set by the"),
                (["--set", "config.timeouts.drain=1s"], "config.timeouts.drain is set by the chart"),
                (["--set", "serviceMonitor.enabled=true"], "needs networkPolicy.metrics"),
                (["--set", "mode=proxy"], "mode"),
                (["--set", "replicsa=3"], "replicsa")]:
            with self.subTest(changes), self.assertRaisesRegex(AssertionError, fault):
                render(EXAMPLES / "gateway.yaml", *changes)

    def test_helm_installs_changes_and_removes_it(self):
        def release(*arguments):
            return helm(*arguments, "--namespace", NAMESPACE,
                        "--kubeconfig", self.cluster.about["kubeconfig"])

        def deployments():
            listed = self.cluster.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
            return {each["metadata"]["name"]: each["spec"]["replicas"] for each in listed["items"]}

        values = ["--values", EXAMPLES / "gateway.yaml"]
        notes = release("install", "headrace", CHART, *values)
        self.assertIn(f"http://headrace.{NAMESPACE}/v1\n", notes)
        self.assertEqual(deployments(), {"headrace": 2})
        release("upgrade", "headrace", CHART, *values, "--set", "replicas=3")
        self.assertEqual(deployments(), {"headrace": 3})
        release("uninstall", "headrace")
        self.assertEqual(deployments(), {})

    # --- The service account

    def eventually(self, succeeds):
        """The API server knows of a role a moment after it was made."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return succeeds()
            except (AssertionError, Refused):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def account_of(self, values):
        """The API as the chart's service account sees it; what it may do is for real."""
        for document in documents(render(values)):
            if re.search(r"^kind: (ServiceAccount|\w*Role\w*)$", document, flags=re.MULTILINE):
                made = self.cluster.create(document, NAMESPACE)
                path = self.cluster.path_of(made.get("apiVersion"), made["kind"],
                                            made["metadata"].get("namespace"))
                self.addCleanup(self.cluster.request, "DELETE",
                                f"{path}/{made['metadata']['name']}")
        return self.cluster.as_account(NAMESPACE, "headrace")

    def rights(self, api, namespace):
        """What it may do there that an account without any role may not."""
        review = api.request(
            "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            json.dumps({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                        "spec": {"namespace": namespace}}))["status"]
        self.assertFalse(review["incomplete"], review)
        rights = {(resource + name, verb) for rule in review["resourceRules"]
                  for resource in rule["resources"] for verb in rule["verbs"]
                  for name in ([f"/{name}" for name in rule.get("resourceNames", [])] or [""])}
        return rights if api is self.nobody else rights - self.rights(self.nobody, namespace)

    def test_the_service_account_may_do_what_the_configuration_needs_and_no_more(self):
        def watches(*resources):
            return {(resource, verb) for resource in resources for verb in ("list", "watch")}

        pods = watches("pods")
        pool = pods | watches("inferenceobjectives", "inferencepools/b")
        everywhere = (NAMESPACE, "inference", "other")
        for config, expected in [
                ({"models": [{"name": "a", "kubernetes": {"from": "pods"}}]}, {NAMESPACE: pods}),
                ({"models": [{"name": "*", "kubernetes": {"namespaces": ["inference", "other"]}}]},
                 {"inference": pods, "other": pods}),
                ({"models": [
                    {"name": "a", "kubernetes": {"from": "service/a"}},
                    {"name": "b", "kubernetes": {"namespaces": ["other"],
                                                 "from": "inferencepool/b"}}]},
                 {NAMESPACE: watches("endpointslices"), "other": pool}),
                ({"models": [{"name": "*", "kubernetes": {"namespaces": ["*"]}}]},
                 {namespace: pods for namespace in everywhere}),
                ({"models": [{"name": "*", "kubernetes": {"from": "pods"},
                              "deployments": [{"name": "*", "profile": "{gpu}"}]}],
                  "profiles": {"source": "configmap", "configmap": "mine"}},
                 {NAMESPACE: pods | watches("configmaps/mine", "nodes"),
                  "inference": watches("nodes"), "other": watches("nodes")}),
                ({"models": [{"name": "a", "deployments": [
                    {"name": "d", "endpoints": ["e:1"]}]}]}, {})]:
            with self.subTest(config), tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
                json.dump({"image": {"repository": "x"}, "config": config}, values)
                values.flush()
                api = self.account_of(values.name)
                for namespace in everywhere:
                    self.eventually(lambda: self.assertEqual(
                        self.rights(api, namespace), expected.get(namespace, set())))
                self.doCleanups()

    def test_what_the_service_account_does_not_need_is_refused(self):
        api = self.account_of(EXAMPLES / "gateway.yaml")
        self.eventually(lambda: api.request("GET", "/api/v1/namespaces/default/pods"))
        for method, path in [
                ("GET", "/api/v1/pods"), ("GET", "/api/v1/nodes"),
                ("GET", "/api/v1/namespaces/default/secrets"),
                ("GET", "/api/v1/namespaces/default/configmaps"),
                ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods"),
                ("DELETE", "/api/v1/namespaces/default/pods"),
                ("POST", "/api/v1/namespaces/default/pods"),
                ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/headrace/token")]:
            with self.subTest(f"{method} {path}"), self.assertRaises(Refused) as refused:
                api.request(method, path, "{}" if method == "POST" else None)
            self.assertEqual(refused.exception.code, 403)

    # --- Headrace with these rights

    def test_headrace_finds_its_engines_with_these_rights(self):
        for document in documents((HERE / "engines.yaml").read_text()):
            self.cluster.create(document)
        for namespace, name, address in [(NAMESPACE, "labelled", "10.1.0.1"),
                                         ("inference", "pooled", "10.1.0.2")]:
            self.cluster.request(
                "PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}/status", json.dumps(
                    {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                                "conditions": [{"type": "Ready", "status": "True"}]}}),
                "application/merge-patch+json")
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        config = {
            "profiles": {"source": "configmap"},
            "models": [
                {"name": "by-label", "kubernetes": {"from": "pods"},
                 "deployments": [{"name": "*", "profile": "{gpu}"}]},
                {"name": "by-service", "kubernetes": {"from": "service/engines"}},
                {"name": "by-pool", "kubernetes": {"from": "inferencepool/pool",
                                                   "namespaces": ["inference"]}}]}
        values = folder / "values.yaml"
        values.write_text(json.dumps({"image": {"repository": "x"}, "config": config}))
        api = self.account_of(values)
        (folder / "kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": api.server, "certificate-authority": self.cluster.about["ca_file"]}}],
            "users": [{"name": "c", "user": {"token": api.token}}],
            "contexts": [{"name": "c", "context": {
                "cluster": "c", "user": "c", "namespace": NAMESPACE}}]}))
        (folder / "headrace.yaml").write_text(json.dumps({
            "listen": "127.0.0.1:0", "admin": "127.0.0.1:0",
            "kubernetes": {"kubeconfig": "kubeconfig"}, **config}))
        log = open(folder / "log", "w+", encoding="utf-8")
        self.addCleanup(log.close)
        program = subprocess.Popen([HEADRACE, "serve", "--config", folder / "headrace.yaml"],
                                   stdout=log, stderr=log)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)

        def endpoints():
            said = (folder / "log").read_text()
            admin = re.search(r"admin=(\S+)", said)
            self.assertIsNotNone(admin, said)
            with urllib.request.urlopen(f"http://{admin[1]}/status", timeout=30) as page:
                models = json.loads(page.read())["models"]
            self.assertEqual([model["source_fault"] for model in models if "source_fault" in model],
                             [], said)
            return {model["name"]: [endpoint["address"] for deployment in model["deployments"]
                                    for endpoint in deployment["endpoints"]] for model in models}

        self.eventually(lambda: self.assertEqual(endpoints(), {
            "by-label": ["10.1.0.1:8001"], "by-service": ["10.1.0.3:8003"],
            "by-pool": ["10.1.0.2:8002"]}))
        self.assertNotIn("forbidden", (folder / "log").read_text())


if __name__ == "__main__":
    unittest.main()
