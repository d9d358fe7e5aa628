"""Checks deploy/kubernetes against the schemas of Kubernetes and of the Prometheus operator, without a cluster.

Unknown fields are errors. Needs kubernetes-validate and cloudcoil-models-prometheus-operator from PyPI
(requirements.txt). What agrees between the files and millpond is checked by `cargo test --test ecosystem`.
"""

import pathlib
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

MANIFESTS = pathlib.Path(__file__).parent.parent / "kubernetes"
# The oldest that the manifests say they need, and the newest that there is a schema of.
OLDEST = "1.30"


def problems(document: dict) -> list[str]:
    if document["apiVersion"].startswith("monitoring.coreos.com/"):
        # The model leaves out what it does not know, and says so of nothing else.
        known = ServiceMonitor.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
        return [] if known == document else [f"unknown fields: {document} is understood as {known}"]
    found = []
    for version in (OLDEST, kubernetes_validate.latest_version()):
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"Kubernetes {version}: {error.message} in {'.'.join(map(str, error.path))}")
    return found


def main() -> int:
    count, failed = 0, 0
    for file in sorted(MANIFESTS.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            count += 1
            for problem in problems(document):
                failed += 1
                print(f"{file.name}: {document['kind']} {document['metadata']['name']}: {problem}")
    print(f"{count} objects of Kubernetes, {failed} problems, with {OLDEST} and {kubernetes_validate.latest_version()}")
    return 1 if failed or not count else 0


sys.exit(main())
