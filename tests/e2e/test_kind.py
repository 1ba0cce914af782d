"""The kind cluster does what a cluster does: pods from local images, Services, DNS, volumes; and it keeps to itself."""

import json
import time

import pytest

from tests.cluster import docker, images, kind
from tests.cluster.access import Cluster, wait_for
from tests.cluster.fixtures import Namespace
from tests.cluster.shell import ClusterError

pytestmark = pytest.mark.kind

SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SERVER = """
import http.server, socket
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(socket.gethostname().encode())
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""
ASK_BOTH = """
import socket, time, urllib.request
deadline, seen = time.monotonic() + 60, set()
while len(seen) < 2 and time.monotonic() < deadline:
    try:
        seen.add(urllib.request.urlopen("http://web:8080", timeout=5).read().decode())
    except OSError:
        time.sleep(0.2)
print(len(seen), socket.gethostbyname("web.%s.svc.cluster.local" % open(
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace").read()))
"""
LEAVE = """
import socket, time
for address in "198.51.100.7", "203.0.113.9", "2001:db8::7":
    began = time.monotonic()
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.settimeout(20)
        sock.connect((address, 80))
        outcome = "connected"
    except OSError as error:
        outcome = type(error).__name__
    print(address, outcome, "%.1f" % (time.monotonic() - began))
began = time.monotonic()
try:
    outcome = socket.gethostbyname("www.example.com")
except OSError as error:
    outcome = type(error).__name__
print("dns", outcome, "%.1f" % (time.monotonic() - began))
"""


@pytest.fixture(scope="module")
def probe(kind_cluster: Cluster) -> str:
    """The tag of an image that the node has."""
    if kind_cluster.flavour != "kind":
        pytest.skip("loads an image into the node, which only works with our kind cluster")
    return images.load("probe")["probe"]


def _container(image: str, script: str) -> dict[str, object]:
    return {"name": "main", "image": image, "args": ["-c", script], "securityContext": SECURITY}


def _run(namespace: Namespace, image: str, script: str) -> str:
    """The output of a pod that runs to its end."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "once"},
        "spec": {"restartPolicy": "Never", "containers": [_container(image, script)]},
    }
    namespace.kubectl("apply", "-f", "-", input=json.dumps(pod))
    try:
        namespace.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", "--timeout=120s", timeout=130)
    except ClusterError as error:
        pytest.fail(f"{error}\n{namespace.kubectl('describe', 'pod', 'once')}")
    return namespace.kubectl("logs", "once")


def test_a_service_reaches_both_of_its_pods_by_name(namespace: Namespace, probe: str) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [_container(probe, SERVER)]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": labels, "ports": [{"port": 8080}]},
    }
    for thing in (deployment, service):
        namespace.kubectl("apply", "-f", "-", input=json.dumps(thing))
    namespace.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout=130)
    seen, address = _run(namespace, probe, ASK_BOTH).split()
    assert seen == "2"
    assert address == namespace.kubectl("get", "service", "web", "--output=jsonpath={.spec.clusterIP}")


def test_a_volume_is_bound_and_keeps_what_is_written(namespace: Namespace, probe: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}},
    }
    namespace.kubectl("apply", "-f", "-", input=json.dumps(claim))
    for name, script in (("write", "open('/data/x', 'w').write('kept')"), ("read", "print(open('/data/x').read())")):
        container = _container(probe, script) | {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        spec = {
            "restartPolicy": "Never",
            "securityContext": {"fsGroup": 65532},
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        namespace.kubectl("apply", "-f", "-", input=json.dumps(pod))
        namespace.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
    assert namespace.kubectl("logs", "read").strip() == "kept"
    assert namespace.kubectl("get", "pvc", "data", "--output=jsonpath={.status.phase}") == "Bound"


def test_nothing_gets_out_and_nothing_waits_for_it(namespace: Namespace, probe: str) -> None:
    if not docker.keeps_in():
        pytest.skip("only a cluster made without a registry, on our own Docker daemon, is kept in")
    for line in _run(namespace, probe, LEAVE).splitlines():
        address, outcome, seconds = line.split()
        assert outcome in {"ConnectionRefusedError", "OSError", "gaierror"}, line
        assert float(seconds) < 3, f"{address}: not refused at once"


def test_a_second_up_reuses_the_cluster(kind_cluster: Cluster, probe: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = kind_cluster.get("nodes")["items"][0]["metadata"]["uid"]
    began = time.monotonic()
    again = kind.up()
    assert time.monotonic() - began < 30
    assert again.get("nodes")["items"][0]["metadata"]["uid"] == before
    wait_for("the word that it is used again", lambda: "used again" in capfd.readouterr().err, timeout=2)


def test_every_image_of_the_table_runs_as_another_user(kind_cluster: Cluster, probe: str) -> None:
    tags = images.load("operator", "prometheus")
    for tag in tags.values():
        user = docker.user_of(tag)
        assert user == "65532:65532", f"{tag} runs as {user!r}"
