"""The workflows, the release check and the development page agree with setup.cfg and tox.ini."""

from __future__ import annotations

import importlib.util
import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from .interpreters import ROOT

#: tox runs beside the checkout, in a folder of links to what does not begin with a dot.
CHECKOUT = (ROOT / "README.md").resolve().parent
WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))


def configuration(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read(CHECKOUT / name)
    return parser


def workflow(name: str) -> Any:
    return yaml.safe_load((CHECKOUT / ".github" / "workflows" / name).read_text())


def steps(job: Any) -> list[Any]:
    job_steps: list[Any] = job.get("steps", [])
    return job_steps


def environments(job: Any) -> set[str]:
    """Return the environments of tox that a job runs."""
    matrix = job.get("strategy", {}).get("matrix", {})
    of_matrix = {entry["env"] for entry in matrix.get("include", [])}
    if isinstance(matrix.get("env"), list):  # and not what tox has listed in a job before
        of_matrix.update(matrix["env"])
    names = set()
    for step in steps(job):
        for name in re.findall(r"tox run -e (\S+|\$\{\{ matrix.env \}\})", step.get("run", "")):
            names |= of_matrix if name == "${{" else {name}
    return names


SUPPORTED = [
    classifier.rpartition(" ")[2]
    for classifier in configuration("setup.cfg")["metadata"]["classifiers"].splitlines()
    if re.fullmatch(r"Programming Language :: Python :: \d\.\d+", classifier)
]
TOX = configuration("tox.ini")


def labelled(label: str) -> set[str]:
    match = re.search(rf"^{label} = (.+)$", TOX["tox"]["labels"], re.MULTILINE)
    assert match
    return {*match[1].split(", ")}


@pytest.mark.parametrize("job", ["unit", "worker"])
def test_every_supported_python_is_tested(job: str) -> None:
    assert workflow("ci.yml")["jobs"][job]["strategy"]["matrix"]["python"] == SUPPORTED


def test_the_matrix_has_every_supported_python() -> None:
    versions = [
        step["with"]["python-version"]
        for step in steps(workflow("matrix.yml")["jobs"]["unit"])
        if "setup-python" in step.get("uses", "")
    ]

    assert [version.split() for version in versions] == [SUPPORTED]


def test_ci_covers_tox_run_and_both_ends_of_the_matrix() -> None:
    run = set().union(*map(environments, workflow("ci.yml")["jobs"].values()))

    assert run >= {*TOX["tox"]["env_list"].split(", ")} | labelled("ends")


@pytest.mark.parametrize("name", [path.name for path in WORKFLOWS])
def test_the_workflows_run_environments_of_tox_ini(name: str) -> None:
    run = set().union(*map(environments, workflow(name)["jobs"].values()))

    assert {name for name in run - labelled("ends") if f"testenv:{name}" not in TOX} == set()


def test_the_required_check_waits_for_every_job() -> None:
    jobs = workflow("ci.yml")["jobs"]

    assert {*jobs["passed"]["needs"]} == jobs.keys() - {"passed"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_have_no_more_permissions_than_they_need(path: Path) -> None:
    content = workflow(path.name)

    assert content["permissions"] == {"contents": "read"}
    more = {
        name: job["permissions"] for name, job in content["jobs"].items() if "permissions" in job
    }
    more.pop("passed", None)
    released = {"publish": {"id-token": "write"}, "announce": {"contents": "write"}}
    assert more == (released if path.name == "release.yml" else {})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text())

    assert used
    assert [
        each
        for each in used
        if not each.startswith("./")
        and not re.search(r"@(release/)?v\d+(\.\d+)*$|@[0-9a-f]{40}$", each)
    ] == []


def test_a_release_is_tested_before_it_is_published() -> None:
    jobs = workflow("release.yml")["jobs"]

    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert {*jobs["publish"]["needs"]} == {"test", "build"}


DEVELOPMENT = (CHECKOUT / "docs" / "development.md").read_text()


def test_the_development_page_installs_what_tox_installs() -> None:
    wanted = [
        re.split(r"[>=]", line)[0]
        for line in TOX["testenv"]["deps"].split()
        if re.fullmatch(r"[\w-]+(>=[\d.]+)?", line)
    ]
    told = re.search(r"install (coverage .+?)\n```", DEVELOPMENT, re.DOTALL)

    assert told
    assert told[1].replace("\\\n", "").split() == wanted


def test_the_development_page_names_existing_tests() -> None:
    named = re.findall(r"pytest (tests/\S+)", DEVELOPMENT)

    assert named
    assert [name for name in named if not (CHECKOUT / name).exists()] == []


def notes(tag: str, package: str, changelog: str) -> str:
    path = CHECKOUT / ".ci" / "check_release.py"
    spec = importlib.util.spec_from_file_location("check_release", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text: str = module.notes(tag, package, changelog)
    return text


PACKAGE = '__version__ = "0.2.0"\n'
CHANGELOG = (
    "# Changelog\n\n## 0.2.0 (2027-01-31)\n\n- New.\n- Newer.\n\n## 0.1.0 (2026-12-01)\n\n- Old.\n"
)


def test_a_release_has_the_notes_of_its_version() -> None:
    assert notes("v0.2.0", PACKAGE, CHANGELOG) == "- New.\n- Newer."


@pytest.mark.parametrize(
    ("tag", "changelog", "reason"),
    [
        ("0.2.0", CHANGELOG, "'0.2.0' is not the tag of a release"),
        ("v0.3.0", CHANGELOG, "does not match cereal_methods.__version__, which is 0.2.0"),
        ("v0.2.0", CHANGELOG.replace("2027-01-31", "unreleased"), "no dated section for 0.2.0"),
        ("v0.2.0", "## 0.2.0 (2027-01-31)\n\n## 0.1.0 (2026-12-01)\n", "or an empty one"),
    ],
)
def test_a_release_that_contradicts_itself_is_refused(
    tag: str, changelog: str, reason: str
) -> None:
    with pytest.raises(SystemExit, match=re.escape(reason)):
        notes(tag, PACKAGE, changelog)
