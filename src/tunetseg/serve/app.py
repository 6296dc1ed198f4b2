"""The application: which request does what with which job."""

import errno
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tunetseg.errors import InputError
from tunetseg.serve.archive import zip_stream
from tunetseg.serve.jobs import Jobs, NoJobError, WrongStateError
from tunetseg.serve.page import server_page
from tunetseg.serve.uploads import NotAnImageError, TooMuchError

__all__ = ["make_app"]

_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; font-src data:; connect-src data: blob:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
"""Of the page of a patient: its own policy, and an origin of its own, from which it can ask this server nothing."""

_STATUS: tuple[tuple[type[InputError], int], ...] = (
    (TooMuchError, 413),
    (NotAnImageError, 415),
    (NoJobError, 404),
    (WrongStateError, 409),
    (InputError, 400),
)

_ASSETS = {
    "serve.js": ("tunetseg.serve", "text/javascript"),
    "serve.css": ("tunetseg.serve", "text/css"),
    "page.css": ("tunetseg.report", "text/css"),
}


def make_app(jobs: Jobs) -> Starlette:
    """Return the application of a server; a `Guard` before it decides whom it answers."""
    answers = _Answers(jobs)
    asked = [
        ("/", "GET", answers.page),
        ("/assets/{name}", "GET", answers.asset),
        ("/jobs", "GET", answers.list),
        ("/jobs", "POST", answers.create),
        ("/jobs/{job}", "DELETE", answers.remove),
        ("/jobs/{job}/files", "PUT", answers.upload),
        ("/jobs/{job}/recognise", "POST", answers.recognise),
        ("/jobs/{job}/start", "POST", answers.start),
        ("/jobs/{job}/cancel", "POST", answers.cancel),
        ("/jobs/{job}/pages/{number:int}", "GET", answers.patient_page),
        ("/jobs/{job}/results.zip", "GET", answers.results),
    ]
    return Starlette(
        routes=[Route(path, answer, methods=[method]) for path, method, answer in asked],
        exception_handlers={InputError: _refuse, OSError: _refuse_disk, ClientDisconnect: _gone},
    )


class _Answers:
    """What is answered. All but `upload` run in threads, as they may wait for the disk or for a lock.

    Args:
        jobs: What is asked about.
    """

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    def page(self, request: Request) -> Response:
        return HTMLResponse(server_page(self.jobs))

    def asset(self, request: Request) -> Response:
        package, kind = _ASSETS.get(request.path_params["name"], ("", ""))
        if not package:
            raise NoJobError("there is no such file")
        return Response((files(package) / "assets" / request.path_params["name"]).read_bytes(), media_type=kind)

    def list(self, request: Request) -> Response:
        return JSONResponse({"jobs": self.jobs.describe()})

    def create(self, request: Request) -> Response:
        return JSONResponse({"id": self.jobs.create().id}, 201)

    async def upload(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["job"])
        if job.state != "uploading":
            raise WrongStateError(f"this upload is {job.state}, so no file can be added; begin another")
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isdecimal() and len(announced) < 19 else 0
        await job.uploads.add(request.query_params.get("name", ""), request.stream(), size)
        return JSONResponse({}, 201)

    def recognise(self, request: Request) -> Response:
        self.jobs.recognise(request.path_params["job"], request.query_params.getlist("without"))
        return JSONResponse({}, 202)

    def start(self, request: Request) -> Response:
        self.jobs.start(request.path_params["job"])
        return JSONResponse({}, 202)

    def cancel(self, request: Request) -> Response:
        self.jobs.cancel(request.path_params["job"])
        return JSONResponse({}, 202)

    def remove(self, request: Request) -> Response:
        self.jobs.remove(request.path_params["job"])
        return JSONResponse({})

    def patient_page(self, request: Request) -> Response:
        job, number = self.jobs.get(request.path_params["job"]), request.path_params["number"]
        if job.state != "done" or number >= len(job.results):
            raise NoJobError("there is no such page")
        headers = {"content-security-policy": _REPORT_POLICY}
        return FileResponse(job.results[number].page, media_type="text/html", headers=headers)

    def results(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["job"])
        if job.state != "done":
            raise WrongStateError("there are no results yet")
        headers = {"content-disposition": 'attachment; filename="tunet-results.zip"'}
        return StreamingResponse(zip_stream(job.out), media_type="application/zip", headers=headers)


def _gone(request: Request, fault: Exception) -> Response:
    """Answer one who has gone, such as by closing the page during an upload: nobody reads it."""
    return Response(status_code=400)


def _refuse(request: Request, fault: Exception) -> Response:
    """Answer with the sentence of an error; what the rest of a refused body holds is not read."""
    status = next(status for kind, status in _STATUS if isinstance(fault, kind))
    return JSONResponse({"error": str(fault)}, status)


def _refuse_disk(request: Request, fault: Exception) -> Response:
    full: Any = getattr(fault, "errno", None) in {errno.ENOSPC, errno.EDQUOT}
    return JSONResponse({"error": "the disk of the server is full" if full else "the disk of the server failed"}, 507)
