"""The description is current, and every answer is as described."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel
from schemathesis import checks

from ops.api import documents, overview_documents
from ops.api.openapi import FILE, rendered
from ops.api.policy import Policy, Role
from ops.api.service import Service
from ops.api.settings import ApiSettings
from tests.support.api import Api, Counted
from tests.support.purchases import Purchase

checks.load_all_checks()
NOTHING_TO_GET_WRONG = {
    "GET /welcome",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /segments",
}
PATH = re.compile(r"(/[a-zA-Z:{}/.-]*)`")
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]


def test_description_in_the_repository_is_that_of_the_routes() -> None:
    assert FILE.read_text(encoding="utf-8") == rendered(), "run: make schemas"


def test_description_is_openapi_3_1_and_all_but_health_needs_a_key() -> None:
    document = json.loads(rendered())
    assert document["openapi"].startswith("3.1")
    assert document["security"]
    open_paths = {
        path
        for path, ways in document["paths"].items()
        for way in ways.values()
        if "security" in way
    }
    assert open_paths == {"/health/live", "/health/ready"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, sixty: Counted) -> Iterator[Api]:
    """An API that keeps nobody waiting: no rate, and streams end at once."""
    api = Api(tmp_path_factory.mktemp("api"))

    async def begin() -> None:
        await api.start(sixty)
        await api.look()

    asyncio.run(begin())
    api.service.policy = Policy(
        roles={
            role: rights.model_copy(update={"burst": 10**9})
            for role, rights in api.service.policy.roles.items()
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Service, "still_welcome", lambda _self, _key: False)
        yield api


OPERATIONS = {
    operation.ok().label: operation.ok()
    for operation in schemathesis.openapi.from_dict(json.loads(rendered())).get_all_operations()
}


@pytest.mark.parametrize(
    ("label", "mode"),
    [(label, schemathesis.GenerationMode.POSITIVE) for label in sorted(OPERATIONS)]
    + [
        (label, schemathesis.GenerationMode.NEGATIVE)
        for label in sorted(OPERATIONS.keys() - NOTHING_TO_GET_WRONG)
    ],
)
def test_whatever_is_asked_the_answer_is_as_described(
    asked: Api, label: str, mode: schemathesis.GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {asked.key[Role.ADMIN]}"}

    @given(OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, app=asked.app)

    holds()


@pytest.mark.parametrize("role", [Role.ADMIN, Role.READER])
@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/welcome", documents.Welcome),
        ("/customers/00003", documents.Profile),
        ("/customers/00003?at=1998-03-31", documents.Profile),
        ("/customers/gone", documents.Profile),
        ("/customers/00003/outlook?past_days=3", documents.Outlook),
        ("/customers/00003/history", documents.History),
        ("/segments", documents.Segments),
        ("/customer-base", overview_documents.CustomerBase),
        ("/service", overview_documents.ServiceState),
        ("/segments/At-Risk/customers", documents.Members),
        ("/health/live", documents.Health),
        ("/health/ready", documents.Ready),
    ],
)
async def test_good_answer_is_as_described_whoever_asks(
    api: Api, path: str, document: type[BaseModel], role: Role
) -> None:
    """What random questions seldom meet: answers about customers there are."""
    await api.buy(Purchase("gone", 10_000, 5, "1"), Purchase("gone", 10_000, 5, "2", "refund"))
    response = await api.get(path, role)
    assert response.status_code == 200
    document.model_validate_json(response.content)


def test_page_about_the_api_lists_every_setting_route_and_role() -> None:
    page = (FILE.parent / "README.md").read_text(encoding="utf-8")
    for name, field in ApiSettings.model_fields.items():
        default = "empty" if field.default is None else f"`{field.default}`"
        assert f"| `{name.upper()}` | {default} | {field.description} |" in page
    listed = {
        path
        for row in re.findall(r"^\| (`[A-Z]+ /.*?) \|", page, re.M)
        for path in PATH.findall(row)
    }
    assert listed == {
        path.replace("{customer_id}", "{id}") for path in json.loads(rendered())["paths"]
    } | {"/openapi.json"}
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.M)) == set(Role)
