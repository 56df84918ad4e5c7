"""Runtimes that somebody else starts: probed, described, and never let go."""

import pytest

from hfmodel_api.errors import HFModelError
from hfmodel_api.spec import HFModel
from hfmodel_api.status import Phase
from hfmodel_router.fleet_static import Backend, InvalidBackend, StaticFleet, parse_backend
from support.fake_fleet import model
from support.polling import until
from support.running_router import running_router
from support.scripted_runtime import Received, respond, scripted_runtime


async def _ready(request: Received) -> None:
    await respond({"status": "ok"})(request)


@pytest.mark.parametrize(
    "text", ["", "smollm2", "smollm2=", "smollm2=host:1", "Not An Id=http://x", "=http://x", "a=http://"]
)
def test_a_backend_is_an_id_and_a_url(text: str) -> None:
    with pytest.raises(InvalidBackend, match="ID=URL"):
        parse_backend(text)
    assert parse_backend("a.b=http://x:1/") == Backend("a.b", "http://x:1")


async def test_a_ready_backend_is_served_and_describes_itself() -> None:
    async with scripted_runtime(_ready) as pod, StaticFleet([Backend("mine", pod.url)]) as fleet:
        state = fleet.catalogue()["mine"]
    assert (state.phase, state.model.spec.model, state.model.spec.max_length) == (Phase.READY, "acme/smollm2", 2048)
    assert [endpoint.url for endpoint in state.endpoints] == [pod.url]
    assert state.resolved_revision == "abc123"


async def test_a_backend_that_comes_up_later_is_noticed() -> None:
    loading = respond({"status": "loading"}, 503)
    async with scripted_runtime(loading, _ready) as pod, StaticFleet([Backend("mine", pod.url)]) as fleet:
        assert fleet.catalogue()["mine"].phase is Phase.STARTING
        changed: list[str] = []
        unsubscribe = fleet.subscribe(changed.append)
        await fleet.want("mine")
        await until(lambda: changed == ["mine"])
        assert fleet.catalogue()["mine"].loaded
        unsubscribe()


async def test_a_backend_that_is_not_there_says_where_it_was_looked_for() -> None:
    async with scripted_runtime(_ready) as pod:
        pass
    async with StaticFleet([Backend("mine", pod.url)], load_models=lambda: [model("mine"), model("other")]) as fleet:
        mine, other = fleet.catalogue().values()
    assert pod.url in mine.message
    assert mine.model.spec.model == "acme/mine"
    assert other.problem is not None
    assert "--backend other=URL" in other.problem.message


async def test_what_is_no_runtime_is_not_served() -> None:
    async def not_found(request: Received) -> None:
        await respond({}, 404)(request)

    async with scripted_runtime(not_found) as pod, StaticFleet([Backend("mine", pod.url)]) as fleet:
        assert not fleet.catalogue()["mine"].loaded


async def test_through_the_router_it_answers_but_cannot_be_unloaded_and_a_broken_catalogue_changes_nothing() -> None:
    models = [model("mine")]

    def load_models() -> list[HFModel]:
        if not models:
            raise HFModelError("models.yaml: broken")
        return list(models)

    async with (
        scripted_runtime(_ready) as pod,
        StaticFleet([Backend("mine", pod.url)], load_models=load_models) as fleet,
        running_router(fleet) as router,
    ):
        async with router.http.post("/models/mine/generate", json={"text": "x"}) as response:
            assert response.status == 200
        async with router.http.post("/models/mine/unload") as response:
            assert response.status == 409
        async with router.http.post("/admin/unload-all") as response:
            assert response.status == 409
        models.clear()
        async with router.http.post("/admin/reload-config") as response:
            assert response.status == 400
            assert "broken" in (await response.json())["detail"]
        assert list(fleet.catalogue()) == ["mine"]
