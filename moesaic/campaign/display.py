"""A campaign on a terminal: a bar for all cases, and a line for each that runs."""

from __future__ import annotations

from threading import Lock
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from moesaic.campaign.case import Case


class Display:
    """Context manager. console: without a terminal behind it, nothing is shown. title: of the bar. total: cases, None if unknown."""

    def __init__(self, console: Console, title: str, total: int | None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[says]}"), console=console, transient=True,
                                  disable=not console.is_terminal)  # fmt: skip
        self._all = self._progress.add_task(title, total=total, says="")
        self._lines: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        self._lock = Lock()

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def says(self, case: Case, text: str) -> None:
        """What a case says while it runs; any thread may call this."""
        with self._lock:
            if case.key in self._ended:
                return
            if case.key not in self._lines:
                self._lines[case.key] = self._progress.add_task(f"  {case.title}", total=None, says=text)
            else:
                self._progress.update(self._lines[case.key], says=text)

    def ended(self, case: Case) -> None:
        """A case has ended."""
        with self._lock:
            self._ended.add(case.key)
            if case.key in self._lines:
                self._progress.remove_task(self._lines.pop(case.key))
            self._progress.update(self._all, advance=1)
