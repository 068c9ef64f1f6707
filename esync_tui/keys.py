"""Every key of the console, once: bindings, hints, help and the command palette come from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.binding import Binding

if TYPE_CHECKING:
    from textual.binding import BindingType


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a key does, and how the same is done without the console."""

    id: str
    """What people remap. Keys without a binding here are bound by a widget or by Textual."""
    keys: str
    """The keys, as Textual names them."""
    shown: str
    """The keys, as people read them."""
    action: str
    label: str
    """The verb, for the hints."""
    help: str
    twin: str = ""
    """The command that does the same."""
    is_hinted: bool = True
    is_in_palette: bool = True


EVERYWHERE = (
    Key(
        id="help", keys="question_mark,f1", shown="?", action="app.help", label="help",
        help="The keys of this screen, each with its command.", twin="esync --help",
    ),
    Key(
        id="quit", keys="q", shown="q", action="app.leave", label="quit",
        help="Leave the console; an engine inside is asked to finish first.",
    ),
    Key(
        id="suspend", keys="ctrl+z", shown="^z", action="app.suspend", label="suspend",
        help="Go back to the shell until fg; not with an engine inside, which would stand still.",
        is_hinted=False,
    ),
    Key(
        id="freeze", keys="f", shown="f", action="app.freeze", label="freeze",
        help="Let the lists stand still, or live again.",
    ),
    Key(
        id="refresh", keys="r", shown="r", action="app.refresh_now", label="refresh",
        help="Read everything now; while the database is away, try again now.",
        twin="esync status",
    ),
    Key(
        id="problems", keys="i", shown="i", action="app.problems", label="problems",
        help="Everything that is wrong, a line each.", twin="esync status",
    ),
    Key(
        id="log", keys="l", shown="l", action="app.log", label="log",
        help="What handlers print and log, when an engine runs inside.",
        twin="esync worker APP --headless",
    ),
    Key(
        id="overview", keys="1", shown="1", action="app.show('overview')", label="overview",
        help="Every task name: what waits, runs and fails.", twin="esync status", is_hinted=False,
    ),
    Key(
        id="tasks", keys="2", shown="2", action="app.show('tasks')", label="tasks",
        help="The tasks, by state and filter.", twin="esync tasks", is_hinted=False,
    ),
    Key(
        id="palette", keys="", shown="^p", action="app.command_palette", label="commands",
        help="Everything by name: actions and task names.", is_in_palette=False,
    ),
)  # fmt: skip

MOVING = (
    Key(
        id="move", keys="", shown="j k ↑ ↓ g G", action="", label="move",
        help="Move the cursor; ctrl+d and ctrl+u by pages.", is_hinted=False, is_in_palette=False,
    ),
)  # fmt: skip

OVERVIEW = (
    Key(
        id="overview.open", keys="", shown="Enter", action="", label="open",
        help="The tasks of the name under the cursor.", twin="esync tasks --name NAME",
        is_in_palette=False,
    ),
    Key(
        id="runner.pause", keys="p", shown="p", action="screen.pause", label="pause",
        help="Pause this runner in the whole cluster, or resume it.",
        twin="esync pause NAME | esync resume NAME",
    ),
    Key(
        id="overview.filter", keys="slash", shown="/", action="screen.filter", label="filter",
        help="Show only the names that contain a text; Esc shows all.",
    ),
    Key(
        id="overview.wide", keys="w", shown="w", action="screen.wide", label="wide",
        help="The last message of every name in place of its trend.", is_hinted=False,
    ),
)  # fmt: skip

ACTIONS = (
    Key(
        id="task.requeue", keys="R", shown="R", action="screen.act('requeue')", label="requeue",
        help="Make FAILED, CANCELLED or DONE tasks READY: the marked ones, else this one.",
        twin="esync requeue KEY",
    ),
    Key(
        id="task.cancel", keys="C", shown="C", action="screen.act('cancel')", label="cancel",
        help="Cancel READY and RETRY tasks; ask running handlers to stop.",
        twin="esync cancel KEY",
    ),
    Key(
        id="task.run_now", keys="E", shown="E", action="screen.act('run-now')", label="run now",
        help="Put READY and RETRY tasks before all others of their name.",
        twin="esync run-now KEY",
    ),
)  # fmt: skip

TASKS = (
    *ACTIONS,
    Key(
        id="tasks.mark", keys="space", shown="Space", action="screen.mark", label="mark",
        help="Mark this task, or unmark it; actions go to the marked ones.", is_in_palette=False,
    ),
    Key(
        id="tasks.filter", keys="slash", shown="/", action="screen.filter", label="filter",
        help='name:a,b state:failed key:C-1 err:"HTTP 429" since:1h id:UUID; a word alone is the'
        " start of a key. Each once; what holds spaces or commas goes in quotes.",
        twin="esync tasks --name --state --key --error --since",
    ),
    Key(
        id="tasks.open", keys="", shown="Enter", action="", label="open",
        help="Everything about the task under the cursor.", twin="esync show KEY",
        is_in_palette=False,
    ),
    Key(
        id="tasks.mark_page", keys="a", shown="a", action="screen.mark_page", label="mark page",
        help="Mark every task on this page.", is_hinted=False,
    ),
    Key(
        id="tasks.mark_all", keys="A", shown="A", action="screen.mark_all", label="mark matching",
        help="Mean all tasks that match the filter, on this page or not.",
        twin="esync requeue --name --state --error --since", is_hinted=False,
    ),
    Key(
        id="tasks.unmark", keys="backslash", shown="\\", action="screen.unmark", label="unmark",
        help="Unmark everything.", is_hinted=False,
    ),
    Key(
        id="tasks.state", keys="right_square_bracket,right", shown="]",
        action="screen.state(1)", label="next state", help="The next state; [ the one before.",
        twin="esync tasks --state STATE", is_hinted=False,
    ),
    Key(
        id="tasks.state_back", keys="left_square_bracket,left", shown="[",
        action="screen.state(-1)", label="state before", help="The state before.",
        is_hinted=False, is_in_palette=False,
    ),
    Key(
        id="tasks.page", keys="n", shown="n", action="screen.page(1)", label="next page",
        help="The next 200 tasks; N the 200 before.", is_hinted=False,
    ),
    Key(
        id="tasks.page_back", keys="N", shown="N", action="screen.page(-1)", label="page before",
        help="The 200 tasks before.", is_hinted=False, is_in_palette=False,
    ),
    Key(
        id="tasks.pane", keys="vertical_line", shown="|", action="screen.pane", label="pane",
        help="The task under the cursor at the right, from 110 columns on.", is_hinted=False,
    ),
)  # fmt: skip

DETAIL = (
    *ACTIONS,
    Key(
        id="detail.tab", keys="right_square_bracket,right,tab", shown="[ ]",
        action="screen.tab(1)", label="tab", help="The next tab; [ the one before.",
        is_in_palette=False,
    ),
    Key(
        id="detail.tab_back", keys="left_square_bracket,left,shift+tab", shown="[",
        action="screen.tab(-1)", label="tab before", help="The tab before.",
        is_hinted=False, is_in_palette=False,
    ),
    Key(
        id="detail.history", keys="K", shown="K", action="screen.history", label="history",
        help="All requests of this key, newest first; Enter opens one.",
        twin="esync show KEY", is_hinted=False,
    ),
    Key(
        id="detail.wrap", keys="w", shown="w", action="screen.wrap", label="wrap",
        help="Wrap long lines, or cut them.", is_hinted=False,
    ),
    Key(
        id="detail.back", keys="escape", shown="Esc", action="screen.back", label="back",
        help="Back to the list.", is_in_palette=False,
    ),
)  # fmt: skip


def bindings(keys: tuple[Key, ...]) -> list[BindingType]:
    """Return the bindings of keys; those that a widget binds by itself have none here."""
    return [
        Binding(key.keys, key.action, key.label, show=False, id=key.id) for key in keys if key.keys
    ]
