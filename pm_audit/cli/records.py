"""`pm-audit show`, `report`, `compare` and `verify`: commands that read records."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pm_audit.cli import options

_READABLE = click.Path(dir_okay=False, path_type=Path)
_HYPOTHESES, _ADDITIONS = ("hypothesis", "hypotheses"), ("addition", "additions")
_record = click.argument("record", type=_READABLE, default=Path("reports/record.json"))


@click.command(cls=options.Command, example="pm-audit show reports/record.json -v")
@_record
@click.option("-v", "--verbose", is_flag=True, help="List every candidate and every condition.")
def show(record: Path, *, verbose: bool) -> None:
    """Print the summary of RECORD (default: reports/record.json).

    RECORD is of an audit, a scan, a diff, a repair or a search for exploits.  With an audit come a
    reviewer's notes, kept next to it: record.notes.yaml.
    """
    from pm_audit.report import terminal
    from pm_audit.report.over_time.notes import read_notes
    from pm_audit.report.preferences import kinds
    from pm_audit.report.viewed import read_viewed

    other = kinds.read(record)
    if other is not None:
        click.echo(str(other))
        return
    read, notices = read_viewed(record)
    notes = read_notes(record, read)
    click.echo(terminal.summary(read, every_feature=verbose, notices=notices, notes=notes))


@click.command(
    cls=options.Command, example="pm-audit report reports/record.json -o reports/record.html"
)
@_record
@options.output(
    "-o",
    "--output",
    text="File to write; its suffix chooses .html, .md, .csv or .parquet "
    "(default: RECORD's name with .html).",
)
def report(record: Path, *, output: Path | None) -> None:
    """Write RECORD (default: reports/record.json) as a page or a table.

    A scan and a diff are written as .html, a repair and a search for exploits as .html or .md.
    A page of an audit shows a reviewer's notes, kept next to it: record.notes.yaml.
    """
    from pm_audit.report.files import write
    from pm_audit.report.over_time.notes import read_notes
    from pm_audit.report.preferences import kinds
    from pm_audit.report.sanitise import terminal_lines
    from pm_audit.report.viewed import read_viewed

    target = output or record.with_suffix(".html")
    options.require_apart(target, record)
    other = kinds.read(record)
    if other is not None:
        other.save(target)
        click.echo(f"wrote {target}")
        return
    read, notices = read_viewed(record)
    write(read, target, notices=notices, notes=read_notes(record, read))
    for notice in notices:
        click.echo(terminal_lines(f"NOTICE: {notice}"), err=True)
    click.echo(f"wrote {target}")


@click.command(
    cls=options.Command, example="pm-audit compare reports/baseline.json reports/record.json"
)
@click.argument("old", type=_READABLE)
@click.argument("new", type=_READABLE)
@options.output("-o", "--output", text="Write the comparison as a page too: .html or .md.")
@options.output("--comment", text="Write a pull request's comment too, in Markdown.")
@click.option(
    "--gate",
    type=click.Choice(["absolute", "regressions"]),
    default="absolute",
    show_default=True,
    help="As --pm-audit-gate: with regressions, what OLD lacks must meet its expectations.",
)
def compare(old: Path, new: Path, *, output: Path | None, comment: Path | None, gate: str) -> None:
    """Compare two records; exit code 1 if NEW is a regression against OLD."""
    from pm_audit.records import require_ours
    from pm_audit.release import compare as compare_records
    from pm_audit.release import read_believed
    from pm_audit.report import changes
    from pm_audit.report.files import write_comparison
    from pm_audit.spec import GateMode

    for target, others in ((output, (old, new)), (comment, (old, new, output))):
        if target is not None:
            options.require_apart(target, *others)
    if comment is not None:
        require_ours(comment, comment)
    before, after = read_believed(old), read_believed(new)
    comparison = compare_records(before, after, gate=GateMode(gate))
    click.echo("\n".join(changes.terminal_lines(comparison)))
    if output is not None:
        write_comparison(comparison, output)
        click.echo(f"wrote {output}")
    if comment is not None:
        from pm_audit.records import write_atomically
        from pm_audit.report.over_time.comment import comment as words
        from pm_audit.report.over_time.notes import read_notes

        notes = [*read_notes(old, before), *read_notes(new, after)]
        text = words(after, baseline=before, comparison=comparison, notes=notes)
        write_atomically(comment, text)
        click.echo(f"wrote {comment}")
    sys.exit(1 if comparison.regressed else 0)


@click.command(cls=options.Command, example="pm-audit verify reports/baseline.json")
@_record
def verify(record: Path) -> None:
    """Judge RECORD again from its own evidence; exit code 1 if anything differs.

    RECORD is of an audit or of a search for exploits.
    """
    from pm_audit.judging import verify as disagreements
    from pm_audit.judging.exploits import verify_exploits
    from pm_audit.records import AuditRecord
    from pm_audit.records.exploit import ExploitRecord
    from pm_audit.report.preferences import kinds
    from pm_audit.report.sanitise import terminal_lines

    other = kinds.read(record)
    if isinstance(other, ExploitRecord):
        found, count, nouns = verify_exploits(other), len(other.exploits), _ADDITIONS
    else:
        stored = AuditRecord.read(record)
        found, count, nouns = disagreements(stored), len(stored.hypotheses), _HYPOTHESES
    for line in found:
        click.echo(terminal_lines(line))
    if found:
        click.echo(f"{len(found)} disagreements between the record and its evidence")
        sys.exit(1)
    click.echo(f"every figure of {count} {nouns[count != 1]} follows from the evidence")
