"""Where the server listens, its private folder, and its end."""

import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tunetseg.cli.main import main
from tunetseg.errors import InputError
from tunetseg.inference.predictor import load_model
from tunetseg.io.scratch import hidden_name
from tunetseg.serve.server import Address, serve


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def folders(place: Path) -> list[Path]:
    return list(place.glob(".tunetseg-*"))


def test_a_private_folder_that_is_removed(temporary: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        (folder,) = folders(temporary)
        seen["mode"] = stat.S_IMODE(folder.stat().st_mode)
        seen["names"] = self.config.app.names
        seen["any"] = self.config.app.any_address
        seen["token"] = self.config.app.token
        seen["place"] = sockets[0].getsockname()
        seen["log"] = self.config.access_log
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", run)
    left = temporary / hidden_name().replace(f"-{os.getpid()}-", "-999999999-")
    left.mkdir()  # as by a server that was killed
    urls: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        serve(
            load_model(tiny_model, engine="torch", device="cpu"), Address(port=0, names=("box",)), announce=urls.append
        )
    assert folders(temporary) == []
    assert seen["mode"] == 0o700
    assert seen["place"][0] == "127.0.0.1"
    assert seen["names"] == {"127.0.0.1", "localhost", "::1", "box"}
    assert (seen["any"], seen["log"]) == (False, False)
    assert urls == [f"http://127.0.0.1:{seen['place'][1]}/{seen['token']}/"]
    assert len(seen["token"]) >= 32


def test_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert Address().private
    assert Address("localhost").private
    assert Address("::1").private
    assert not Address("0.0.0.0").private
    with pytest.raises(InputError, match="there is no such host on this computer"):
        _ = Address("no-such-host.invalid").private
    with pytest.raises(InputError, match="there is no such host on this computer"):
        _ = Address("a..b").private
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="choose another port"):
        Address(port=taken.getsockname()[1]).listen()
    with pytest.raises(InputError, match="choose another port"):
        Address(port=99999).listen()
    assert main(["serve", "--max-gb", "-1"]) == 2
    assert "--max-gb -1.0: must be above 0" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_command(tmp_path: Path, tiny_model: Path, number: signal.Signals, code: int) -> None:
    words = ["serve", "--port", "0", "--model", str(tiny_model), "--engine", "torch", "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "tunetseg", *words], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        with urllib.request.urlopen(f"{url}jobs") as answer:
            assert answer.read() == b'{"jobs":[]}'
            assert answer.headers["server"] is None
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{url.rsplit('/', 2)[0]}/jobs")
        (folder,) = folders(tmp_path)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        process.send_signal(number)
        assert process.wait(60) == code
    assert folders(tmp_path) == []
