"""For tests: an API server of one's own, and requests to it."""
import json
import pathlib
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent


class Refused(Exception):
    """An answer that is none of 2xx; `code` is its status."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Api:
    """Its resources, for whom the token is of."""

    def __init__(self, server, ca_file, token):
        self.server = server
        self.token = token
        tls = ssl.create_default_context(cafile=ca_file)
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
        self.kinds = {}

    def request(self, method, path, body=None, content_type="application/json"):
        request = urllib.request.Request(
            self.server + path, method=method, data=None if body is None else body.encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type})
        try:
            with self.opener.open(request, timeout=60) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError):
                pass
            raise Refused(error.code, f"{method} {path}: {text}") from None

    def path_of(self, version, kind, namespace):
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self.kinds:
            self.kinds[version] = {
                each["kind"]: each for each in self.request("GET", group)["resources"]
                if "/" not in each["name"]}
        resource = self.kinds[version][kind]
        place = f"/namespaces/{namespace}" if resource["namespaced"] else ""
        return f"{group}{place}/{resource['name']}"

    def create(self, document, namespace="default", dry_run=False):
        """Creates an object (YAML); one with an unknown or doubled field is refused."""
        def field(pattern):
            found = re.search(pattern, document, flags=re.MULTILINE)
            return found and found[1]
        path = self.path_of(field(r"^apiVersion: (\S+)"), field(r"^kind: (\S+)"),
                            field(r"^metadata:\n(?:  .*\n)*?  namespace: (\S+)") or namespace)
        return self.request("POST", path + "?fieldValidation=Strict" + "&dryRun=All" * dry_run,
                            document, "application/yaml")


class Cluster(Api):
    """An API server that ends with its owner; what is asked of it here, its admin asks."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([HERE / "cluster", *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(self.process.wait())  # 77: it could not be built here.
        self.about = json.loads(line)
        super().__init__(self.about["server"], self.about["ca_file"], self.about["admin_token"])

    def command(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def as_account(self, namespace, name):
        """The API for a service account."""
        token = self.command("token", namespace, name)["token"]
        return Api(self.server, self.about["ca_file"], token)

    def stop(self):
        self.process.communicate()
