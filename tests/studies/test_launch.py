"""What is handed to a scheduler, with a script in place of sbatch."""

import os
import subprocess
from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.studies.launch import submit
from tunetseg.studies.plan import StudyPlan
from tunetseg.studies.run import submit_study
from tunetseg.studies.tasks import Task


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command that notes its words and prints the number of a job, as SLURM does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/called\necho "17;cluster"\n')
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "called"


def test_an_array_of_what_is_missing_and_a_job_that_follows(sbatch: Path, plan: StudyPlan, study: Path) -> None:
    handed = submit_study(plan, study, words=["--test", "other"], limit=3)
    assert handed is not None
    assert handed.jobs == ("17", "17")
    array, then = sbatch.read_text().splitlines()
    jobs = study / "jobs"
    assert array == f"--parsable --array=0-3%3 --cpus-per-task=1 --ntasks=1 {jobs}/job.sh {jobs}/tasks.txt"
    assert then.startswith("--parsable --dependency=afterok:17 --kill-on-invalid-dep=yes")
    assert f"study --out {study} --test other" in (jobs / "then.txt").read_text()
    assert len((jobs / "tasks.txt").read_text().splitlines()) == 4


def test_folders_may_have_braces_in_their_names(sbatch: Path, tmp_path: Path) -> None:
    folder = tmp_path / "{a} {job"
    folder.mkdir()
    task = Task("t", (("true",),), folder / "log")
    submit([task], folder, missing=[0], then=task)
    assert sbatch.read_text().count(f"{folder}/job.sh {folder}/") == 2


def test_a_dry_run_hands_over_nothing(sbatch: Path, plan: StudyPlan, study: Path) -> None:
    handed = submit_study(plan, study, dry_run=True)
    assert handed is not None
    assert (len(handed.commands), handed.jobs) == (2, ())
    assert not sbatch.exists()


def test_a_script_that_was_edited_is_kept_and_a_template_replaces_it(
    sbatch: Path, plan: StudyPlan, study: Path
) -> None:
    submit_study(plan, study, dry_run=True)
    script = study / "jobs/job.sh"
    script.write_text(script.read_text().replace("##SBATCH --partition=gpu", "#SBATCH --partition=ours"))
    submit_study(plan, study, dry_run=True)
    assert "#SBATCH --partition=ours" in script.read_text()
    other = study / "pbs.sh"
    other.write_text(
        "# tunet submit: sbatch -J {array} {script} {tasks}\n# tunet then: sbatch -W {job} {script} {tasks}\n"
    )
    handed = submit_study(plan, study, template=other)
    assert handed is not None
    assert sbatch.read_text().splitlines()[0] == f"-J 0-3 {script} {study}/jobs/tasks.txt"


@pytest.mark.parametrize(("code", "found"), [(2, 0), (1, 1)])
def test_the_script_ends_well_where_a_part_left_cases_out(tmp_path: Path, code: int, found: int) -> None:
    part = Task("part", (("bash", "-c", f"exit {code}"),), tmp_path / "log", also_well=(2, 3))
    handed = submit([part], tmp_path, missing=[0], dry_run=True)
    done = subprocess.run(["bash", handed.script, tmp_path / "tasks.txt"], capture_output=True, text=True, check=False)
    assert done.returncode == found
    assert f"line 0, start 0: ended with {found}" in done.stdout


def test_what_goes_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("t", (("true",),), tmp_path / "log")
    template = tmp_path / "template.sh"
    with pytest.raises(InputError, match="the template cannot be read"):
        submit([task], tmp_path, missing=[0], template=template)
    template.write_text("# tunet submit: false {tasks}\n")
    with pytest.raises(InputError, match="has no line '# tunet then"):
        submit([task], tmp_path, missing=[0], template=template)
    template.write_text("# tunet submit: false {tasks}\n# tunet then: false\n")
    with pytest.raises(InputError, match="false refused"):
        submit([task], tmp_path, missing=[0], template=template)
    template.write_text("# tunet submit: echo ${HOME}\n# tunet then: false\n")
    with pytest.raises(InputError, match="has braces that stand for nothing; it may name"):
        submit([task], tmp_path, missing=[0], template=template)
    template.write_text("# tunet submit: no-such-command {tasks}\n# tunet then: false\n")
    with pytest.raises(InputError, match="no-such-command: there is no such command"):
        submit([task], tmp_path, missing=[0], template=template)
