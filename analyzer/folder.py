"""The run folder as a reader finds it: every damage is named, none stops the report or bends a number."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from analyzer.manifest import AbsenceNote, Manifest, StopNote, read_manifest, refuse_newer
from analyzer.seconds import Source
from analyzer.side_files import Samples, read_events, read_samples
from loadproof.errors import JournalError, PlanError, RuleSyntaxError, RunFolderError, UsageError
from loadproof.measure.journal import Journal
from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.overrides import Overrides
from loadproof.plan.reader import read_plan
from loadproof.verdict.facts import Absence, Edited, Epoch, FaultFailed, FaultTimes, GuardTrip, RunFacts, Stop
from loadproof.verdict.grammar import latency_limits_us, parse_rule
from loadproof.verdict.result import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from analyzer.model import Event
    from loadproof.measure.codec import PackedInterval
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan
    from loadproof.verdict.rule import Rule

MANIFEST_OPEN: Final = "manifest_open"
NO_FIN: Final = "it has no FIN: the worker did not end in order"
_SLACK_US: Final = 3_600_000_000
"""How far an interval may lie outside what the manifest says of the run's length."""
JOURNAL_NAME: Final = re.compile(r"(?P<worker>.+)-(?P<epoch>\d{1,9})\.journal", re.DOTALL)


@dataclass
class JournalFile:
    """One epoch's journal, or the lack of it."""

    worker: str
    region: str
    epoch: int
    journal: Journal | None
    refused: str | None = None
    """Why its intervals are not counted, in words; None when they are."""
    lost: str | None = None
    """Why the master does not vouch for it, though it may look whole; in words."""
    read: int = 0
    """Intervals that were counted."""

    def intervals(self, until_us: int) -> Iterator[Interval]:
        """Those that count. One that lies outside the run ends them: a table of seconds must not grow to it."""
        if self.journal is not None and self.refused is None:
            for interval in self.journal.intervals():
                if not self._counts(interval, until_us):
                    return
                yield interval

    def packed(self, until_us: int) -> Iterator[PackedInterval]:
        """The same, yet to be unpacked."""
        if self.journal is not None and self.refused is None:
            for packed in self.journal.packed():
                if not self._counts(packed.interval, until_us):
                    return
                yield packed

    def _counts(self, interval: Interval, until_us: int) -> bool:
        first, last = interval.start_us, interval.start_us + interval.length_us
        is_in_run = -_SLACK_US <= first <= last <= until_us
        if not is_in_run or abs(interval.second * 1_000_000 - first) > _SLACK_US:
            self.refused = f"second {interval.second} lies outside the run"
            return False
        self.read += 1
        return True

    def found(self) -> Epoch:
        """What the judge must know of it, once its intervals were read to the end."""
        if self.journal is None or self.refused is not None:
            return Epoch(self.worker, self.region, self.epoch, self.read, complete=False, damage=self.refused)
        state = self.journal.state
        damage = state.damage or self.lost or (None if state.complete else NO_FIN)
        return Epoch(
            self.worker,
            self.region,
            self.epoch,
            state.intervals,
            state.complete and self.lost is None,
            damage=damage,
            last_us=state.last_us,
        )


@dataclass
class RunFolder:
    path: Path
    plan: Plan
    """As it was run: with edits of its load, and ended where its search was."""
    rules: tuple[Rule, ...]
    manifest: Manifest | None
    manifest_raw: dict[str, Any]
    journals: tuple[JournalFile, ...]
    events: tuple[Event, ...]
    samples: Samples
    asked: Plan
    """As it was asked for."""
    notes: list[str] = field(default_factory=list)
    """What could not be read, with what that means for the report."""
    reasons: list[Reason] = field(default_factory=list)
    """What of it makes the run INVALID whatever the rules say."""

    def facts(self) -> RunFacts:
        """What is known beside the intervals; to be asked after the journals were read."""
        manifest = self.manifest
        is_told = manifest is not None and (manifest.closed or manifest.stop is not None)
        stop = manifest.stop if manifest is not None and is_told else self._aborted
        return RunFacts(
            run=manifest.run if manifest else self.path.name,
            planned=self.planned,
            epochs=tuple(journal.found() for journal in self.journals),
            resources=self.samples.values,
            unsampled=self.samples.unsampled,
            target_counts=manifest.target_counts if manifest else None,
            target_count_lost=manifest.target_count_lost if manifest else None,
            stop=Stop(stop.by, stop.why, stop.at_us, stop.rule) if stop else None,
            absences=_absences(manifest.absences if manifest else ()),
            quorum_lost=_absences(manifest.quorum_lost if manifest else ()),
            users_edited=tuple(
                Edited(note.at_us, note.was, note.users, note.who)
                for note in (manifest.users_edited if manifest else ())
            ),
            guards=tuple(
                GuardTrip(trip.guard, trip.level, trip.at_us, trip.why)
                for trip in (manifest.guards if manifest else ())
            ),
            clock_error_us=manifest.clock_offset_us_max if manifest else None,
            fault_times=_fault_times(self.events),
            faults_begun=frozenset(event.who or "" for event in self.events if event.kind == "fault_begins"),
            faults_failed=tuple(
                FaultFailed(event.who or "", event.at_us or 0, event.text)
                for event in self.events
                if event.kind == "fault_failed"
            ),
            smoke=manifest.smoke if manifest else False,
            locust_counted=manifest.locust_counted if manifest else None,
            lost={
                epoch.worker: epoch.why or "lost"
                for epoch in (manifest.epochs if manifest else ())
                if epoch.how == "lost"
            },
        )

    @property
    def _aborted(self) -> StopNote | None:
        """The abort that ended a run whose master died before it closed the manifest."""
        for event in self.events:
            if event.kind == "abort" and event.at_us is not None:
                return StopNote("abort", event.text, event.at_us, event.who)
        return None

    def sources(self) -> list[Source]:
        """The journals, to be read once."""
        length = self.manifest.run_length_us if self.manifest else None
        until_us = max(length or 0, self.plan.duration_us) + _SLACK_US
        return [
            Source(one.worker, one.region, one.intervals(until_us), one.packed(until_us))
            for one in self.journals
        ]

    @property
    def limits_us(self) -> tuple[int, ...]:
        """What the journals count against."""
        if self.manifest and self.manifest.limits_us is not None:
            return self.manifest.limits_us
        return latency_limits_us(self.rules)

    @property
    def planned(self) -> tuple[tuple[str, str], ...]:
        if self.manifest:
            return tuple((worker.worker, worker.region) for worker in self.manifest.workers)
        return planned_by(self.plan)


def _absences(notes: tuple[AbsenceNote, ...]) -> tuple[Absence, ...]:
    return tuple(Absence(note.who, note.from_us, note.until_us, note.why) for note in notes)


def _fault_times(events: Iterable[Event]) -> dict[str, FaultTimes]:
    found: dict[str, FaultTimes] = {}
    for event in events:
        name, at_us = event.who or "", event.at_us
        if event.kind == "fault_begins" and at_us is not None:
            found.setdefault(name, FaultTimes(at_us))
        elif event.kind == "fault_ends" and at_us is not None and name in found:
            found[name] = FaultTimes(found[name].begun_us, at_us)
    return found


def planned_by(plan: Plan) -> tuple[tuple[str, str], ...]:
    """(worker, region) of every worker that a plan asks for."""
    return tuple(
        (f"{region.name}-{number:02}", region.name)
        for region in plan.regions
        for number in range(1, region.workers + 1)
    )


def open_run(path: Path) -> RunFolder:
    """Read everything but the intervals. RunFolderError when the folder cannot be a run's."""
    if not path.is_dir():
        what = "it is a file" if path.exists() else "there is no such folder"
        raise RunFolderError(f"{path}: {what}; name a run folder, such as reports/enterprise-…")
    manifest, raw, damage = read_manifest(path / "manifest.json")
    refuse_newer(path, raw)
    plan = read_effective_plan(path / "plan.yaml", raw)
    run = plan if manifest is None else _as_run(plan, manifest)
    folder = RunFolder(path, run, _rules(path, run), manifest, raw, (), (), Samples(), plan)
    if damage is not None:
        _invalid(folder, "manifest", f"{damage}: who took part in the run is not known")
    elif manifest is not None and not manifest.closed:
        _invalid(
            folder,
            MANIFEST_OPEN,
            "manifest.json was never closed: the master ended before the run did, so what it knew is missing",
        )
    if manifest is not None and manifest.plan_sha256 not in (None, _sha256(path / "plan.yaml")):
        _invalid(
            folder, "plan", "plan.yaml is not the plan of this run: its SHA-256 differs from the manifest's"
        )
    if manifest is not None and manifest.recovered is not None:
        folder.notes += manifest.recovered.notes
        if manifest.recovered.plan_on_trust:
            text = (
                "the manifest was never found: that plan.yaml is the plan of this run is the word of whoever "
                "gave it to `recover`"
            )
            folder.reasons.append(Reason(Verdict.WARN, MANIFEST_OPEN, text))
    folder.journals = tuple(_find_journals(folder))
    unread: list[str] = []
    folder.events = tuple(read_events(path / "events.jsonl", unread))
    if plan.faults and unread:
        _invalid(folder, "events", f"{unread[0]}: whether a fault failed is not known")
    folder.notes += unread
    folder.samples = read_samples(path / "samples.jsonl", folder.notes)
    return folder


def _as_run(plan: Plan, manifest: Manifest) -> Plan:
    """The plan with the load that it had in the end: as somebody edited it, or as its search set and ended it."""
    edits = [LoadEdit(note.at_us, note.users) for note in manifest.users_edited]
    load = plan.load
    note = manifest.search
    if plan.search is not None and note is not None:
        edits = [LoadEdit(edit.at_us, edit.load) for edit in note.edits]
        before_us = plan.duration_us - load[-1].duration_us
        if note.ended_us is not None and before_us < note.ended_us < plan.duration_us:
            searched = load[-1].model_copy(update={"duration_us": note.ended_us - before_us})
            load = (*load[:-1], searched)
            edits = [edit for edit in edits if edit.at_us < note.ended_us]
    return plan.model_copy(update={"load": EditedLoad(load, edits)}) if edits else plan


def read_effective_plan(path: Path, manifest: dict[str, Any]) -> Plan:
    """The plan that a run folder holds; RunFolderError when nothing can be judged by it."""
    if not path.is_file():
        what = (
            "lacks the plan that was run, plan.yaml"
            if manifest
            else "has neither plan.yaml nor manifest.json"
        )
        raise RunFolderError(f"{path.parent} is no run folder: it {what}; name one below reports/")
    try:
        # Not the environment of whoever asks for the report: the effective plan is what was run.
        return read_plan(path, Overrides(), environ={})
    except PlanError as error:
        raise RunFolderError(
            f"{path.parent}: its plan cannot be read, so nothing can be judged:\n{error}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}") from error


def _rules(path: Path, plan: Plan) -> tuple[Rule, ...]:
    rules = []
    for rule in plan.rules:
        try:
            rules.append(parse_rule(rule.text))
        except RuleSyntaxError as error:
            raise RunFolderError(
                f"{path}: its plan has a rule that cannot be read, {rule.text!r}: {error}"
            ) from error
    return tuple(rules)


def read_extra_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Those of `--rule`; UsageError for one that cannot be read."""
    rules = []
    for text in texts:
        try:
            rules.append(parse_rule(text))
        except RuleSyntaxError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise UsageError(f"--rule {text!r}: {error}{hint}") from error
    return tuple(rules)


def _find_journals(folder: RunFolder) -> Iterator[JournalFile]:
    """The journals of this run's epochs in order of worker and epoch, with those that are missing."""
    manifest = folder.manifest
    known = {(epoch.worker, epoch.epoch): epoch for epoch in manifest.epochs} if manifest else {}
    found: dict[tuple[str, int], JournalFile] = {}
    for path in sorted((folder.path / "journals").glob("*.journal")):
        one = _open_journal(path, folder)
        if manifest and manifest.closed and one.refused is None and (one.worker, one.epoch) not in known:
            one.refused = f"{path.name}: the manifest knows of no such epoch"
        if (one.worker, one.epoch) in found:
            found[one.worker, one.epoch].refused = f"{path.name}: a second journal claims this epoch"
        else:
            found[one.worker, one.epoch] = one
    for key, told in known.items():
        if key not in found:
            missing = f"journals/{told.worker}-{told.epoch}.journal is missing"
            found[key] = JournalFile(told.worker, told.region, told.epoch, None, missing)
        elif told.how == "lost":
            found[key].lost = told.why or NO_FIN
    return iter(found[key] for key in sorted(found))


def _open_journal(path: Path, folder: RunFolder) -> JournalFile:
    manifest = folder.manifest
    named = JOURNAL_NAME.fullmatch(path.name)
    worker, epoch = (named["worker"], int(named["epoch"])) if named else (path.name, 0)
    region = dict(folder.planned).get(worker, "")
    try:
        journal = Journal(path)
    except JournalError as error:
        return JournalFile(worker, region, epoch, None, str(error).replace(str(path), path.name))
    header = journal.header
    if header is None:
        return JournalFile(
            worker, region, epoch, None, f"{path.name}: {journal.state.damage or 'it is empty'}"
        )
    one = JournalFile(header.worker, header.region, header.epoch, journal)
    if (header.worker, header.epoch) != (worker, epoch):
        one.refused = f"{path.name}: its header says {header.worker} epoch {header.epoch}"
    elif manifest and header.run != manifest.run:
        one.refused = f"{path.name}: it belongs to run {header.run}"
    elif header.limits_us != folder.limits_us:
        one.refused = f"{path.name}: it counted against other limits than the run's"
    return one


def _invalid(folder: RunFolder, code: str, text: str) -> None:
    folder.reasons.append(Reason(Verdict.INVALID, code, text))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
