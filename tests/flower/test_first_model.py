"""A federation that goes on from another one's model: the plan names it, everybody has it, nobody takes another."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedgap.config.summary import summary
from fedgap.errors import UsageError
from fedgap.flower import desk_work
from fedgap.flower.home import TEMPLATE, Home, make_home
from fedgap.flower.start_file import FILE, StartModelError, named_model, read_model
from fedgap.learning.parameters import Vector, digest, packed
from fedgap.secagg.manifest import SignedManifest
from fedgap.secagg.transcript import state_digest
from fedgap.simulation.study import GoneOnError
from tests.flower.serving import now
from tests.flower.sites import village
from tests.simulation import tiny

MODEL = np.array([0.5, -1.25, 3e-9], np.float32)


def made(folder: Path, start: Path | None) -> Home:
    """Make a server's folder that begins with a model."""
    return make_home(folder, address="https://x:1", listen=("127.0.0.1", 1), certificate="own", now=now(), start=start)


def written(path: Path, model: Vector = MODEL) -> Path:
    """A model as a server writes it."""
    path.write_bytes(packed(model, {"task": "x"}))
    return path


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / FILE)

    assert named_model(path, digest(MODEL)).tobytes() == MODEL.tobytes()
    with pytest.raises(StartModelError, match="not the model that the plan begins with"):
        named_model(path, "0" * 64)


@pytest.mark.parametrize("content", [b"", b"x", b"\x02" + bytes(7) + b"{}", b"\xff" * 40, b"\x01" + bytes(7) + b"3"])
def test_another_file_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StartModelError, match="no model of fedgap"):
        read_model(tmp_path / FILE)


def test_a_file_that_is_missing_cut_off_longer_of_other_numbers_or_not_finite_is_no_model(tmp_path: Path) -> None:
    path = written(tmp_path / FILE)
    content = path.read_bytes()
    for other in (content[:-1], content + b"x"):
        path.write_bytes(other)
        with pytest.raises(StartModelError, match="no model of fedgap"):
            read_model(path)
    save_file({"parameters": MODEL.astype(np.float64)}, path)
    with pytest.raises(StartModelError, match="no model of fedgap"):
        read_model(path)
    written(path, np.array([np.nan], np.float32))
    with pytest.raises(StartModelError, match="not finite"):
        read_model(path)
    with pytest.raises(StartModelError, match="There is no") as refused:
        read_model(tmp_path / "elsewhere")
    assert str(tmp_path / "elsewhere") in refused.value.remedy


def test_init_takes_the_model_along_and_the_plan_names_it(tmp_path: Path) -> None:
    home = made(tmp_path / "server", written(tmp_path / "model.safetensors"))
    config = home.config()

    assert config.federation.start == digest(MODEL)
    assert (home.folder / FILE).read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert any(f"begins with the model {digest(MODEL)[:16]}" in sentence for sentence in summary(config))
    desk_work.backup(home, tmp_path / "backup")
    restored = desk_work.restore(tmp_path / "backup", tmp_path / "restored")
    assert (restored.folder / FILE).read_bytes() == (home.folder / FILE).read_bytes()


def test_a_plan_that_is_there_must_name_the_model_and_else_nothing_is_made(tmp_path: Path) -> None:
    model, folder = written(tmp_path / "model.safetensors"), tmp_path / "server"
    folder.mkdir()
    (folder / "federation.toml").write_text(TEMPLATE)
    with pytest.raises(UsageError) as refused:
        made(folder, model)
    assert [path.name for path in folder.iterdir()] == ["federation.toml"]

    line = f'start = "{digest(MODEL)}"'
    assert line in refused.value.remedy
    (folder / "federation.toml").write_text(TEMPLATE.replace("seed = 1", f"seed = 1\n{line}"))
    assert made(folder, model).config().federation.start == digest(MODEL)


def test_a_new_federation_goes_on_where_another_one_stopped(tmp_path: Path) -> None:
    """Two rounds, then two more from the file: the first state is the last model, with nothing else remembered."""
    for name in ("before", "after", "nobody"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        first = village(tmp_path / "before", stack)
        first.prepare()
        model = first.run(first.found(), until=2).state.model
    with ExitStack() as stack:
        (tmp_path / "after" / FILE).write_bytes(packed(model, {}))
        second = village(tmp_path / "after", stack, federation={"start": digest(model)})
        second.prepare()
        manifest = second.found()
        zero = np.zeros(model.size)
        assert manifest.start == state_digest(model, zero, zero, clip=manifest.encoding.clip_start, applied=0)
        stands = second.run(manifest, until=2)
        assert stands.applied == 2
        assert [site.member is not None for site in second.sites.values()] == [True] * 3
        assert not np.array_equal(stands.state.model, model)


def test_a_site_without_the_model_or_with_another_one_signs_nothing(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with ExitStack() as stack:
        (tmp_path / "first").mkdir()
        other = village(tmp_path / "first", stack)
        other.prepare()
        model = np.linspace(0, 1, other.manifest().encoding.parameters, dtype=np.float32)
        path.write_bytes(packed(model, {}))
        found = village(tmp_path, stack, federation={"start": digest(model)})
        found.prepare()
        manifest = found.manifest()
        found.show(proposed=SignedManifest(manifest=manifest))
        for change in (path.unlink, lambda: path.write_bytes(packed(model + 1, {}))):
            change()
            for site in found.sites.values():
                site.look_for_manifest()
        assert found.book.signed == {}
        for events in found.events.values():
            waiting = [event for event in events if event["event"] == "waiting"]
            assert [event["code"] for event in waiting] == ["federation.start-model"] * 2
            assert all(event["remedy"].endswith(f"put it at {path}.") for event in waiting)

        path.write_bytes(packed(model, {}))
        for site in found.sites.values():
            site.look_for_manifest()
        assert sorted(found.book.signed) == found.orgs


def test_a_model_of_another_size_is_refused_before_anything_is_signed(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(packed(MODEL, {}))
    with ExitStack() as stack:
        found = village(tmp_path, stack, federation={"start": digest(MODEL)})
        found.prepare()
        with pytest.raises(StartModelError, match="has 3 parameters"):
            found.manifest()


def test_a_simulation_of_a_plan_that_goes_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GoneOnError):
        tiny.study(tmp_path, federation={"start": digest(MODEL)})
