"""The console's files: what a browser is given, and under which rules."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from ops.api.routes.console import PATHS
from ops.console import POLICY, served_files
from tests.support.api import Api

FILES = {path: served.body.decode() for path, served in served_files().items()}
PAGE = FILES["/"]
SCRIPTS = {path: text for path, text in FILES.items() if path.endswith(".js")}
STYLE = FILES["/console/style.css"]
# Names of namespaces, which nobody asks for.
NAMESPACES = {"http://www.w3.org/2000/svg"}


def test_there_are_files_and_none_is_forgotten() -> None:
    on_disk = [entry.name for entry in (files("ops.console") / "static").iterdir()]
    assert len(on_disk) == len(FILES) == len(PATHS) > 10


@pytest.mark.parametrize("path", sorted(FILES))
async def test_file_is_open_to_all_and_bound_by_the_policy(api: Api, path: str) -> None:
    response = await api.get(path, None)
    assert response.status_code == 200
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"
    again = await api.get(path, None, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    older = await api.get(path, None, headers={"If-None-Match": '"of-another-release"'})
    assert older.content == response.content
    assert api.audited() == []


def test_policy_lets_nothing_in_but_from_here() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert set(rules.values()) == {"'self'", "'none'"}
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"


@pytest.mark.parametrize("path", ["/console/", "/console/../app.py", "/console/app.js/", "/app.js"])
async def test_path_beside_the_files_needs_a_key(api: Api, path: str) -> None:
    assert (await api.get(path, None)).status_code == 401
    assert (await api.get(path)).status_code == 404


@pytest.mark.parametrize("path", sorted(FILES))
def test_no_file_names_another_host(path: str) -> None:
    named = set(re.findall(r"(?:https?|wss?):?//[^\s\"'`)]+", FILES[path]))
    assert named <= NAMESPACES
    assert not re.search(r"[\"'(=]\s*//", FILES[path].replace("// ", ""))


def test_page_has_no_script_and_no_style_of_its_own() -> None:
    assert re.findall(r"<script[^>]*>", PAGE) == ['<script type="module" src="/console/app.js">']
    assert "<style" not in PAGE
    assert not re.search(r"\s(on\w+|style)=", PAGE)


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_script_makes_no_markup_and_evaluates_nothing(path: str) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage"
        r"|document\.cookie|setAttribute\(\"style\"",
        SCRIPTS[path],
    )


def test_every_id_referred_to_exists() -> None:
    defined = set(re.findall(r'\bid="([\w-]+)"', PAGE))
    made = {name for text in SCRIPTS.values() for name in re.findall(r'\bid: "([\w-]+)"', text)}
    wanted = set(
        re.findall(r'(?:for|aria-controls|aria-labelledby|aria-describedby)="([\w-]+)"', PAGE)
    )
    for text in SCRIPTS.values():
        wanted |= set(re.findall(r'\$\("([\w-]+)"\)', text))
        wanted |= set(re.findall(r'querySelector(?:All)?\("#([\w-]+)', text))
        wanted |= set(re.findall(r'(?:for|"aria-describedby"): "([\w-]+)"', text))
        wanted |= set(re.findall(r"url\(#([\w-]+)\)", text))
        for names in re.findall(r"for \(const id of \[([^\]]+)\]", text):
            wanted |= set(re.findall(r'"([\w-]+)"', names))
    assert len(wanted) > 10
    assert wanted <= defined | made


def test_every_module_imported_or_preloaded_exists_with_what_is_taken_from_it() -> None:
    assert set(re.findall(r'(?:href|src)="(/[^"#]+)"', PAGE)) <= PATHS
    preloaded = set(re.findall(r'modulepreload" href="([^"]+)"', PAGE))
    assert preloaded | {"/console/app.js"} == SCRIPTS.keys()
    taken = 0
    for text in SCRIPTS.values():
        for names, module in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', text):
            exported = set(
                re.findall(
                    r"^export (?:async )?(?:function\*?|const|class) (\w+)",
                    FILES[f"/console/{module}"],
                    re.M,
                )
            )
            for name in filter(None, (part.strip() for part in names.split(","))):
                assert name in exported, (name, module)
                taken += 1
    assert taken > 30


def test_what_is_drawn_has_a_look_in_both_schemes() -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)", 1)
    properties = set(re.findall(r"(--(?:seg|life)-\w+|--(?:ground|panel|ink|soft|line)):", light))
    assert len(properties) >= 15
    assert properties == {
        name for name in re.findall(r"(--[\w-]+):", dark.split("}\n}", 1)[0]) if name in properties
    }
    assert "prefers-reduced-motion: reduce" in STYLE
